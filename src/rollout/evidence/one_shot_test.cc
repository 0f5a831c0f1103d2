// SPDX-License-Identifier: Apache-2.0
#include "rollout/evidence/one_shot.h"

#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <cmath>
#include <map>
#include <stdexcept>

#include "cohort/exporters_for_test.h"
#include "rollout/evidence/cohort_selector.h"
#include "rollout/evidence/window_evidence.h"
#include "rollout/json.h"

namespace coalmine::rollout {
namespace {

namespace json = boost::json;

// Answers by track.
class FixedSource final : public cohort::CohortSource {
 public:
  Result<cohort::CohortCounts> canary = cohort::CohortCounts{};
  Result<cohort::CohortCounts> stable = cohort::CohortCounts{};
  bool throws = false;
  Result<cohort::CohortCounts> counts(const cohort::CohortSelector& cohort, std::int64_t,
                                      std::int64_t) const override {
    if (throws) throw std::runtime_error("boom");
    for (const auto& m : cohort.matchers) {
      if (m.name == "deployment_track") return m.value == "canary" ? canary : stable;
    }
    return fail(ErrorCode::invalid_argument, "no track asked for");
  }
};

TrackCounts all_fast(double requests, double errors) {
  static const auto kBounds =
      std::make_shared<const std::vector<double>>(std::vector<double>{100, 500});
  return {.has_data = true,
          .requests = requests,
          .errors = errors,
          .bounds_ms = kBounds,
          .bucket_counts = {std::floor(requests), 0, 0}};
}

cohort::CohortCounts cohort(double requests, double errors) {
  cohort::CohortCounts out;
  out.routes = {{"/api/pay", all_fast(requests, errors)},
                {"/healthz", all_fast(1e6, 0)},
                {"", {.has_data = true, .requests = 10, .errors = 1}}};
  out.first_ms = 1'000;
  out.last_ms = 900'000;
  out.any_series = true;
  return out;
}

RolloutSpec spec_with_ignored_health() {
  auto spec = default_spec("checkout-service");
  spec.ignore_routes = {"/healthz"};
  return spec;
}

TEST(CohortSelectorTest, AttributesBecomeLabels) {
  auto spec = default_spec("checkout-service");
  spec.failures.also = {{429, 429}};
  const auto plain = cohort_selector(spec, Track::canary, "");
  EXPECT_EQ(plain.failures, spec.failures);
  ASSERT_EQ(plain.matchers.size(), 2u);
  EXPECT_EQ(plain.matchers[0], (Matcher{"service_name", Matcher::Op::equal, "checkout-service"}));
  EXPECT_EQ(plain.matchers[1], (Matcher{"deployment_track", Matcher::Op::equal, "canary"}));

  spec.environment = "prod.eu-1";
  const auto full = cohort_selector(spec, Track::stable, "2.3.0");
  ASSERT_EQ(full.matchers.size(), 5u);
  EXPECT_EQ(full.matchers[1].value, "stable");
  EXPECT_EQ(full.matchers[2],
            (Matcher{"deployment_environment", Matcher::Op::regexp, "prod\\.eu\\-1|"}));
  EXPECT_EQ(full.matchers[3].name, "deployment_environment_name");
  EXPECT_EQ(full.matchers[4], (Matcher{"service_version", Matcher::Op::equal, "2.3.0"}));

  spec.canary = {{"service.version", "2.4.0"}};
  EXPECT_EQ(cohort_selector(spec, Track::canary, "9").matchers.back().name,
            "deployment_environment_name")
      << "the selector's own version counts";
}

TEST(CohortSelectorTest, WhatBothSelectorsFitIsOneTracks) {
  auto spec = default_spec("shop");
  spec.stable = {{"deployment.environment", "production"}};
  EXPECT_EQ(cohort_selector(spec, Track::stable, "").matchers.back(),
            (Matcher{"deployment_track", Matcher::Op::not_equal, "canary"}));
  EXPECT_EQ(cohort_selector(spec, Track::canary, "").matchers.size(), 2u);
  spec.canary = {{"a", "1"}};
  spec.stable = {{"a", "1"}, {"b", "2"}};
  EXPECT_EQ(cohort_selector(spec, Track::canary, "").matchers.back(),
            (Matcher{"b", Matcher::Op::not_equal, "2"}))
      << "all of stable fits the canary's selector: nothing would be left of it";
  EXPECT_EQ(cohort_selector(spec, Track::stable, "").matchers.size(), 3u);
}

// One export, and none after it that would close its interval.
class OpenFeeds final : public cohort::CountFeedSource {
 public:
  cohort::CountFeedTraits traits() const override { return {}; }
  std::unique_ptr<cohort::CountFeed> open(cohort::CountFeedRequest) const override {
    class Feed final : public cohort::CountFeed {
      Status read(cohort::CountGrid&, std::int64_t) override { return {}; }
      Status read_past(cohort::CountGrid&, std::int64_t) override { return {}; }
    };
    return std::make_unique<Feed>();
  }
};

TEST(AnalyzeTest, WhatIsCountedIsShownBeforeAnIntervalCloses) {
  auto spec = default_spec("shop");
  spec.judge = "sequential";
  FixedSource source;
  source.canary = cohort(300, 0);
  source.stable = cohort(500, 0);
  const OpenFeeds feeds;
  const auto judgement = analyze(spec, {"", "", 0, 600'000}, source, &feeds);
  ASSERT_FALSE(judgement.signals.empty());
  const auto& line = judgement.signals[0];
  EXPECT_EQ(line.cause, judge::Cause::interval_open) << judgement.reason;
  EXPECT_GT(line.requests.canary, 300);
  EXPECT_GT(line.requests.stable, line.requests.canary);
}

// Processes whose errors come 30 at once, each five minutes at a moment of its own, on both tracks.
class ClumpedFeeds final : public cohort::CountFeedSource {
 public:
  cohort::CountFeedTraits traits() const override { return {}; }
  std::unique_ptr<cohort::CountFeed> open(cohort::CountFeedRequest) const override {
    class Feed final : public cohort::CountFeed {
      Status read(cohort::CountGrid& grid, std::int64_t) override {
        for (int i = 0; i < 12; ++i) add(grid, i);
        return {};
      }
      Status read_past(cohort::CountGrid&, std::int64_t) override { return {}; }
      static void add(cohort::CountGrid& grid, int i) {
        const auto track = i < 2 ? Track::canary : Track::stable;
        const auto name = "pod-" + std::to_string(i);
        std::vector<cohort::At> requests, errors;
        for (double t = 0; t <= 3600; t += 15) {
          requests.push_back({t, 20 * (t + 3600)});
          errors.push_back({t, 30 * std::floor((t + 25 * i) / 300)});
        }
        grid.add(cohort::series(track, cohort::Measure::requests, name, "/pay", requests));
        grid.add(cohort::series(track, cohort::Measure::bad, name, "/pay", errors));
      }
    };
    return std::make_unique<Feed>();
  }
};

TEST(AnalyzeTest, MeasuresHowRequestsDependOnEachOther) {
  const ClumpedFeeds feeds;
  FixedSource source;
  source.canary = cohort(24'000, 240);
  source.stable = cohort(120'000, 1'200);
  auto spec = default_spec("checkout-service");
  spec.judge = "sequential";
  spec.signals.clear();
  const auto out = analyze(spec,
                           {.canary_version = "",
                            .stable_version = "",
                            .from_ms = cohort::at(2400),
                            .to_ms = cohort::at(3000)},
                           source, &feeds);
  ASSERT_TRUE(out.dispersion.has_value()) << out.reason;
  EXPECT_GT(*out.dispersion, 10);
}

TEST(MakeEvidenceTest, RoutesAndTotals) {
  const auto evidence =
      make_evidence(spec_with_ignored_health(), cohort(200, 20), cohort(4000, 8), 601'000);
  EXPECT_DOUBLE_EQ(evidence.canary.requests, 210)
      << "without /healthz, with the requests that have no route";
  EXPECT_DOUBLE_EQ(evidence.canary.errors, 21);
  EXPECT_TRUE(evidence.canary.has_data);
  ASSERT_EQ(evidence.canary.bucket_counts.size(), evidence.canary.bounds_ms->size() + 1);
  EXPECT_DOUBLE_EQ(evidence.canary.bucket_counts[0], 200);
  ASSERT_EQ(evidence.routes.size(), 1u);
  EXPECT_EQ(evidence.routes[0].route, "/api/pay");
  EXPECT_DOUBLE_EQ(evidence.routes[0].stable.requests, 4000);
  EXPECT_DOUBLE_EQ(evidence.canary_age_minutes, 10);
  EXPECT_EQ(evidence.source_error, "");
}

// The same durations read from other bounds would be another number.
TEST(MakeEvidenceTest, LatencyIsReadAtBoundariesThatBothTracksHave) {
  const auto spec = spec_with_ignored_health();
  auto canary = cohort(200, 0);
  const auto give = [&](std::vector<double> bounds, std::vector<double> counts) {
    canary.routes[0].counts.bounds_ms =
        std::make_shared<const std::vector<double>>(std::move(bounds));
    canary.routes[0].counts.bucket_counts = std::move(counts);
    return make_evidence(spec, canary, cohort(4000, 0), 601'000);
  };
  const auto shared = give({50, 100, 250}, {150, 40, 10, 0});
  ASSERT_NE(shared.canary.bounds_ms, nullptr);
  EXPECT_EQ(*shared.canary.bounds_ms, (std::vector<double>{100}));
  EXPECT_EQ(shared.canary.bounds_ms, shared.stable.bounds_ms);
  EXPECT_EQ(shared.canary.bucket_counts, (std::vector<double>{190, 10}));
  EXPECT_EQ(shared.routes.at(0).canary.bucket_counts, (std::vector<double>{190, 10}));
  EXPECT_EQ(shared.canary.bounds_note, "");

  const auto apart = give({7, 70}, {150, 40, 10});
  EXPECT_EQ(apart.canary.bounds_ms, nullptr);
  EXPECT_EQ(apart.stable.bounds_ms, nullptr);
  EXPECT_NE(apart.canary.bounds_note.find("the canary with the bounds 7, 70 ms"), std::string::npos)
      << apart.canary.bounds_note;
  EXPECT_EQ(apart.routes.at(0).bounds_note(), apart.canary.bounds_note);
}

TEST(MakeEvidenceTest, StatesAreNotMerged) {
  const auto spec = default_spec("checkout-service");
  const auto never = make_evidence(spec, cohort::CohortCounts{}, cohort(10, 0), 1'000'000);
  EXPECT_FALSE(never.canary.has_data);
  EXPECT_TRUE(never.stable.has_data);
  auto idle = cohort::CohortCounts{};
  idle.any_series = true;
  idle.last_ms = 5;
  const auto zero = make_evidence(spec, idle, cohort(10, 0), 1'000'000);
  EXPECT_TRUE(zero.canary.has_data) << "reporting, without requests";
  EXPECT_EQ(zero.canary.requests, 0);
  const auto gone =
      make_evidence(spec, cohort(1, 0), fail(ErrorCode::unavailable, "refused"), 1'000'000);
  EXPECT_EQ(gone.source_error, "refused");
}

TEST(AnalyzeTest, DecisionsOfTheSeedsRule) {
  const auto spec = spec_with_ignored_health();
  const AnalyzeRequest request{
      .canary_version = "2.4.0", .stable_version = "2.3.0", .from_ms = 0, .to_ms = 901'000};
  FixedSource source;
  source.canary = cohort(2000, 0);
  source.stable = cohort(40'000, 0);
  EXPECT_EQ(analyze(spec, request, source).decision, judge::Decision::promote);
  source.canary = cohort(2000, 1000);
  EXPECT_EQ(analyze(spec, request, source).decision, judge::Decision::rollback);
  source.canary = cohort(20, 10);
  EXPECT_EQ(analyze(spec, request, source).decision, judge::Decision::keep_watching)
      << "too few requests decide nothing";
  source.canary = cohort::CohortCounts{};
  const auto nothing = analyze(spec, request, source).decision;
  EXPECT_TRUE(nothing != judge::Decision::promote && nothing != judge::Decision::rollback);
}

TEST(AnalyzeTest, NeverFails) {
  const auto spec = default_spec("checkout-service");
  FixedSource source;
  source.stable = fail(ErrorCode::unavailable, "connection refused");
  auto judgement = analyze(spec, {}, source);
  EXPECT_NE(judgement.decision, judge::Decision::promote);
  EXPECT_NE(judgement.decision, judge::Decision::rollback);
  source.throws = true;
  judgement = analyze(spec, {}, source);
  EXPECT_NE(judgement.reason.find("boom"), std::string::npos) << judgement.reason;
}

TEST(VerdictJsonTest, HasTheSeedsKeys) {
  FixedSource source;
  source.canary = cohort(2000, 1000);
  source.stable = cohort(40'000, 40);
  const auto judgement =
      analyze(spec_with_ignored_health(), AnalyzeRequest{"", "", 0, 901'000}, source);
  const auto text = verdict_json(judgement, {.service = "checkout-service",
                                             .canary_version = "2.4.0",
                                             .stable_version = "2.3.0",
                                             .from_ms = 1'763'818'327'000,
                                             .to_ms = 1'763'818'927'250});
  const auto value = json::parse(text);
  const auto& o = value.as_object();
  EXPECT_EQ(o.at("schema").as_string(), "coalmine.verdict/v1");
  EXPECT_EQ(o.at("decision").as_string(), "rollback");
  EXPECT_EQ(o.at("window").at("from").as_string(), "2025-11-22T13:32:07Z");
  EXPECT_EQ(o.at("window").at("to").as_string(), "2025-11-22T13:42:07.250Z");
  EXPECT_EQ(o.at("requests").at("canary").to_number<double>(), 2010);
  const auto& error_rate = o.at("results").at("error_rate");
  EXPECT_FALSE(error_rate.at("passed").as_bool());
  EXPECT_NEAR(error_rate.at("canary").to_number<double>(), 1001.0 / 2010, 1e-9);
  EXPECT_NEAR(error_rate.at("diff").to_number<double>(), 1001.0 / 2010 - 41.0 / 40'010, 1e-9);
  const auto& latency = o.at("results").at("p99_latency");
  EXPECT_TRUE(latency.at("passed").as_bool());
  EXPECT_TRUE(latency.as_object().contains("increase_pct") &&
              latency.as_object().contains("canary_ms"));
  const auto& metric = o.at("metrics").as_array().at(0).as_object();
  for (const auto* key :
       {"name", "route", "stable", "canary", "difference", "relative", "interval", "margin",
        "verdict", "cause", "gate", "canary_requests", "stable_requests", "reason"}) {
    EXPECT_TRUE(metric.contains(key)) << key;
  }
  EXPECT_TRUE(metric.at("interval").is_null());
  EXPECT_EQ(metric.at("margin").as_string(), "+10pp");
  EXPECT_TRUE(o.contains("analysis_duration_minutes"));
}

TEST(VerdictJsonTest, SaysWhatIsPromisedAndTried) {
  judge::Judgement judgement;
  auto value = json::parse(verdict_json(judgement, {}));
  EXPECT_FALSE(value.as_object().contains("guarantee"));
  EXPECT_FALSE(value.as_object().contains("trial"));
  judgement.guarantee = "a sentence";
  judgement.trial = {.processes = 19, .minutes = 15, .rolled_back = 2, .asked = 1, .widen = 1.5};
  value = json::parse(verdict_json(judgement, {}));
  EXPECT_EQ(value.at("guarantee").as_string(), "a sentence");
  EXPECT_EQ(
      value.at("trial"),
      json::parse(R"({"processes":19,"minutes":15,"rolled_back":2,"asked":1,"widen":1.5E0})"));
}

TEST(VerdictJsonTest, UnknownNumbersAreNull) {
  FixedSource source;
  source.canary = fail(ErrorCode::unavailable, "gone");
  const auto value = json::parse(verdict_json(analyze(default_spec("s"), {}, source), {}));
  EXPECT_TRUE(value.at("results").as_object().empty());
  for (const auto& metric : value.at("metrics").as_array())
    EXPECT_TRUE(metric.at("canary").is_null());
}

TEST(RolloutJsonTest, IsAsDocumented) {
  RolloutStatus status;
  status.id = RolloutId{42};
  status.service = "checkout \"service\"";
  status.steps = {{.spec = {.weight = 0.05, .analyze_ms = 600'000},
                   .started_ms = 5,
                   .ended_ms = 0,
                   .outcome = ""}};
  status.weight_asked = 0.05;
  status.log = {{1, 2, "started", "sentence", "cli"}};
  auto value = json::parse(rollout_json(status, WithLog::yes));
  const auto& o = value.as_object();
  for (const auto* key : {"id",
                          "service",
                          "canary_version",
                          "stable_version",
                          "phase",
                          "terminal",
                          "step",
                          "steps",
                          "moves_traffic",
                          "weight_asked",
                          "weight_applied",
                          "observed_split",
                          "observed_valid_ms",
                          "reason",
                          "started_ms",
                          "ended_ms",
                          "time_to_rollback_ms",
                          "actor",
                          "judgement",
                          "log"}) {
    EXPECT_TRUE(o.contains(key)) << key;
  }
  EXPECT_EQ(o.at("id").as_int64(), 42);
  EXPECT_EQ(o.at("service").as_string(), "checkout \"service\"");
  EXPECT_TRUE(o.at("weight_applied").is_null());
  EXPECT_TRUE(o.at("judgement").is_null());
  EXPECT_EQ(o.at("log").at(0).at("kind").as_string(), "started");
  EXPECT_EQ(o.at("steps").at(0).at("weight").as_double(), 0.05);
  EXPECT_NE(rollout_json(status, WithLog::yes).find("\"weight\":0.05"), std::string::npos)
      << "shortest form, no exponent";
  EXPECT_FALSE(json::parse(rollout_json(status, WithLog::no)).as_object().contains("log"));
  EXPECT_FALSE(o.contains("advice")) << "the traffic is enough";
  status.advice = {.sentence = "little", .steps = "[50% 2h, 100%]"};
  auto advice = json::parse(rollout_json(status, WithLog::no)).at("advice");
  EXPECT_EQ(advice.at("sentence").as_string(), "little");
  EXPECT_EQ(advice.at("steps").as_string(), "[50% 2h, 100%]");
  status.advice->steps.clear();
  advice = json::parse(rollout_json(status, WithLog::no)).at("advice");
  EXPECT_FALSE(advice.as_object().contains("steps")) << "none decide more";
}

} // namespace
} // namespace coalmine::rollout
