// SPDX-License-Identifier: Apache-2.0
#include "rollout/evidence/absent_track.h"

#include <gtest/gtest.h>

#include <set>

#include "rollout/evidence/one_shot.h"

namespace coalmine::rollout {
namespace {

// Series by their labels; no counts.
class LabelSource final : public cohort::CohortSource {
 public:
  std::vector<Labels> series;
  std::vector<Labels> others; // that count no requests; with their names
  Result<cohort::CohortCounts> counts(const cohort::CohortSelector&, std::int64_t,
                                      std::int64_t) const override {
    return cohort::CohortCounts{};
  }
  std::vector<std::string> label_values(const cohort::CohortSelector& among,
                                        const std::string& label, std::int64_t,
                                        std::int64_t) const override {
    std::set<std::string> out;
    for (const auto& labels : series) {
      bool all = true;
      for (const auto& m : among.matchers) {
        if (m.op == Matcher::Op::regexp) continue;
        all &= (labels.get(m.name) == m.value) == (m.op == Matcher::Op::equal);
      }
      if (all && labels.has(label)) out.emplace(labels.get(label));
    }
    return {out.begin(), out.end()};
  }
  std::vector<std::string> metric_names(const cohort::CohortSelector& among, std::int64_t,
                                        std::int64_t) const override {
    LabelSource all;
    all.series = others;
    return all.label_values(among, "__name__", 0, 0);
  }
};

struct AbsentTrack : ::testing::Test {
  LabelSource source;
  RolloutSpec spec = default_spec("shop");
  void SetUp() override {
    spec.canary = {{"app.lane", "canary"}};
    spec.stable = {{"app.lane", "stable"}};
  }
  void report(std::vector<Labels::Pair> labels) {
    labels.emplace_back("service_name", "shop");
    source.series.emplace_back(std::move(labels));
  }
  void count_nothing(const std::string& name, const std::string& lane) {
    source.others.emplace_back(std::vector<Labels::Pair>{
        {"__name__", name}, {"app_lane", lane}, {"service_name", "shop"}});
  }
  std::string told(std::string canary = "", std::string stable = "") {
    return explain_absence(spec, {std::move(canary), std::move(stable), 0, 1'000'000}, source);
  }
};

TEST_F(AbsentTrack, NamesTheValuesThatAreThere) {
  EXPECT_EQ(told(), "") << "a service that reports nothing has no values to name";
  for (const auto* lane : {"blue", "green", "stable"}) report({{"app_lane", lane}});
  EXPECT_EQ(told(), "nothing of shop has app.lane=canary: app.lane is blue, green or stable");
  for (const auto* lane : {"a", "b", "c"}) report({{"app_lane", lane}});
  EXPECT_EQ(told(),
            "nothing of shop has app.lane=canary: app.lane is a, b, blue, c, green and 1 "
            "more");
  report({{"app_lane", "canary"}});
  EXPECT_EQ(told(), "");
}

// The attribute is as it should be, and what has it counts no requests.
TEST_F(AbsentTrack, TelemetryThatCountsNoRequestsIsNotDenied) {
  count_nothing("jvm_memory_used", "canary");
  count_nothing("target_info", "stable");
  EXPECT_TRUE(
      told().starts_with("telemetry of shop comes (jvm_memory_used), but none of it counts "
                         "HTTP requests: "))
      << told();
  report({{"app_lane", "stable"}});
  EXPECT_TRUE(
      told().starts_with("telemetry of the canary comes (jvm_memory_used), but none of it "
                         "counts HTTP requests: "))
      << told();
  source.others.clear();
  EXPECT_EQ(told(), "nothing of shop has app.lane=canary: app.lane is stable");
}

TEST_F(AbsentTrack, SaysWhatIsMissingAndWhatDoesNotMeet) {
  report({{"deployment_track", "canary"}});
  EXPECT_EQ(told(),
            "nothing of shop has app.lane=canary: app.lane is not there; nothing of shop "
            "has app.lane=stable: app.lane is not there");
  source.series.clear();
  report({{"app_lane", "canary"}, {"service_version", "2.4.1"}});
  report({{"app_lane", "stable"}, {"service_version", "2.4.0"}});
  EXPECT_EQ(told("2.4.0"),
            "nothing of shop has app.lane=canary and service.version=2.4.0: each of "
            "them is there, but not all at once");
  EXPECT_EQ(told("2.5.0", "2.4.0"),
            "nothing of shop has app.lane=canary and "
            "service.version=2.5.0: service.version is 2.4.0 or 2.4.1");
}

TEST_F(AbsentTrack, IsPartOfTheReason) {
  report({{"app_lane", "blue"}});
  const auto judgement = analyze(spec, {"", "", 0, 600'000}, source);
  EXPECT_EQ(judgement.reason,
            "No canary data, and no stable requests either (nothing of shop has app.lane=canary: "
            "app.lane is blue; nothing of shop has app.lane=stable: app.lane is blue)");
}

} // namespace
} // namespace coalmine::rollout
