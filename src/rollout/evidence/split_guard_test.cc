// SPDX-License-Identifier: Apache-2.0
#include "rollout/evidence/split_guard.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

namespace coalmine::rollout {
namespace {

TEST(SplitGuard, Cases) {
  struct Case {
    const char* name;
    double canary, stable, asked;
    bool broken;
  };
  const Case cases[] = {
      {"as asked", 5'000, 95'000, 0.05, false},
      {"a little off at very much traffic", 52'000, 948'000, 0.05, false},
      {"half of it missing", 2'500, 97'500, 0.05, true},
      {"twice as much", 10'000, 90'000, 0.05, true},
      {"too few to tell", 2, 98, 0.05, false},
      {"none of many", 0, 10'000, 0.05, true},
      {"no requests", 0, 0, 0.05, false},
      {"everything to the canary", 1'000, 0, 1.0, false},
      {"nothing asked", 10, 10'000, 0, false},
      {"half and half", 50'400, 49'600, 0.5, false},
      {"sticky sessions", 70'000, 30'000, 0.5, true},
      {"numbers that are none", NAN, 10, 0.05, false},
      {"infinitely many", INFINITY, 10, 0.05, false},
      {"ten to the nine", 5e7, 9.5e8, 0.05, false},
  };
  for (const auto& c : cases) {
    const auto got = check_split(c.canary, c.stable, c.asked);
    EXPECT_EQ(got.broken, c.broken) << c.name;
    EXPECT_EQ(got.sentence.empty(), !c.broken) << c.name;
  }
  const auto got = check_split(2'500, 97'500, 0.05);
  EXPECT_NE(got.sentence.find("the canary got 2.5% of 100000 requests where 5% were asked for"),
            std::string::npos)
      << got.sentence;
}

TEST(SplitGuard, MayBeAskedAtEveryLook) {
  std::mt19937_64 random(11);
  int alarms = 0;
  for (int run = 0; run < 200; ++run) {
    double canary = 0;
    double stable = 0;
    bool broken = false;
    for (int look = 0; look < 240 && !broken; ++look) {
      const auto n = std::poisson_distribution<int>(600)(random);
      const auto x = std::binomial_distribution<int>(n, 0.05)(random);
      canary += x;
      stable += n - x;
      broken = check_split(canary, stable, 0.05).broken;
    }
    alarms += broken ? 1 : 0;
  }
  EXPECT_LE(alarms, 1);
}

} // namespace
} // namespace coalmine::rollout
