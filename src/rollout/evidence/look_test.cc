// What a look makes of what its sources say.
// SPDX-License-Identifier: Apache-2.0
#include "rollout/evidence/look.h"

#include <gtest/gtest.h>

#include "rollout/evidence/step_advice.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace coalmine::rollout {
namespace {

constexpr std::int64_t kNow = 1'700'000'000'000;
constexpr std::int64_t kMinuteMs = 60'000;

// Says what a test wants it to have heard.
class FakeFeed final : public EvidenceFeed {
 public:
  FeedProgress canary{.newest_ms = kNow, .heard_ms = kNow};
  FeedProgress stable{.newest_ms = kNow, .heard_ms = kNow};
  judge::TrackTotals totals;
  TrackInstances of_canary;
  double since = 0;
  double awaited = 0;
  std::optional<double> since_canary; // where it differs
  bool behind = false;
  bool sampled = false;
  std::optional<Error> broken;
  std::vector<CountCell> cells; // given once

  Result<std::vector<CountCell>> read(const FeedView&, std::int64_t) override {
    if (broken) return std::unexpected(*broken);
    return std::exchange(cells, {});
  }
  std::int64_t read_until_ms() const override { return kNow - 60 * kMinuteMs; }
  bool caught_up() const override { return !behind; }
  judge::TrackTotals totals_since(std::int64_t) const override { return totals; }
  double requests_since(Track track, std::int64_t) const override {
    return track == Track::canary ? since_canary.value_or(since) : since;
  }
  double awaited_since(std::int64_t) const override { return awaited; }
  bool counts_sampled() const override { return sampled; }
  FeedProgress progress(Track track) const override {
    return track == Track::canary ? canary : stable;
  }
  TrackInstances instances(Track, std::int64_t) const override { return of_canary; }
};

// Remembers the windows it is asked for. Every track serves 1,000 requests; the canary's errors are
// the test's.
class FakeCohorts final : public cohort::CohortSource {
 public:
  struct Asked {
    std::string version;
    std::int64_t from_ms = 0;
    std::int64_t to_ms = 0;
    bool operator==(const Asked&) const = default;
  };
  double canary_errors = 0;
  cohort::SamplingCounts sampling; // of both tracks, which are counted by spans
  std::string twice;               // of both tracks
  mutable std::vector<Asked> asked;

  Result<cohort::CohortCounts> counts(const cohort::CohortSelector& cohort, std::int64_t from_ms,
                                      std::int64_t to_ms) const override {
    const auto version = std::ranges::find(cohort.matchers, "service_version", &Matcher::name);
    const bool any = version == cohort.matchers.end();
    asked.push_back({any ? std::string() : version->value, from_ms, to_ms});
    cohort::CohortCounts out;
    const bool canary =
        std::ranges::find(cohort.matchers, "canary", &Matcher::value) != cohort.matchers.end();
    out.routes = {
        {"/pay", {.has_data = true, .requests = 1'000, .errors = canary ? canary_errors : 0}}};
    out.any_series = true;
    out.last_ms = to_ms;
    out.sampling = sampling;
    out.counted_by_spans = sampling.spans > 0;
    return out;
  }
  std::string counted_twice(const cohort::CohortSelector&, std::int64_t) const override {
    return twice;
  }
};

class LookTest : public ::testing::Test {
 protected:
  LookTest() {
    auto spec = default_spec("shop"); // the threshold judge
    spec.router = route::HaproxyOptions{};
    std::erase_if(spec.signals, [](const auto& s) { return s.name != "error_rate"; });
    request_.spec = std::make_shared<const RolloutSpec>(spec);
    request_.canary_version = "2";
    request_.stable_version = "1";
    request_.look = {
        .look = 1, .step = 0, .from_ms = kNow - 10 * kMinuteMs, .to_ms = kNow, .age_minutes = 60};
    request_.step_started_ms = request_.watched_from_ms = kNow - 10 * kMinuteMs;
    request_.asked_split = 0.5;
    judge_ = make_judge_of(spec);
  }
  static std::unique_ptr<judge::Judge> make_judge_of(const RolloutSpec& spec) {
    State state;
    state.plan.spec = std::make_shared<const RolloutSpec>(spec);
    for (const auto& step : spec.steps)
      state.plan.steps.push_back({.spec = step, .started_ms = 0, .ended_ms = 0, .outcome = ""});
    return make_step_judge(state);
  }
  LookResult look() {
    return take_look(
        request_, *judge_,
        {.cohorts = cohorts_, .feed = &feed_, .versions = [this](const RolloutSpec&, Track track) {
           if (!kept_) return SeenVersions{};
           return SeenVersions{{.version = track == Track::canary ? newest_canary_ : newest_stable_,
                                .last_ms = kNow - 60'000,
                                .arrival_ms = arrival_ms_,
                                .reports = true}};
         }});
  }

  LookRequest request_;
  FakeFeed feed_;
  FakeCohorts cohorts_;
  std::string newest_canary_ = "2";
  std::string newest_stable_ = "1";
  std::int64_t arrival_ms_ = 0;
  bool kept_ = true; // what is known of versions
  std::unique_ptr<judge::Judge> judge_;
};

TEST_F(LookTest, ATrackWhoseClockIsOffIsAskedByItsOwn) {
  feed_.canary.clock_offset_ms = 20 * kMinuteMs; // its clock is behind
  const auto out = look();
  EXPECT_EQ(cohorts_.asked[0],
            (FakeCohorts::Asked{"2", kNow - 30 * kMinuteMs, kNow - 20 * kMinuteMs}));
  EXPECT_EQ(cohorts_.asked[1], (FakeCohorts::Asked{"1", kNow - 10 * kMinuteMs, kNow}));
  EXPECT_EQ(out.canary.last_ms, kNow);
}

TEST_F(LookTest, RoutesThatNoRequestHasAreTold) {
  auto spec = *request_.spec;
  spec.ignore_routes = {"/pay"};
  spec.critical_routes = {"/pay"};
  request_.spec = std::make_shared<const RolloutSpec>(spec);
  EXPECT_FALSE(look().routes_checked) << "only when it is asked for";
  request_.look.check_routes = true;
  EXPECT_TRUE(look().routes_checked);
  EXPECT_EQ(look().unmatched_routes, "");
  spec.ignore_routes = {"/internal/*", "/healthz"};
  spec.critical_routes = {"/pay", "/api/pay"};
  request_.spec = std::make_shared<const RolloutSpec>(spec);
  EXPECT_EQ(look().unmatched_routes,
            "routes.critical names /api/pay, which no request has; routes.ignore names "
            "/internal/*, /healthz, which no request has (routes are compared as they are: * is "
            "no wildcard). The routes that are there: /pay");
}

TEST_F(LookTest, ASilentCanaryIsSilentSinceItWasHeardOrWatched) {
  feed_.canary.heard_ms = kNow - 4 * kMinuteMs;
  feed_.since = 77;
  EXPECT_EQ(look().silent_since_ms, kNow - 4 * kMinuteMs);
  EXPECT_EQ(look().stable_since, 77);
  feed_.stable.unbroken_since_ms = kNow - kMinuteMs; // stable was away as well
  EXPECT_EQ(look().silent_since_ms, kNow - kMinuteMs);
  request_.watched_from_ms = kNow - 1'000;
  EXPECT_EQ(look().silent_since_ms, kNow - 1'000);
}

TEST_F(LookTest, AnotherVersionIsFoundWhereTheWatchedOneIsSilent) {
  newest_canary_ = "3";
  EXPECT_EQ(look().canary.other_version, "") << "the watched one reports";
  feed_.canary.heard_ms = kNow - 9 * kMinuteMs;
  const auto out = look();
  EXPECT_EQ(out.canary.other_version, "3");
  EXPECT_EQ(out.canary_other_requests, 1'000);
  EXPECT_EQ(cohorts_.asked.back(), (FakeCohorts::Asked{"3", kNow - 9 * kMinuteMs, kNow}));
  newest_canary_ = "2";
  newest_stable_ = "1.0.1";
  feed_.stable.heard_ms = kNow - 9 * kMinuteMs;
  EXPECT_EQ(look().stable.other_version, "1.0.1");
}

TEST_F(LookTest, AnOpenVersionIsWhatComesAfterTheRolloutBegan) {
  request_.canary_open = true;
  request_.canary_version = "";
  request_.watched_since_ms = kNow - 30 * kMinuteMs;
  arrival_ms_ = kNow - 31 * kMinuteMs;
  auto out = look();
  EXPECT_EQ(out.canary.first_version, std::nullopt);
  EXPECT_EQ(
      out.waiting,
      "Waiting for the first telemetry of the canary since the weight was set; versions seen: 2 "
      "(1m ago)");
  EXPECT_EQ(out.judgement->reason, out.waiting);
  arrival_ms_ = kNow - 29 * kMinuteMs;
  out = look();
  EXPECT_EQ(out.canary.first_version, "2");
  EXPECT_EQ(out.stable.first_version, std::nullopt) << "it was named";
  EXPECT_EQ(out.judgement->decision, judge::Decision::keep_watching);
  EXPECT_TRUE(out.judgement_incomplete) << "what any version did is not judged";
  kept_ = false; // requests are counted, and nothing is known of who sent them
  out = look();
  EXPECT_EQ(out.canary.first_version, "");
  EXPECT_EQ(out.waiting, "") << "nobody is waited for who is there";
}

TEST_F(LookTest, AnInstanceThatStoppedIsToldWhenItsRequestsWereDue) {
  feed_.of_canary = {.most = 10, .live = 9, .silent = {{"pod-7@2", kNow - 4 * kMinuteMs}}};
  feed_.since = 50; // of the canary; five were its own
  EXPECT_EQ(look().silent_instances, "");
  feed_.since = 900;
  EXPECT_EQ(look().silent_instances,
            "1 of 10 instances of the canary has reported nothing since 2023-11-14T22:09:20Z while "
            "the others report: pod-7");
}

// A sampler that keeps failing traces keeps nothing of a canary without failures: its silence is no
// harm, and the failures that it has are no rate.
TEST_F(LookTest, WhatIsASampleDecidesNothing) {
  cohorts_.canary_errors = 900;
  cohorts_.sampling = {.spans = 1'000, .failed = 100, .marked = 1};
  feed_.sampled = true;
  feed_.since = 900;
  feed_.of_canary = {.most = 10, .live = 9, .silent = {{"pod-7@2", kNow - 4 * kMinuteMs}}};
  const auto out = look();
  EXPECT_EQ(out.judgement->decision, judge::Decision::keep_watching);
  EXPECT_NE(out.judgement->reason.find("cannot be measured: the spans of the canary say that"),
            std::string::npos)
      << out.judgement->reason;
  EXPECT_EQ(out.stable_since, 0);
  EXPECT_EQ(out.silent_instances, "");
  cohorts_.sampling.marked = 0;
  EXPECT_EQ(look().judgement->decision, judge::Decision::rollback) << "all spans count";
}

TEST_F(LookTest, WhatMayBeCountedTwiceIsToldWithTheReason) {
  EXPECT_EQ(look().judgement->reason.find("(both tracks"), std::string::npos);
  cohorts_.twice = "series that differ only in a count the same";
  const auto reason = look().judgement->reason;
  EXPECT_TRUE(reason.ends_with("(both tracks: series that differ only in a count the same)"))
      << reason;
}

// All that was compared comes from the steps before: what this step brought is still in a cell that
// is open, or in one in which the split moved. It may be what more traffic breaks.
TEST_F(LookTest, AStepIsNotPassedWithoutComparedRequestsOfItsOwn) {
  auto spec = *request_.spec;
  spec.judge = "sequential";
  request_.spec = std::make_shared<const RolloutSpec>(spec);
  judge_ = make_judge_of(spec);
  request_.asked_split = 0;
  request_.step = {.weight = 0.5, .analyze_ms = 10 * kMinuteMs, .min_requests = 100};
  for (int i = 0; i < 60; ++i) {
    CountCell cell;
    cell.from_ms = kNow - (70 - i) * kMinuteMs;
    cell.to_ms = cell.from_ms + kMinuteMs;
    cell.baseline = i < 10;
    cell.total.stable = {.has_data = true, .requests = 1'000, .errors = 1};
    if (!cell.baseline) cell.total.canary = cell.total.stable;
    feed_.cells.push_back(std::move(cell));
  }
  feed_.since = 20'000;
  auto out = look();
  EXPECT_EQ(out.judgement->decision, judge::Decision::keep_watching);
  EXPECT_TRUE(out.judgement->reason.starts_with(
      "Passing so far, but 0 of the 100 canary requests that this step needs were compared: "))
      << out.judgement->reason;
  feed_.totals = {
      .canary_requests = 2'000, .canary_errors = 2, .stable_requests = 2'000, .stable_errors = 2};
  EXPECT_EQ(look().judgement->decision, judge::Decision::promote);
}

TEST_F(LookTest, ABrokenSplitLetsLimitsAndGrossHarmDecide) {
  feed_.totals = {
      .canary_requests = 2'000, .canary_errors = 0, .stable_requests = 8'000, .stable_errors = 0};
  request_.split_cause = "HAProxy reports server stable2 DOWN";
  auto out = look();
  EXPECT_EQ(out.judgement->decision, judge::Decision::keep_watching);
  EXPECT_NE(out.split_problem.find("fixed (HAProxy reports server stable2 DOWN)"),
            std::string::npos)
      << out.split_problem;
  cohorts_.canary_errors = 200; // beyond the margin, and no more than that
  EXPECT_EQ(look().judgement->decision, judge::Decision::keep_watching);
  feed_.totals.canary_errors = 2'000;
  EXPECT_EQ(look().judgement->decision, judge::Decision::rollback);
}

// A judge that needs no cells is not blind without them, but it cannot know how the traffic is
// split.
TEST_F(LookTest, WhatIsNotReadSuspendsTheComparisonAlone) {
  cohorts_.canary_errors = 200;
  EXPECT_EQ(look().judgement->decision, judge::Decision::rollback);
  feed_.broken = Error{ErrorCode::resource_exhausted, "too many samples"};
  auto out = look();
  EXPECT_EQ(out.source_error, "");
  EXPECT_EQ(out.judgement->decision, judge::Decision::keep_watching);
  EXPECT_NE(out.judgement->reason.find("was asked for too much: too many samples"),
            std::string::npos)
      << out.judgement->reason;
  EXPECT_FALSE(is_heard(out));
  feed_.broken.reset();
  feed_.behind = true;
  out = look();
  EXPECT_TRUE(out.judgement_incomplete);
  EXPECT_EQ(out.read_until_ms, kNow - 60 * kMinuteMs);
  EXPECT_EQ(out.judgement->decision, judge::Decision::keep_watching);
}

// Stable served thousands and exports each minute: the first minute of a step holds none of it.
TEST_F(LookTest, AWindowThatIsYoungerThanAnExportHasNoLackOfData) {
  auto spec = default_spec("shop");
  spec.judge = "sequential";
  spec.signals.clear();
  judge_ = make_judge_of(spec);
  request_.look.from_ms = request_.step_started_ms = kNow - 40'000;
  request_.step.min_requests = 0;
  feed_.stable.interval_ms = kMinuteMs;
  feed_.stable.newest_ms = kNow - 45'000;
  feed_.canary = {};
  EXPECT_EQ(look().judgement->reason, "Waiting for the next metrics export (every 60 s)");
  feed_.canary = {.newest_ms = kNow - 1'000, .heard_ms = kNow};
  feed_.since_canary = 184;
  EXPECT_EQ(look().judgement->reason, "Waiting for the next metrics export (every 60 s)");
  feed_.stable.newest_ms = kNow - 3 * kMinuteMs; // it has stopped
  EXPECT_EQ(look().judgement->reason, "No stable data to compare 184 canary requests with");
  feed_.stable.newest_ms = kNow; // in no cell yet
  feed_.since = 1'674;
  EXPECT_EQ(look().judgement->reason, "Waiting for the next metrics export (every 60 s)");
}

// A judgement of a service with 1 % errors that is undecided.
judge::Judgement undecided_judgement() {
  judge::SignalVerdict errors;
  errors.subject.signal = "error_rate";
  errors.measured.canary = errors.measured.stable = 0.01;
  errors.requests = {.canary = 100, .stable = 900};
  judge::Judgement out;
  out.signals = std::vector{errors};
  return out;
}

RolloutSpec sequential_spec() {
  auto spec = default_spec("shop");
  spec.judge = "sequential";
  spec.signals.clear();
  spec.router = route::HaproxyOptions{};
  return spec;
}

judge::TrackTotals totals_at(double rps, double minutes) {
  return {.canary_requests = rps * 60 * minutes * 0.05,
          .canary_errors = 0,
          .stable_requests = rps * 60 * minutes * 0.95,
          .stable_errors = 0,
          .minutes = minutes};
}

TEST(StepAdvice, IsGivenWhereTheTrafficIsTooLittle) {
  const auto spec = sequential_spec();
  const auto advice = step_advice(spec, undecided_judgement(), totals_at(2, 6), false);
  ASSERT_TRUE(advice);
  EXPECT_TRUE(advice->sentence.starts_with(
      "2 requests a second are little for these steps: errors must be +"))
      << advice->sentence;
  EXPECT_NE(advice->sentence.find("an equal release will hardly pass in time. With steps: " +
                                  advice->steps),
            std::string::npos)
      << advice->sentence;
  EXPECT_TRUE(advice->steps.ends_with(", 100%]")) << advice->steps;
  EXPECT_FALSE(step_advice(spec, undecided_judgement(), totals_at(200, 6), false));
}

TEST(StepAdvice, IsNeverGivenBeforeEnoughIsKnown) {
  const auto spec = sequential_spec();
  const auto judgement = undecided_judgement();
  for (const double minutes : {0.0, 0.25, 0.9}) {
    EXPECT_FALSE(step_advice(spec, judgement, totals_at(2, minutes), false)) << minutes;
    EXPECT_FALSE(step_advice(spec, judgement, totals_at(2, minutes), true)) << minutes;
  }
  EXPECT_FALSE(step_advice(spec, judgement, totals_at(2, 4.9), false));
  EXPECT_TRUE(step_advice(spec, judgement, totals_at(2, 4.9), true)) << "the step is over";
  EXPECT_FALSE(step_advice(spec, {}, totals_at(2, 10), true)) << "no error rate is known";
  auto decided = judgement;
  for (const auto decision : {judge::Decision::promote, judge::Decision::rollback}) {
    decided.decision = decision;
    EXPECT_FALSE(step_advice(spec, decided, totals_at(2, 10), true));
  }
}

TEST(StepAdvice, IsOfTheSequentialJudgeAlone) {
  auto spec = sequential_spec();
  for (const auto* judge : {"threshold", "mann_whitney"}) {
    spec.judge = judge;
    EXPECT_FALSE(step_advice(spec, undecided_judgement(), totals_at(2, 10), true)) << judge;
  }
}

TEST(StepAdvice, SaysWhenNoStepsHelp) {
  auto spec = sequential_spec();
  spec.signals = judge::sequential_defaults().signals;
  spec.signals[0].automatic = false;
  spec.signals[0].margin.amount = 0.0001;
  const auto advice = step_advice(spec, undecided_judgement(), totals_at(0.001, 60), true);
  ASSERT_TRUE(advice);
  EXPECT_EQ(advice->steps, "");
  EXPECT_NE(advice->sentence.find("No steps of up to 4h each decide enough"), std::string::npos)
      << advice->sentence;
}

TEST_F(LookTest, AdviceComesWithALookWhereTheWeightsAreOurs) {
  const auto spec = sequential_spec();
  request_.spec = std::make_shared<const RolloutSpec>(spec);
  request_.step = spec.steps[0];
  request_.watched_since_ms = request_.step_started_ms;
  request_.asked_split = 0; // not watched here
  judge_ = make_judge_of(spec);
  feed_.since = 100;
  feed_.totals = totals_at(2, 9);
  const auto cell = [](int minute, double canary, double stable) {
    CountCell out;
    out.from_ms = kNow + minute * kMinuteMs;
    out.to_ms = out.from_ms + kMinuteMs;
    out.baseline = !(canary > 0);
    out.total = {"",
                 {.requests = canary, .errors = canary / 100},
                 {.requests = stable, .errors = stable / 100}};
    return out;
  };
  const auto cells = [&] {
    std::vector<CountCell> out;
    for (int i = -40; i < -10; ++i) out.push_back(cell(i, 0, 120));
    for (int i = -10; i < -1; ++i) out.push_back(cell(i, 6, 114));
    return out;
  };
  feed_.cells = cells();
  const auto out = look();
  ASSERT_TRUE(out.advice) << out.judgement->reason;
  EXPECT_FALSE(out.advice->steps.empty());
  auto watches = spec;
  watches.router = {}; // observe
  request_.spec = std::make_shared<const RolloutSpec>(watches);
  EXPECT_FALSE(look().advice) << "its weights are a plan, and not those of the traffic";
}

TEST_F(LookTest, AStoreThatWasAskedForTooMuchIsNotUnreachable) {
  auto spec = default_spec("shop");
  spec.judge = "sequential";
  spec.signals.clear();
  judge_ = make_judge_of(spec);
  feed_.broken = Error{ErrorCode::resource_exhausted, "too many samples"};
  auto out = look();
  EXPECT_EQ(out.source_error, "The telemetry store was asked for too much: too many samples");
  EXPECT_EQ(out.judgement->reason, out.source_error + ": nothing is decided");
  feed_.broken = Error{ErrorCode::unavailable, "connection refused"};
  EXPECT_EQ(look().judgement->reason,
            "The telemetry store could not be reached (connection refused): nothing is decided");
}

} // namespace
} // namespace coalmine::rollout
