// SPDX-License-Identifier: Apache-2.0
#include "rollout/journal/journal.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <boost/json.hpp>
#include <filesystem>
#include <fstream>

#include "base/json_text.h"
#include "base/log.h"
#include "base/temp_dir_for_test.h"
#include "rollout/control/world_for_test.h"
#include "rollout/journal/codec.h"

namespace coalmine::rollout::testing {
namespace {

class JournalTest : public ::testing::Test {
 protected:
  JournalTest() { set_log_level(LogLevel::off); }

  std::unique_ptr<Journal> open() {
    auto journal =
        open_journal({.directory = directory_.string(), .reserve_bytes = 1u << 20, .sync = true});
    EXPECT_TRUE(journal) << (journal ? "" : journal.error().message);
    return journal ? std::move(*journal) : nullptr;
  }

  enum class First { no, yes };
  // One record of rollout `id`; its first one carries the spec.
  JournalRecord record(std::uint64_t id, std::uint64_t sequence, const std::string& text,
                       First first = First::no) {
    State state;
    state.plan.id = RolloutId{id};
    auto spec = default_spec("checkout-service");
    state.plan.spec = std::make_shared<const RolloutSpec>(spec);
    for (const auto& step : spec.steps)
      state.plan.steps.push_back({.spec = step, .started_ms = 0, .ended_ms = 0, .outcome = ""});
    state.sequence = sequence;
    state.position.reason = text;
    JournalRecord r;
    r.id = state.plan.id;
    r.lines = {{sequence, 1'000, "look", text, "coalmine"}};
    r.event_json = encode_event(event::Noted{"look", text}, {1'000, 1'000});
    r.state_json = encode_state(state);
    if (first == First::yes) r.spec_json = encode_spec(spec);
    r.service = spec.service;
    r.phase = "progressing";
    r.reason = text;
    return r;
  }

  const TempDir temporary_;
  const std::filesystem::path directory_ = temporary_.path();
};

// Older journals have these names in this order, and newer ones must be read by older versions too.
TEST(SpecCodec, ScalarsKeepTheirNamesAndOrder) {
  auto spec = default_spec("shop");
  spec.steps = {{.weight = 1, .analyze_ms = 0}};
  spec.signals.clear();
  spec.judge = "mann_whitney";
  const auto text = encode_spec(spec);
  EXPECT_NE(text.find("\"steps\":[{\"weight\":1,\"analyze_ms\":0,\"min_requests\":100,"
                      "\"approve_manually\":false}]"),
            std::string::npos)
      << text;
  EXPECT_NE(
      text.find("\"rank\":{\"metrics\":{},\"group_weights\":{},\"pass\":95,\"marginal\":75,"
                "\"interval\":10},\"false_rollback_budget\":0.01,"
                "\"false_promote_risk\":0.05,\"strict\":false,\"signals\":[],"
                "\"min_analysis_minutes\":10,\"min_requests\":100,"
                "\"min_route_requests\":100,\"analysis_window_ms\":600000,"
                "\"look_interval_ms\":5000,\"on_fail\":\"rollback\","
                "\"no_data_grace_ms\":300000,\"resume_after_no_data\":true,"
                "\"on_canary_silent\":\"rollback\","
                "\"canary_silent_grace_ms\":180000,\"guard_split\":true,\"ask_about_pods\":true,"
                "\"keep_when_stable_down\":true,\"extend_ms\":0,"
                "\"max_extends\":2,\"ignore_routes\":[]"),
      std::string::npos)
      << text;
}

// A rollout that began before there were such policies goes on without them.
TEST(SpecCodec, OlderJournalsAreRead) {
  const auto spec = decode_spec("{}");
  ASSERT_TRUE(spec);
  EXPECT_EQ(spec->on_canary_silent, PolicyAction::pause);
  EXPECT_FALSE(spec->guard_split);
  EXPECT_FALSE(spec->keep_when_stable_down);
  EXPECT_FALSE(spec->resume_after_no_data);
  EXPECT_EQ(spec->on_fail, PolicyAction::rollback);
  EXPECT_EQ(spec->max_extends, 2);
  EXPECT_EQ(spec->look_interval_ms, 5000);
  EXPECT_TRUE(spec->failures.empty());
}

TEST_F(JournalTest, KeepsWhatWasAppended) {
  {
    auto journal = open();
    const std::vector records{record(7, 1, "one", First::yes), record(7, 2, ""),
                              record(7, 3, "three")};
    ASSERT_TRUE(journal->append(records));
  }
  auto journal = open();
  EXPECT_EQ(journal->newest_id().value_or(0), 7u);
  const auto stored = journal->load();
  ASSERT_TRUE(stored);
  ASSERT_EQ(stored->size(), 1u);
  const auto& rollout = stored->front();
  EXPECT_EQ(rollout.state.position.reason, "three");
  EXPECT_EQ(rollout.state.plan.spec->service, "checkout-service");
  EXPECT_EQ(rollout.state.plan.spec->steps.size(), 4u);
  ASSERT_EQ(rollout.log.size(), 2u) << "lines without text are not shown";
  EXPECT_EQ(rollout.log[1].text, "three");
  EXPECT_EQ(journal->events(RolloutId{7})->size(), 3u);
}

TEST_F(JournalTest, AppendIsAllOrNothing) {
  auto journal = open();
  auto broken = record(2, 1, "no spec, so no such rollout", First::yes);
  broken.outbox.push_back({.event_id = "2-1-0",
                           .id = RolloutId{2},
                           .target = 0,
                           .is_signed = false,
                           .body = "{}",
                           .created_ms = 1});
  ASSERT_TRUE(journal->append(std::vector{record(1, 1, "one", First::yes), broken}));
  ASSERT_TRUE(journal->append(std::vector{record(1, 1, "one", First::yes), broken}))
      << "the same record may come again";
  EXPECT_EQ(journal->undelivered()->size(), 1u);
  ASSERT_TRUE(journal->settle("2-1-0", 1, notify::Ending::delivered));
  ASSERT_TRUE(journal->settle("unknown", 1, notify::Ending::delivered));
  EXPECT_TRUE(journal->undelivered()->empty());
}

// Version 0.1 kept the URLs of webhooks, in specs and in lines.
TEST_F(JournalTest, ForgetsTheAddressesOfWebhooks) {
  const std::string url = "https://hooks.slack.com/services/T1/Hush1234";
  {
    auto journal = open();
    const auto words = "could not notify it: cannot reach " + url + ": refused";
    auto old = record(7, 1, words, First::yes);
    old.spec_json.insert(old.spec_json.find("\"notify\":[") + 10,
                         R"({"kind":"slack","url":")" + url + R"(","signed":false,"events":[]})");
    old.outbox.push_back({.event_id = "7-1-0",
                          .id = RolloutId{7},
                          .target = 0,
                          .is_signed = false,
                          .body = words,
                          .created_ms = 1});
    ASSERT_TRUE(journal->append(std::vector{old, record(8, 1, "another", First::yes)}));
  }
  auto journal = open();
  const auto stored = journal->load();
  ASSERT_TRUE(stored);
  ASSERT_EQ(stored->size(), 2u);
  ASSERT_EQ(stored->front().state.plan.spec->notify.size(), 1u);
  EXPECT_EQ(stored->front().state.plan.spec->notify[0].url, "https://hooks.slack.com");
  EXPECT_EQ(stored->front().log[0].text,
            "could not notify it: cannot reach https://hooks.slack.com: refused");
  for (const auto& entry : std::filesystem::directory_iterator(directory_)) {
    std::ifstream in(entry.path(), std::ios::binary);
    const std::string bytes(std::istreambuf_iterator<char>(in), {});
    EXPECT_EQ(bytes.find("Hush"), std::string::npos) << entry.path();
  }
}

TEST_F(JournalTest, OneProcessAtATime) {
  auto journal = open();
  const auto second = open_journal({.directory = directory_.string()});
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, ErrorCode::unavailable);
  EXPECT_NE(second.error().message.find("in use"), std::string::npos);
}

TEST_F(JournalTest, IsForTheOwnerOnlyAndReservesSpace) {
  auto journal = open();
  struct stat info{};
  ASSERT_EQ(::stat(directory_.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777u, 0700u);
  EXPECT_EQ(std::filesystem::file_size(directory_ / "reserve"), 1u << 20);
}

TEST_F(JournalTest, AnOperatorCanReadItWhileItIsOpen) {
  auto journal = open();
  ASSERT_TRUE(journal->append(std::vector{record(42, 1, "read me", First::yes)}));
  sqlite3* db = nullptr;
  ASSERT_EQ(
      sqlite3_open_v2((directory_ / "rollouts.db").c_str(), &db, SQLITE_OPEN_READONLY, nullptr),
      SQLITE_OK);
  std::string seen;
  const auto read = [](void* out, int columns, char** values, char**) {
    for (int i = 0; i < columns; ++i) *static_cast<std::string*>(out) += values[i];
    return 0;
  };
  EXPECT_EQ(
      sqlite3_exec(db, "select kind, text from events where rollout_id=42", read, &seen, nullptr),
      SQLITE_OK);
  EXPECT_EQ(seen, "lookread me");
  sqlite3_close(db);
}

TEST_F(JournalTest, RefusesANewerSchemaAndDamage) {
  open().reset();
  sqlite3* db = nullptr;
  ASSERT_EQ(sqlite3_open((directory_ / "rollouts.db").c_str(), &db), SQLITE_OK);
  sqlite3_exec(db, "pragma user_version=99", nullptr, nullptr, nullptr);
  sqlite3_close(db);
  const auto newer = open_journal({.directory = directory_.string()});
  ASSERT_FALSE(newer);
  EXPECT_EQ(newer.error().code, ErrorCode::failed_precondition);

  std::filesystem::remove_all(directory_);
  std::filesystem::create_directories(directory_);
  std::ofstream(directory_ / "rollouts.db") << std::string(8192, 'x');
  const auto damaged = open_journal({.directory = directory_.string()});
  ASSERT_FALSE(damaged);
  EXPECT_EQ(damaged.error().code, ErrorCode::data_loss);
}

TEST_F(JournalTest, ADirectoryThatCannotBeMadeIsAnError) {
  const auto status = open_journal({.directory = "/proc/no/such/place"});
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, ErrorCode::unavailable);
}

TEST(CodecTest, SpecAndStateComeBackAsTheyWere) {
  auto spec = default_spec("checkout-service");
  spec.environment = "production";
  spec.steps[1].approve_manually = true;
  spec.on_fail = PolicyAction::pause;
  spec.ignore_routes = {"/healthz"};
  spec.critical_routes = {"/pay"};
  spec.failures = {.also = {{429, 429}, {400, 499}}, .except = {{501, 505}}};
  judge::SignalSpec share;
  share.name = "request_share";
  share.kind = judge::SignalKind::request_share;
  share.margin.worse = judge::Worse::lower;
  spec.signals.push_back(share);
  route::HaproxyOptions haproxy;
  haproxy.stable_servers = {"stable1", "stable2"};
  spec.router = haproxy;
  spec.notify = {{.kind = notify::Target::Kind::slack,
                  .url = "http://x/y",
                  .secret = "hidden",
                  .events = {"paused"}}};
  const auto text = encode_spec(spec);
  EXPECT_EQ(text.find("hidden"), std::string::npos);
  EXPECT_EQ(text.find("http://x/y"), std::string::npos) << "a target's path is a secret";
  const auto back = decode_spec(text);
  ASSERT_TRUE(back);
  EXPECT_EQ(encode_spec(*back).size() + 1, text.size() + 2)
      << "only 'signed' differs: true became false";
  EXPECT_EQ(back->critical_routes, spec.critical_routes);
  EXPECT_EQ(back->failures, spec.failures);
  EXPECT_EQ(back->signals.back().kind, judge::SignalKind::request_share);
  EXPECT_EQ(back->signals.back().margin.worse, judge::Worse::lower);
  EXPECT_EQ(std::get<route::HaproxyOptions>(back->router).stable_servers, haproxy.stable_servers);
  EXPECT_EQ(back->on_fail, PolicyAction::pause);

  State state;
  state.plan.id = RolloutId{3};
  state.plan.spec = std::make_shared<const RolloutSpec>(spec);
  state.plan.steps.push_back(
      {.spec = spec.steps[0], .started_ms = 5, .ended_ms = 6, .outcome = "passed"});
  state.position.phase = Phase::paused;
  state.position.pause_cause = PauseCause::no_data;
  state.weight.applied = 0.05;
  state.position.reason = "a \"quoted\" \\ reason\nwith ünïcode";
  judge::Judgement judgement;
  judgement.decision = judge::Decision::inconclusive;
  judge::SignalVerdict signal;
  signal.subject.signal = "error_rate";
  signal.measured.canary = 0.5;
  signal.limits.margin = {judge::Margin::Unit::percent, 0.2};
  judgement.signals = {signal};
  state.live.judgement = std::make_shared<const judge::Judgement>(judgement);
  const auto again = decode_state(encode_state(state));
  ASSERT_TRUE(again);
  EXPECT_EQ(encode_state(*again), encode_state(state));
  EXPECT_EQ(again->live.judgement->signals[0].measured.canary, 0.5);
}

// Rows of older versions are read for years: neither names nor their order may move.
TEST(CodecTest, JudgementKeepsItsText) {
  judge::SignalVerdict line;
  line.subject = {.signal = "value_of_orders",
                  .route = "/pay",
                  .kind = judge::SignalKind::mean,
                  .unit = judge::ValueUnit::bytes,
                  .gate = false};
  line.measured.canary = 0.25;
  line.measured.lower = -1;
  line.measured.level = 0.5;
  line.measured.canary_at_least = true;
  line.limits = {{judge::Margin::Unit::percent, 0.2, judge::Worse::either}, 3};
  line.requests = {.canary = 10, .stable = 20, .required = 5};
  line.verdict = judge::Verdict::no_data;
  line.cause = judge::Cause::not_measurable;
  line.problem = "many series";
  line.reason = "a sentence";
  judge::Judgement judgement;
  judgement.decision = judge::Decision::rollback;
  judgement.reason = "why";
  judgement.analysis_duration_minutes = 1.5;
  judgement.signals = {line};
  const std::string text =
      R"({"decision":"rollback","reason":"why","analysis_duration_minutes":1.5,"signals":[)"
      R"({"signal":"value_of_orders","route":"/pay","kind":"mean","unit":4,"approximate":false,)"
      R"("problem":"many series","gate":false,"verdict":"no_data","cause":"not_measurable",)"
      R"("canary":0.25,"stable":null,"difference":null,"relative":null,"lower":-1,"upper":null,)"
      R"("level":0.5,"max":3,"required_requests":5,"canary_at_least":true,"stable_at_least":false,)"
      R"("margin_unit":1,"margin_amount":0.2,"margin_worse":2,"canary_requests":10,)"
      R"("stable_requests":20,"reason":"a sentence"}]})";
  EXPECT_EQ(json_text(judgement_value(judgement)), text);
  const auto parsed = parse_json(text, "judgement");
  ASSERT_TRUE(parsed);
  EXPECT_EQ(json_text(judgement_value(judgement_from(parsed->as_object()))), text);
}

TEST(CodecTest, DamagedTextIsAnError) {
  EXPECT_FALSE(decode_state("{"));
  EXPECT_FALSE(decode_state("[]"));
  EXPECT_FALSE(decode_state("{\"step\": 4, \"steps\": []}"));
  EXPECT_FALSE(decode_spec("null"));
  EXPECT_FALSE(decode_event("{}", nullptr));
  EXPECT_FALSE(decode_event(R"({"event":"unheard","with":{}})", nullptr));
  EXPECT_TRUE(decode_event(R"({"event":"looked","with":{"look":"x","decision":7}})", nullptr))
      << "odd members read as defaults";
}

} // namespace
} // namespace coalmine::rollout::testing
