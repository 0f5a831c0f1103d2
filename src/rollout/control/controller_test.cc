// The controller with its real threads and its real journal, in a world of fakes.
// SPDX-License-Identifier: Apache-2.0
#include "rollout/control/controller.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <boost/json.hpp>
#include <filesystem>
#include <fstream>
#include <set>
#include <string>

#include "base/digest.h"
#include "notify/webhook.h"
#include "rollout/control/controller_for_test.h"
#include "rollout/control/start_checks.h"
#include "rollout/json.h"

namespace coalmine::rollout {
namespace {

TEST_F(ControllerTest, ArrivalsAreLookedAtWithoutWaitingForTheInterval) {
  spec_.look_interval_ms = 3'600'000;
  source_.canary_error_rate = 0.9;
  open();
  const auto id = start();
  ASSERT_TRUE(eventually([&] { return controller_->get(id)->steps[0].started_ms != 0; }));
  controller_->arrived("another-service");
  EXPECT_EQ(looks_, 0);
  controller_->arrived("checkout-service");
  ASSERT_TRUE(reaches(id, Phase::rolled_back));
  EXPECT_EQ(looks_, 1);
  controller_->arrived("checkout-service"); // nobody watches it any more
}

TEST_F(ControllerTest, AGoodReleaseIsPromoted) {
  open();
  std::atomic<int> changes = 0;
  const auto unsubscribe = controller_->subscribe([&](const RolloutStatus&) { ++changes; });
  const auto id = start();
  const auto second = controller_->start(request_of("checkout-service"));
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, ErrorCode::already_exists);
  ASSERT_TRUE(reaches(id, Phase::promoted));
  EXPECT_EQ(router_.weight, 1);
  const auto status = controller_->get(id);
  EXPECT_EQ(status->steps[0].outcome, "passed");
  EXPECT_EQ(status->canary_version, "2.4.0");
  EXPECT_FALSE(status->log.empty());
  EXPECT_EQ(controller_->list().front()->log.begin(), controller_->list().front()->log.begin())
      << "a list shares what it shows";
  EXPECT_GT(looks_, 0);
  EXPECT_GT(changes, 5);
  unsubscribe();
  EXPECT_GT(looks_, 0);
  const auto refused = controller_->start(request_of("checkout-service", "2.5.0", "2.4.0"));
  ASSERT_FALSE(refused) << "the first step would send the promoted release back to stable";
  EXPECT_EQ(refused.error().code, ErrorCode::failed_precondition);
  EXPECT_NE(refused.error().message.find("the canary has 100% of the traffic already"),
            std::string::npos)
      << refused.error().message;
  router_.weight = 0;
  EXPECT_NE(start().value, id.value) << "the next one may begin";
}

TEST_F(ControllerTest, ABadReleaseIsRolledBackAndEverybodyHears) {
  spec_.notify = {webhook_to("http://ci.example/hook", "key", {"rolled_back"}),
                  slack_at("http://chat.example/x"),
                  slack_at("http://chat.example/no", {"promoted"})};
  http_.failures_left = 1;
  open();
  const auto id = start();
  ASSERT_TRUE(eventually([&] { return controller_->get(id)->weight_applied == 0.05; }));
  source_.canary_error_rate = 0.5;
  ASSERT_TRUE(reaches(id, Phase::rolled_back));
  EXPECT_EQ(router_.weight, 0);
  EXPECT_LT(controller_->get(id)->time_to_rollback_ms, 5'000);
  ASSERT_TRUE(eventually([&] { return http_.requests().size() == 2; }))
      << "the one that failed is tried again";
  for (const auto& request : http_.requests()) {
    const auto body = boost::json::parse(request.body);
    if (request.url == "http://chat.example/x") {
      EXPECT_TRUE(body.as_object().contains("text"));
      continue;
    }
    EXPECT_EQ(body.at("event").as_string(), "rolled_back");
    EXPECT_EQ(body.at("rollout").at("phase").as_string(), "rolled_back");
    EXPECT_EQ(net::header(request.headers, "X-Coalmine-Signature"),
              "sha256=" + hmac_sha256_hex("key", std::string(net::header(request.headers,
                                                                         "X-Coalmine-Timestamp")) +
                                                     "." + request.body));
    EXPECT_EQ(net::header(request.headers, "X-Coalmine-Event-Id"),
              std::string_view(body.at("event_id").as_string()));
    EXPECT_FALSE(net::header(request.headers, "X-Coalmine-Timestamp").empty());
  }
}

TEST_F(ControllerTest, AWebhookThatHangsDelaysItselfAlone) {
  spec_.notify = {webhook_to("http://dead.example/"), webhook_to("http://ci.example/")};
  open();
  const auto id = start();
  EXPECT_TRUE(controller_->command(id, Command::abort, "ops", "no"));
  ASSERT_TRUE(
      eventually([&] { return http_.dead.waiting() == 1 && http_.requests().size() == 1; }));
  const auto second = start();
  EXPECT_TRUE(controller_->command(second, Command::abort, "ops", "no"));
  EXPECT_TRUE(eventually([&] { return http_.requests().size() == 2; }));
  EXPECT_EQ(http_.dead.waiting(), 1) << "one attempt at a time";
  http_.dead.let_go();
}

TEST_F(ControllerTest, WhatIsCutOffByAStopIsSentAfterIt) {
  spec_.notify = {webhook_to("http://dead.example/")};
  open();
  const auto id = start();
  EXPECT_TRUE(controller_->command(id, Command::abort, "ops", "no"));
  ASSERT_TRUE(eventually([&] { return http_.dead.waiting() == 1; }));
  controller_->prepare_stop();
  http_.dead.let_go(); // without an answer
  controller_.reset();
  http_.is_back = true;
  open();
  ASSERT_TRUE(eventually([&] { return http_.requests().size() == 1; }));
  const auto logged = [&](const std::string& what) {
    return std::ranges::any_of(controller_->get(id)->log,
                               [&](const LogEntry& line) { return line.text.contains(what); });
  };
  EXPECT_TRUE(eventually([&] { return logged("notified http"); }));
  EXPECT_FALSE(logged("could not notify"));
}

TEST_F(ControllerTest, ALateLineOfTheLastRolloutDoesNotEndTheWatchOfTheNext) {
  spec_.look_interval_ms = 3'600'000;
  spec_.notify = {webhook_to("http://dead.example/")};
  open();
  const auto first = start();
  EXPECT_TRUE(controller_->command(first, Command::abort, "ops", "no"));
  ASSERT_TRUE(eventually([&] { return http_.dead.waiting() == 1; }));
  const auto second = start();
  ASSERT_TRUE(eventually([&] { return controller_->get(second)->steps[0].started_ms != 0; }));
  const auto lines = controller_->get(first)->log.size();
  http_.dead.let_go();
  ASSERT_TRUE(eventually([&] { return controller_->get(first)->log.size() > lines; }));
  source_.canary_error_rate = 0.9;
  controller_->arrived("checkout-service");
  EXPECT_TRUE(reaches(second, Phase::rolled_back));
}

// In the directory of the journal, whatever file and whatever encoding.
std::string all_bytes_below(const std::filesystem::path& directory) {
  std::string out;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(directory)) {
    std::ifstream in(entry.path(), std::ios::binary);
    out.append(std::istreambuf_iterator<char>(in), {});
  }
  return out;
}

TEST_F(ControllerTest, SecretsOfTargetsAreNowhereAndAreFoundAgain) {
  spec_.notify = {
      webhook_to("http://me:Hush1234@ci.example/hook/Hush1234?token=Hush1234", "Hush1234"),
      slack_at("http://chat.example/services/one/Hush1234"),
      slack_at("http://chat.example/services/two/Hush1234")};
  http_.failures_left = 1'000'000;
  source_.canary_error_rate = 0.9;
  ::testing::internal::CaptureStderr();
  set_log_level(LogLevel::debug);
  open();
  const auto id = start();
  std::string shown;
  const auto told = eventually([&] {
    shown = rollout_json(*controller_->get(id), WithLog::yes);
    return shown.find("could not notify http://chat.example yet") != std::string::npos &&
           shown.find("could not notify http://ci.example yet") != std::string::npos;
  });
  const auto waits = [&](const std::string& what) {
    const auto troubles = controller_->troubles();
    return std::ranges::any_of(troubles, [&](const auto& one) { return one.starts_with(what); });
  };
  EXPECT_TRUE(eventually([&] {
    return waits("1 notification to http://ci.example could not be delivered yet, after ") &&
           waits("2 notifications to http://chat.example could not be delivered yet, after ");
  }));
  for (const auto& trouble : controller_->troubles()) shown += trouble;
  shown += metrics_.render() + all_bytes_below(directory_);
  controller_.reset();
  set_log_level(LogLevel::off);
  shown += ::testing::internal::GetCapturedStderr() + all_bytes_below(directory_);
  ASSERT_TRUE(told) << shown;
  EXPECT_NE(shown.find("a notification was not delivered"), std::string::npos);
  EXPECT_EQ(shown.find("Hush"), std::string::npos) << shown.substr(shown.find("Hush") - 300, 400);

  http_.failures_left = 0;
  spec_.notify.pop_back(); // the third is no longer in the configuration
  open();
  ASSERT_TRUE(eventually([&] { return http_.requests().size() == 2; })) << http_.requests().size();
  std::set<std::string> urls;
  for (const auto& request : http_.requests()) urls.insert(request.url);
  EXPECT_EQ(urls, (std::set{spec_.notify[0].url, spec_.notify[1].url}));
  ASSERT_TRUE(eventually([&] {
    return rollout_json(*controller_->get(id), WithLog::yes)
               .find("could not notify Slack: its address is no longer in the configuration") !=
           std::string::npos;
  }));
}

TEST_F(ControllerTest, GoesOnAfterARestart) {
  spec_.steps[0].analyze_ms = 3'600'000;
  open();
  const auto id = start();
  ASSERT_TRUE(eventually([&] { return controller_->get(id)->weight_applied == 0.05; }));
  open();
  ASSERT_TRUE(eventually([&] { return controller_->get(id)->weight_applied == 0.05; }));
  EXPECT_EQ(controller_->get(id)->phase, Phase::progressing);
  ASSERT_TRUE(controller_->command(id, Command::promote, "me", "looks good"));
  ASSERT_TRUE(reaches(id, Phase::promoted));
  open();
  EXPECT_EQ(controller_->get(id)->phase, Phase::promoted);
  EXPECT_EQ(controller_->get(id)->steps[0].outcome, "skipped");
}

TEST_F(ControllerTest, AMistypedServiceIsAnsweredWithTheNearest) {
  std::vector<RolloutSpec> specs;
  for (int i = 0; i < 34; ++i) {
    specs.push_back(spec_);
    specs.back().service = fmt::format("service-{:02}-of-many", i);
  }
  specs.back().service = "checkout-service";
  open(deps(), specs);
  const auto said = [&](const std::string& name) {
    return controller_->start(request_of(name)).error().message;
  };
  EXPECT_EQ(said("chekout-service"),
            "no configured service is named \"chekout-service\"; did you mean checkout-service?");
  EXPECT_EQ(
      said("x"),
      "no configured service is named \"x\"; configured: service-00-of-many, "
      "service-01-of-many, service-02-of-many, service-03-of-many, service-04-of-many, and 29 "
      "more");
}

TEST_F(ControllerTest, Commands) {
  spec_.steps[0].analyze_ms = 3'600'000;
  open();
  const auto id = start();
  ASSERT_TRUE(eventually([&] { return controller_->get(id)->weight_applied == 0.05; }));
  EXPECT_EQ(controller_->command(id, Command::promote, "me", "").error().code,
            ErrorCode::invalid_argument);
  EXPECT_EQ(controller_->command(RolloutId{999}, Command::pause, "me", "").error().code,
            ErrorCode::not_found);
  ASSERT_TRUE(controller_->command(id, Command::pause, "me", "lunch"));
  EXPECT_EQ(controller_->get(id)->phase, Phase::paused);
  ASSERT_TRUE(controller_->command(id, Command::pause, "me", "still lunch"));
  ASSERT_TRUE(controller_->command(id, Command::resume, "me", ""));
  ASSERT_TRUE(controller_->command(id, Command::abort, "me", "enough"));
  ASSERT_TRUE(reaches(id, Phase::aborted));
  EXPECT_EQ(router_.weight, 0);
  EXPECT_EQ(controller_->command(id, Command::resume, "me", "").error().code,
            ErrorCode::failed_precondition);
  EXPECT_EQ(controller_->start(request_of("unheard")).error().code, ErrorCode::not_found);
  EXPECT_EQ(controller_->start(request_of("checkout-service", "1", "1")).error().code,
            ErrorCode::invalid_argument);
}

TEST_F(ControllerTest, ARouterThatIsDownDelaysARollbackAndNoMore) {
  spec_.steps[0].analyze_ms = 3'600'000;
  open();
  const auto id = start();
  ASSERT_TRUE(eventually([&] { return controller_->get(id)->weight_applied == 0.05; }));
  router_.down = true;
  source_.canary_error_rate = 0.9;
  ASSERT_TRUE(reaches(id, Phase::rolling_back));
  ASSERT_TRUE(eventually([&] { return !controller_->get(id)->weight_applied.has_value(); }));
  router_.down = false;
  ASSERT_TRUE(reaches(id, Phase::rolled_back));
  EXPECT_EQ(router_.weight, 0);
}

TEST_F(ControllerTest, TimeComesFromTheClock) {
  auto with_manual = deps();
  ControllerDeps changed{.clock = manual_,
                         .cohorts = with_manual.cohorts,
                         .make_router = with_manual.make_router,
                         .http = with_manual.http,
                         .metrics = with_manual.metrics,
                         .on_look = with_manual.on_look,
                         .versions = [this](const RolloutSpec&, Track track) {
                           return seen_now(track == Track::canary ? "9.1" : "9.0");
                         }};
  spec_.steps[0].analyze_ms = 120'000;
  spec_.steps[1].analyze_ms = 120'000;
  spec_.look_interval_ms = 5'000;
  open(changed, {spec_});
  const auto id = controller_->start(request_of("checkout-service")).value_or(RolloutId{});
  ASSERT_TRUE(eventually([&] { return controller_->get(id)->weight_applied == 0.05; }));
  EXPECT_EQ(controller_->get(id)->canary_version, "9.1");
  EXPECT_EQ(controller_->get(id)->stable_version, "9.0");
  EXPECT_EQ(controller_->get(id)->observed_valid_ms, 0);
  // A look that ends after an advance is scheduled anew from there, so time must go on until the
  // next one has begun: half an interval at a time, so that no look is overtaken by far.
  for (int polls = 0; controller_->get(id)->phase == Phase::progressing; ++polls) {
    const int before = looks_;
    ASSERT_LT(polls, 10'000);
    manual_.advance_ms(2'500);
    ASSERT_TRUE(eventually([&, waited = 0]() mutable {
      return looks_ > before || controller_->get(id)->phase != Phase::progressing || ++waited > 20;
    }));
  }
  ASSERT_EQ(controller_->get(id)->phase, Phase::promoted) << controller_->get(id)->reason;
  EXPECT_GE(controller_->get(id)->ended_ms - controller_->get(id)->started_ms, 240'000);
}

TEST_F(ControllerTest, ARouterThatLacksWhatIsNamedRefusesTheStart) {
  open();
  router_.wrong = true;
  const auto refused = controller_->start({.service = "checkout-service",
                                           .canary_version = "2.4.0",
                                           .stable_version = "2.3.0",
                                           .actor = "test"});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::failed_precondition);
  EXPECT_EQ(refused.error().message,
            "no rollout of checkout-service can start, its router cannot do it: no backend shop");
  router_.wrong = false;
  router_.down = true; // it may come back
  start();
}

TEST_F(ControllerTest, VersionsThatAreGuessedEqualAreRefused) {
  auto guesses = deps();
  guesses.versions = [this](const RolloutSpec&, Track) { return seen_now("2.3.0"); };
  open(std::move(guesses), {spec_});
  for (const auto& request :
       {request_of("checkout-service"), request_of("checkout-service", "2.3.0"),
        request_of("checkout-service", "", "2.3.0")}) {
    const auto refused = controller_->start(request);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, ErrorCode::failed_precondition);
    EXPECT_NE(refused.error().message.find("are both version 2.3.0"), std::string::npos);
  }
  EXPECT_TRUE(controller_->start(request_of("checkout-service", "2.4.0")));
}

TEST_F(ControllerTest, AVersionThatNobodyReportsIsTold) {
  auto known = deps();
  known.versions = [this](const RolloutSpec&, Track track) {
    auto seen = seen_now("2.4.0");
    seen->push_back({.version = "", .reports = true});
    seen->push_back({.version = "2.4.1-typo"}); // long gone
    return track == Track::canary ? seen : std::optional<SeenVersions>(std::in_place);
  };
  open(std::move(known), {spec_});
  const auto id = controller_->start(request_of("checkout-service", "2.4.1-typo", "2.3.0"));
  ASSERT_TRUE(id);
  std::string told;
  const auto status = *controller_->get(*id);
  for (const auto& line : status.log) {
    if (line.kind == "warning") told += line.text + "\n";
  }
  EXPECT_EQ(told,
            "no telemetry of canary names version 2.4.1-typo; it names 2.4.0, no version\n"
            "nothing has come from stable lately, so nobody has named its version 2.3.0 yet\n");
}

std::string log_of(const RolloutStatus& status, std::string_view kind) {
  std::string out;
  for (const auto& line : status.log) {
    if (line.kind == kind) out += line.text + "\n";
  }
  return out;
}

// A process without requests sends nothing: the canary that is there is not in the telemetry yet,
// and the one of the last release is.
TEST_F(ControllerTest, AVersionThatIsNotSeenYetIsLearnedFromItsFirstTelemetry) {
  Guarded<SeenVersions> canary{
      SeenVersions{{.version = "2.3.0", .first_ms = 1, .last_ms = clock_.wall_ms() - 240'000}}};
  auto known = deps();
  known.versions = [&](const RolloutSpec&, Track track) -> std::optional<SeenVersions> {
    if (track == Track::stable) return seen_now("2.3.0");
    return canary.with([](const auto& seen) { return seen; });
  };
  open(std::move(known), {spec_});
  const auto id = controller_->start(request_of("checkout-service")).value_or(RolloutId{});
  EXPECT_EQ(controller_->get(id)->canary_version, "") << "2.3.0 is gone";
  EXPECT_EQ(controller_->get(id)->stable_version, "2.3.0");
  ASSERT_TRUE(eventually([&] { return controller_->get(id)->judgement != nullptr; }));
  const auto waiting = *controller_->get(id);
  EXPECT_EQ(waiting.weight_applied, 0.05) << "without requests nothing would come";
  EXPECT_EQ(
      waiting.reason,
      "Waiting for the first telemetry of the canary since the weight was set; versions seen: "
      "2.3.0 (4m ago)");
  EXPECT_EQ(waiting.condition, Condition::awaits_telemetry);
  canary.with([&](auto& seen) { seen.insert(seen.begin(), seen_now("2.4.0")->front()); });
  ASSERT_TRUE(eventually([&] { return controller_->get(id)->canary_version == "2.4.0"; }));
  ASSERT_TRUE(reaches(id, Phase::promoted));
  const auto status = *controller_->get(id);
  EXPECT_EQ(log_of(status, "version"), "canary reports as version 2.4.0\n");
  EXPECT_EQ(status.condition, Condition::none);
  EXPECT_TRUE(source_.asked_for("2.4.0"));
}

TEST_F(ControllerTest, AVersionThatIsGoneAfterTheStartGivesWay) {
  spec_.steps[0].analyze_ms = 3'600'000;
  std::atomic<bool> deployed = false;
  auto known = deps();
  known.versions = [&](const RolloutSpec&, Track track) -> std::optional<SeenVersions> {
    if (track == Track::stable) return seen_now("2.3.0");
    SeenVersions seen{{.version = "2.3.9", .first_ms = 2, .last_ms = 3, .reports = true}};
    if (deployed) seen.insert(seen.begin(), seen_now("2.4.0")->front());
    return seen;
  };
  open(known, {spec_});
  const auto id = controller_->start(request_of("checkout-service")).value_or(RolloutId{});
  EXPECT_EQ(controller_->get(id)->canary_version, "2.3.9");
  ASSERT_TRUE(eventually([&] { return controller_->get(id)->judgement != nullptr; }));
  open(known, {spec_}); // open versions survive a restart
  deployed = true;
  ASSERT_TRUE(eventually([&] { return controller_->get(id)->canary_version == "2.4.0"; }));
  EXPECT_EQ(log_of(*controller_->get(id), "version"),
            "canary reports as version 2.4.0, no longer 2.3.9\n");
}

TEST_F(ControllerTest, TracksThatTurnOutToBeOneVersionPause) {
  std::atomic<bool> deployed = false;
  auto known = deps();
  known.versions = [&](const RolloutSpec&, Track track) -> std::optional<SeenVersions> {
    if (track == Track::canary && !deployed) return SeenVersions{};
    return seen_now("2.3.0");
  };
  open(std::move(known), {spec_});
  const auto id = controller_->start(request_of("checkout-service")).value_or(RolloutId{});
  ASSERT_TRUE(eventually([&] { return controller_->get(id)->weight_applied == 0.05; }));
  deployed = true;
  ASSERT_TRUE(reaches(id, Phase::paused));
  EXPECT_TRUE(controller_->get(id)->reason.starts_with(
      "canary and stable both report as version 2.3.0: there is nothing to compare"));
}

TEST_F(ControllerTest, ARouterThatCannotBeReachedIsSaid) {
  open();
  router_.down = true;
  const auto id = start();
  ASSERT_TRUE(
      eventually([&] { return controller_->get(id)->condition == Condition::router_failing; }));
  EXPECT_EQ(controller_->get(id)->reason,
            "The canary could not be set to 5%: connection refused; it is tried again until the "
            "router does it");
  router_.down = false;
  ASSERT_TRUE(eventually([&] { return controller_->get(id)->condition == Condition::none; }));
}

TEST_F(ControllerTest, AStepOfLessThanThreeExportsIsTold) {
  auto spec = spec_;
  spec.steps = {{.weight = 0.05, .analyze_ms = 30'000}, {.weight = 0.5, .analyze_ms = 20'000}};
  spec.steps.push_back({.weight = 1});
  EXPECT_FALSE(short_step(spec, 0)) << "unknown";
  EXPECT_FALSE(short_step(spec, 6'000));
  EXPECT_TRUE(short_step(spec, 60'000)
                  .value_or("")
                  .starts_with("step 1 lasts 30s, and metrics come every 1m"));
  auto known = deps();
  known.telemetry_doubts = [](const RolloutSpec& of) {
    return std::vector{short_step(of, 10'000).value_or("")};
  };
  open(std::move(known), {spec});
  const auto status = *controller_->get(start());
  const auto told = std::ranges::find(status.log, "warning", &LogEntry::kind);
  ASSERT_NE(told, status.log.end());
  EXPECT_TRUE(told->text.starts_with("step 2 lasts 20s, and metrics come every 10s")) << told->text;
  EXPECT_TRUE(told->text.ends_with("give the step 30s")) << told->text;
}

TEST_F(ControllerTest, OneRolloutMovesATraffic) {
  auto other = spec_;
  other.service = "pay";
  auto apart = spec_;
  apart.service = "mail";
  std::get<route::HaproxyOptions>(apart.router).backend = "mail";
  spec_.steps[0].analyze_ms = 3'600'000;
  open(deps(), {spec_, other, apart});
  const auto id = start();
  const auto refused = controller_->start(request_of("pay", "2", "1"));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::failed_precondition);
  EXPECT_NE(refused.error().message.find("of checkout-service moves the same traffic"),
            std::string::npos)
      << refused.error().message;
  EXPECT_TRUE(controller_->start(request_of("mail", "2", "1")));
  ASSERT_TRUE(controller_->command(id, Command::abort, "me", "enough"));
  ASSERT_TRUE(reaches(id, Phase::aborted));
  EXPECT_TRUE(controller_->start(request_of("pay", "2", "1")));
}

TEST_F(ControllerTest, ASpecThatCannotRunIsRefused) {
  spec_.steps.pop_back();
  open();
  const auto id = controller_->start(request_of("checkout-service"));
  ASSERT_FALSE(id);
  EXPECT_EQ(id.error().code, ErrorCode::invalid_argument);
}

TEST_F(ControllerTest, AMetricThatNeverAnswersKeepsNoBadReleaseIn) {
  HangingMetrics hanging;
  own_metrics_ = &hanging;
  for (const char* name : {"queue", "memory"}) {
    judge::SignalSpec signal;
    signal.name = name;
    signal.kind = judge::SignalKind::value;
    spec_.signals.push_back(signal);
    spec_.metrics.push_back({name, "", "", "max(anything)"});
  }
  spec_.steps.front().analyze_ms = 60'000;
  open();
  const auto id = start();
  ASSERT_TRUE(eventually([&] { return looks_ > 5; }));
  EXPECT_LE(hanging.asked, 2) << "each is waited for once, and then left alone";
  const auto status = *controller_->get(id);
  ASSERT_NE(status.judgement, nullptr);
  bool told = false;
  for (const auto& line : status.judgement->signals) {
    if (line.cause != judge::Cause::not_measurable) continue;
    told = told || line.reason.find("no answer in 300 ms") != std::string::npos;
  }
  EXPECT_TRUE(told);
  source_.canary_error_rate = 0.9;
  EXPECT_TRUE(reaches(id, Phase::rolled_back));
  controller_.reset();
}

} // namespace
} // namespace coalmine::rollout
