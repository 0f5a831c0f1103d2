// SPDX-License-Identifier: Apache-2.0
#include "judge/suspended.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "judge/judge.h"

namespace coalmine::judge {
namespace {

TEST(GrossHarm, Cases) {
  struct Case {
    const char* name;
    TrackTotals totals;
    double asked;
    bool gross;
  };
  const Case cases[] = {
      {"half of the canary's requests are missing, all others fail",
       {120, 120, 880, 4},
       0.25,
       true},
      {"equal tracks", {120, 1, 880, 7}, 0.25, false},
      {"worse, but not by much", {1'200, 96, 8'800, 44}, 0.25, false},
      {"no errors at all", {0, 0, 1'000, 0}, 0.25, false},
      {"twice the requests, and all that are too many fail", {500, 250, 500, 3}, 0.25, false},
      {"twice the requests, and all fail", {500, 500, 500, 3}, 0.25, true},
      {"too few to tell", {3, 3, 20, 0}, 0.25, false},
      {"stable fails as well", {250, 240, 750, 700}, 0.25, false},
      {"nothing was asked", {10, 10, 10, 0}, 0, false},
      {"no number", {NAN, 10, 10, 0}, 0.25, false},
  };
  for (const auto& c : cases) EXPECT_EQ(is_gross_harm(c.totals, c.asked), c.gross) << c.name;
}

// Whoever is sent where: as long as the service fails as it always does, the harm is not gross.
TEST(GrossHarm, NoSplitOfAHealthyServiceIsGross) {
  std::mt19937_64 random(5);
  for (int run = 0; run < 2'000; ++run) {
    const double asked = std::uniform_real_distribution(0.01, 0.9)(random);
    const double rate = std::uniform_real_distribution(0.0, 0.05)(random);
    const int requests = std::uniform_int_distribution(10, 50'000)(random);
    const int failing = std::binomial_distribution<int>(requests, rate)(random);
    // The requests that got the wrong way are the failing ones, as many as possible.
    const auto wanted = static_cast<int>(asked * requests);
    const int surplus = std::uniform_int_distribution(0, requests - wanted)(random);
    const int canary = wanted + surplus;
    const int moved = std::min(surplus, failing);
    const int chance = std::binomial_distribution<int>(failing - moved, asked)(random);
    const TrackTotals totals{static_cast<double>(canary), static_cast<double>(moved + chance),
                             static_cast<double>(requests - canary),
                             static_cast<double>(failing - moved - chance)};
    EXPECT_FALSE(is_gross_harm(totals, asked)) << run;
  }
}

TEST(BeyondLimit, IsProven) {
  EXPECT_TRUE(is_beyond_limit(20, 20, 0.05));
  EXPECT_FALSE(is_beyond_limit(3, 30, 0.05)); // measured beyond, and may be chance
  EXPECT_FALSE(is_beyond_limit(40, 1'000, 0.05));
  EXPECT_TRUE(is_beyond_limit(1, 1'000, 0)); // no error is allowed
  EXPECT_FALSE(is_beyond_limit(0, 0, 0.05));
}

Evidence evidence_of(double canary_errors, double stable_errors) {
  const auto track = [](double errors) {
    TrackCounts out{.has_data = true, .requests = 1'000, .errors = errors};
    out.bounds_ms = std::make_shared<const std::vector<double>>(std::vector<double>{100, 500});
    out.bucket_counts = {900, 100, 0};
    return out;
  };
  Evidence out;
  out.canary = track(canary_errors);
  out.stable = track(stable_errors);
  out.canary_age_minutes = 60;
  out.comparison_suspended = {.why = "The traffic split is broken",
                              .asked_share = 0.5,
                              .recent = {{.canary_requests = 1'000,
                                          .canary_errors = canary_errors,
                                          .stable_requests = 1'000,
                                          .stable_errors = stable_errors}}};
  return out;
}

TEST(Suspended, AComparisonDecidesNothing) {
  const auto judge = make_threshold_judge(seed_defaults());
  const auto equal = judge->judge(evidence_of(4, 4));
  EXPECT_EQ(equal.decision, Decision::keep_watching);
  EXPECT_EQ(equal.reason, "The traffic split is broken");
  for (const auto& v : equal.signals) {
    EXPECT_EQ(v.verdict, Verdict::watching);
    EXPECT_EQ(v.cause, Cause::split_broken);
  }
  EXPECT_EQ(judge->judge(evidence_of(120, 4)).decision, Decision::keep_watching);
}

TEST(Suspended, ALimitHolds) {
  auto options = seed_defaults();
  options.signals[0].max = 0.05;
  const auto out = make_threshold_judge(options)->judge(evidence_of(120, 4));
  EXPECT_EQ(out.decision, Decision::rollback);
  EXPECT_EQ(out.signals[0].verdict, Verdict::regression);
  EXPECT_EQ(out.reason, "error_rate: 12.00% on canary, limit 5.00%. The traffic split is broken");
  EXPECT_EQ(out.signals[1].verdict, Verdict::watching);
}

TEST(Suspended, ALimitOfALatencyHolds) {
  auto options = seed_defaults();
  options.signals[1].max = 200;
  const auto out = make_threshold_judge(options)->judge(evidence_of(4, 4));
  EXPECT_EQ(out.decision, Decision::rollback);
  EXPECT_NE(out.reason.find("p99_latency"), std::string::npos) << out.reason;
}

TEST(Suspended, GrossHarmIsSeenByEveryJudge) {
  std::vector<std::unique_ptr<Judge>> judges;
  judges.push_back(make_threshold_judge(seed_defaults()));
  judges.push_back(make_sequential_judge(sequential_defaults()));
  RankOptions rank;
  rank.signals = seed_defaults().signals;
  judges.push_back(make_rank_judge(std::move(rank)));
  for (const auto& judge : judges) {
    const auto out = judge->judge(evidence_of(900, 4));
    EXPECT_EQ(out.decision, Decision::rollback) << judge->name();
    EXPECT_NE(out.reason.find("more than any split of the traffic explains"), std::string::npos)
        << out.reason;
  }
}

} // namespace
} // namespace coalmine::judge
