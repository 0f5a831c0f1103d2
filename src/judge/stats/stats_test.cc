// Properties of the evidence: what must hold for every input.
// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <algorithm>
#include <boost/math/distributions/chi_squared.hpp>
#include <boost/math/distributions/normal.hpp>
#include <boost/math/special_functions/beta.hpp>
#include <boost/math/special_functions/gamma.hpp>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <vector>

#include "judge/rank_rules.h"
#include "judge/stats/asymptotic.h"
#include "judge/stats/bernoulli_exact.h"
#include "judge/stats/count_process.h"
#include "judge/stats/dispersion.h"
#include "judge/stats/linear_margin.h"
#include "judge/stats/multiplicity.h"
#include "judge/stats/onset.h"
#include "judge/stats/quantile_bounds.h"
#include "judge/stats/rank_statistics.h"
#include "judge/stats/special.h"

namespace coalmine::judge {
namespace {

double binomial(int n, int k, double p) {
  double log_choose = log_gamma(n + 1.0) - log_gamma(k + 1.0) - log_gamma(n - k + 1.0);
  if (p == 0) return k == 0 ? 1 : 0;
  if (p == 1) return k == n ? 1 : 0;
  return std::exp(log_choose + k * std::log(p) + (n - k) * std::log1p(-p));
}

// Expectation of exp(f(cell)) over all outcomes of one cell.
template <typename F>
double expectation(int n1, double p1, int n0, double p0, F&& f) {
  double out = 0;
  for (int x1 = 0; x1 <= n1; ++x1) {
    for (int x0 = 0; x0 <= n0; ++x0) {
      const double weight = binomial(n1, x1, p1) * binomial(n0, x0, p0);
      const double log_e = f(Cell{static_cast<double>(x1), static_cast<double>(n1),
                                  static_cast<double>(x0), static_cast<double>(n0)});
      if (weight > 0 && log_e > -kInfinity) out += weight * std::exp(log_e);
    }
  }
  return out;
}

// The definition of an e-value, by enumeration: on every edge of the null the expectation is at
// most 1.
TEST(Evidence, ExpectationAtMostOneUnderTheNull) {
  for (const auto& [n1, n0] :
       {std::pair{1, 1}, {1, 19}, {3, 12}, {8, 8}, {10, 2}, {5, 0}, {0, 5}}) {
    for (const double p0 : {0.0, 0.001, 0.05, 0.3, 0.7, 1.0}) {
      for (const double r0 : {1.0, 1.5}) {
        for (const double delta : {0.0, 0.01, 0.2}) {
          const double edge = r0 * p0 + delta;
          if (edge > 1) continue;
          for (const double phi : {1.0, 2.0}) {
            EXPECT_LE(expectation(n1, edge, n0, p0,
                                  [&](const Cell& c) {
                                    ExcessProcess e(r0);
                                    e.add(c, phi);
                                    return e.log_e(delta);
                                  }),
                      1 + 1e-9);
            EXPECT_LE(expectation(n1, edge, n0, p0,
                                  [&](const Cell& c) {
                                    SafetyProcess e(r0);
                                    e.add(c, phi);
                                    return e.log_e(delta);
                                  }),
                      1 + 1e-9);
          }
        }
      }
      EXPECT_LE(expectation(n1, p0, n0, p0,
                            [&](const Cell& c) {
                              BernoulliProcess e(3, 50);
                              e.add(c);
                              return e.log_e();
                            }),
                1 + 1e-9)
          << n1 << " " << n0 << " " << p0;
    }
  }
}

TEST(Evidence, CellsThatAreNoneChangeNothing) {
  const Cell bad[] = {{kNaN, 1, 0, 1},      {0, kNaN, 0, 1},      {0, 1, kNaN, 1},
                      {0, 1, 0, kNaN},      {-1, 1, 0, 1},        {0, -1, 0, 1},
                      {kInfinity, 1, 0, 1}, {0, kInfinity, 0, 1}, {0, 0, 0, 0}};
  for (const auto& cell : bad) {
    ExcessProcess excess;
    SafetyProcess safety;
    BernoulliProcess bernoulli;
    excess.add(cell);
    safety.add(cell);
    bernoulli.add(cell);
    EXPECT_NEAR(excess.log_e(), 0, 1e-12);
    EXPECT_NEAR(safety.log_e(0.01), 0, 1e-12);
    EXPECT_NEAR(bernoulli.log_e(), 0, 1e-12);
  }
  BernoulliProcess more_bad_than_requests;
  more_bad_than_requests.add({5, 4, 0, 4});
  EXPECT_NEAR(more_bad_than_requests.log_e(), 0, 1e-12);
  ExcessProcess tempered;
  tempered.add({5, 10, 0, 100}, 0.5); // below 1 is no tempering
  tempered.add({5, 10, 0, 100}, kNaN);
  EXPECT_NEAR(tempered.log_e(), 0, 1e-12);
}

// From one request to 10^9, all errors or none: finite, or a certain answer.
TEST(Evidence, ExtremeCounts) {
  for (const double n : {1.0, 10.0, 1e3, 1e6, 1e9}) {
    for (const double share : {0.0, 1e-9, 0.01, 0.5, 1.0}) {
      const Cell cell{std::floor(n * share), n, std::floor(19 * n * share), 19 * n};
      ExcessProcess excess;
      SafetyProcess safety;
      BernoulliProcess bernoulli(share * 100, 100);
      excess.add(cell);
      safety.add(cell);
      bernoulli.add(cell);
      EXPECT_TRUE(std::isfinite(excess.log_e())) << n << " " << share;
      EXPECT_TRUE(std::isfinite(safety.log_e(0.005))) << n << " " << share;
      EXPECT_TRUE(std::isfinite(bernoulli.log_e())) << n << " " << share;
      EXPECT_LT(excess.log_e(), std::log(20)) << "equal arms are no evidence";
      const auto d = difference_interval(std::span(&cell, 1), 0.05);
      EXPECT_LE(d.lower, 0);
      EXPECT_GE(d.upper, 0);
      EXPECT_LE(d.lower, d.upper);
      const auto r = ratio_interval(std::span(&cell, 1), 0.05);
      EXPECT_LE(r.lower, 1 + 1e-6);
      EXPECT_GE(r.upper, 1 - 1e-6);
    }
    // Every canary request fails, none of stable's.
    ExcessProcess all;
    all.add({n, n, 0, 19 * n});
    EXPECT_GT(all.log_e(), n * 1.5);
    EXPECT_TRUE(std::isfinite(all.log_e()));
    const Cell only_canary{n, n, 0, 0};
    all = ExcessProcess();
    all.add(only_canary);
    EXPECT_NEAR(all.log_e(), 0, 1e-9) << "nothing to compare with";
    const auto d = difference_interval(std::span(&only_canary, 1), 0.05);
    EXPECT_LT(d.lower, -0.99);
    EXPECT_GT(d.upper, 0.99);
  }
}

TEST(Evidence, MoreMarginIsLessEvidenceOfHarmAndMoreOfSafety) {
  std::mt19937_64 random(7);
  for (int run = 0; run < 200; ++run) {
    ExcessProcess excess;
    SafetyProcess safety;
    for (int i = 0; i < 5; ++i) {
      const double n1 = static_cast<double>(random() % 500),
                   n0 = static_cast<double>(random() % 5000);
      const Cell cell{static_cast<double>(random() % 20), n1 + 20,
                      static_cast<double>(random() % 80), n0 + 80};
      excess.add(cell);
      safety.add(cell);
    }
    double last_excess = kInfinity, last_safety = -kInfinity;
    for (double delta = -0.5; delta <= 0.5; delta += 0.05) {
      EXPECT_LE(excess.log_e(delta), last_excess);
      EXPECT_GE(safety.log_e(delta), last_safety);
      last_excess = excess.log_e(delta);
      last_safety = safety.log_e(delta);
    }
  }
}

TEST(Dispersion, ClumpsAreSeenAndIndependentRequestsAreNot) {
  std::mt19937_64 random(11);
  for (const int clump : {1, 3, 6}) {
    Dispersion dispersion;
    std::poisson_distribution<int> bad(20.0 / clump);
    for (int cell = 0; cell < 200; ++cell) {
      std::vector<Part> parts;
      for (int i = 0; i < 4; ++i) parts.push_back({static_cast<double>(bad(random) * clump), 2000});
      dispersion.add_group(parts);
    }
    EXPECT_NEAR(dispersion.estimate(), clump, 0.15 * clump);
    EXPECT_GE(dispersion.phi(), std::max(1.0, dispersion.estimate()));
    EXPECT_LT(dispersion.phi(), 1.3 * clump);
  }
  Dispersion nothing;
  const Part useless[] = {{0, 100}, {0, 0}, {kNaN, 5}, {7, 5}, {1, kInfinity}};
  nothing.add_group(useless);
  nothing.add_group({});
  EXPECT_EQ(nothing.degrees(), 0);
  EXPECT_EQ(nothing.phi(), 1);
}

// Bursts of 20 in one group of a hundred: a mean of the groups' own ratios would hide them.
TEST(Dispersion, RareBurstsAreNotDiluted) {
  std::mt19937_64 random(5);
  Dispersion dispersion;
  std::bernoulli_distribution burst(0.01);
  std::poisson_distribution<int> usual(0.15);
  for (int cell = 0; cell < 2000; ++cell) {
    std::vector<Part> parts;
    for (int pod = 0; pod < 10; ++pod)
      parts.push_back({static_cast<double>(usual(random) + (burst(random) ? 20 : 0)), 150});
    dispersion.add_group(parts);
  }
  // Variance 0.15 + 0.01 * 20^2, mean 0.15 + 0.01 * 20.
  EXPECT_NEAR(dispersion.estimate(), 4.15 / 0.35, 1.5);
}

std::vector<BlockDispersion::Member> pods(std::mt19937_64& random, const std::vector<double>& rates,
                                          int requests) {
  std::vector<BlockDispersion::Member> out;
  for (std::size_t i = 0; i < rates.size(); ++i) {
    std::binomial_distribution<int> bad(requests, rates[i]);
    out.push_back({.slot = static_cast<std::uint32_t>(i),
                   .part = {static_cast<double>(bad(random)), static_cast<double>(requests)}});
  }
  return out;
}

TEST(BlockDispersion, WhatLastsForManyCellsIsSeenInTheLongerBlocks) {
  std::mt19937_64 random(7);
  std::gamma_distribution<double> rate(4, 0.01 / 4); // a coefficient of variation of one half
  BlockDispersion slow, none;
  std::vector<double> rates(19, 0.01);
  for (std::uint64_t cell = 0; cell < 240; ++cell) {
    none.add(pods(random, std::vector<double>(19, 0.01), 150), cell);
    if (cell % 20 == 0) { // five minutes
      for (auto& r : rates) r = std::min(0.5, rate(random));
    }
    slow.add(pods(random, rates, 150), cell);
  }
  EXPECT_LT(none.phi(), 2);
  // In a cell 1.5 errors are expected and phi is 1.375; in sixteen of them about 7.
  EXPECT_GT(slow.phi(), 4);
  EXPECT_LT(slow.phi(), 16);
}

TEST(BlockDispersion, OneProcessIsComparedWithTheCellBefore) {
  std::mt19937_64 random(9);
  std::poisson_distribution<int> clumps(4);
  BlockDispersion out;
  for (std::uint64_t cell = 0; cell < 400; ++cell) {
    const BlockDispersion::Member one{.slot = 0, .part = {5.0 * clumps(random), 2000}};
    out.add(std::span(&one, 1), cell);
  }
  EXPECT_NEAR(out.phi(), 5, 1.5);
  EXPECT_EQ(BlockDispersion().phi(), 1);
  BlockDispersion nothing;
  nothing.add({}, 0);
  EXPECT_EQ(nothing.phi(), 1);
}

// Both arms' events come in clumps of their own size: n / phi in place of n keeps an e-value one.
TEST(ArmPhi, TemperedClumpsKeepTheExpectationAtMostOne) {
  for (const auto& [phi1, phi0] : {std::pair{1, 1}, {2, 2}, {4, 2}, {6, 1}}) {
    const int n1 = 12, n0 = 24;
    const ArmPhi phi{static_cast<double>(phi1), static_cast<double>(phi0)};
    for (const double p : {0.001, 0.05, 0.3}) {
      double excess = 0, safety = 0;
      for (int k1 = 0; k1 * phi1 <= n1; ++k1) {
        for (int k0 = 0; k0 * phi0 <= n0; ++k0) {
          const double weight = binomial(n1 / phi1, k1, p) * binomial(n0 / phi0, k0, p);
          const Cell cell =
              phi.temper({static_cast<double>(k1 * phi1), n1, static_cast<double>(k0 * phi0), n0});
          ExcessProcess worse;
          SafetyProcess better;
          worse.add(cell);
          better.add(cell);
          excess += weight * std::exp(worse.log_e());
          safety += weight * std::exp(better.log_e());
        }
      }
      EXPECT_LE(excess, 1 + 1e-9) << phi1 << " " << phi0 << " " << p;
      EXPECT_LE(safety, 1 + 1e-9) << phi1 << " " << phi0 << " " << p;
    }
  }
  EXPECT_EQ(ArmPhi::of(3, 2).canary, 5);
  EXPECT_EQ(ArmPhi::of(3, 0.1).canary, 3) << "clumps of a fixed size come under any load";
}

// Enumerates three cells in a row: a mixture over beginnings is one e-process.
TEST(Onset, ExpectationAtMostOneUnderTheNull) {
  for (const double p : {0.01, 0.2, 0.6}) {
    double sum = 0, odds = 0;
    const int n1 = 2, n0 = 3;
    const auto outcomes = (n1 + 1) * (n0 + 1);
    for (int path = 0; path < outcomes * outcomes * outcomes; ++path) {
      OnsetProcess excess(Onset::any_time, ExcessBets());
      OnsetProcess exact(Onset::any_time, OddsBets(1, 3));
      double weight = 1;
      for (int cell = 0, rest = path; cell < 3; ++cell, rest /= outcomes) {
        const int x1 = rest % outcomes % (n1 + 1), x0 = rest % outcomes / (n1 + 1);
        weight *= binomial(n1, x1, p) * binomial(n0, x0, p);
        const Cell counts{static_cast<double>(x1), n1, static_cast<double>(x0), n0};
        excess.add(counts, counts, 5.0 * cell);
        exact.add(counts, counts, 5.0 * cell);
      }
      sum += weight * std::exp(excess.log_e());
      odds += weight * std::exp(exact.log_e());
    }
    EXPECT_LE(sum, 1 + 1e-9) << p;
    EXPECT_LE(odds, 1 + 1e-9) << p;
  }
}

TEST(Onset, TheStakeIsNeverSpentAndNeverMoreThanAHalf) {
  EXPECT_EQ(spent_by(0), 0);
  for (double minute = 1; minute < 1e7; minute *= 2) {
    EXPECT_GT(spent_by(2 * minute), spent_by(minute));
    EXPECT_LT(spent_by(minute), 0.5);
  }
}

// 10 requests a second on the canary, 190 on stable, 1 % errors: 2 % from an hour on.
TEST(Onset, IsNeverBlind) {
  std::mt19937_64 random(3);
  for (const double onset : {0.0, 60.0, 240.0, 1440.0}) {
    std::vector<double> found;
    for (int run = 0; run < 20; ++run) {
      OnsetProcess process(Onset::any_time, ExcessBets());
      double minute = 0;
      const double bar = std::log(100 / 0.4);
      while (process.log_e() < bar && minute < onset + 60) {
        std::poisson_distribution<int> canary(minute >= onset ? 3 : 1.5), stable(28.5);
        const Cell cell{static_cast<double>(canary(random)), 150,
                        static_cast<double>(stable(random)), 2850};
        process.add(cell, cell, minute);
        minute += 0.25;
      }
      if (minute > onset) found.push_back(minute - onset);
      if (onset > 0) {
        EXPECT_FALSE(process.from_start());
        EXPECT_LT(process.since().n1, process.all().n1 / 2) << onset;
      }
    }
    std::ranges::sort(found);
    ASSERT_GE(found.size(), 19u);
    EXPECT_LT(found[found.size() / 2], 12) << onset;
  }
}

TEST(QuantileBounds, HoldTheQuantileAndKnowNothingFromNothing) {
  const double bounds[] = {10, 20, 50};
  for (const double n : {0.0, 1.0, 100.0, 1e6, 1e9}) {
    const double counts[] = {0.5 * n, 0.4 * n, 0.09 * n, 0.01 * n};
    const auto q = quantile_bounds(bounds, counts, 0.5, 0.05, 1000);
    EXPECT_LT(q.lower.value_or(0), 20);
    EXPECT_GE(q.upper.value_or(kInfinity), 10);
    EXPECT_TRUE(n >= 2 || (!q.lower && !q.upper));
  }
  const double broken[] = {1, kNaN, 1, 1};
  EXPECT_FALSE(quantile_bounds(bounds, broken, 0.5, 0.05, 1000).upper);
  EXPECT_FALSE(quantile_bounds(bounds, std::span(broken, 2), 0.5, 0.05, 1000).upper);
}

TEST(Multiplicity, NothingIsFoundInNothing) {
  EXPECT_TRUE(e_bh({}, 0.05).empty());
  const double e[] = {kNaN, 0, 1e9};
  EXPECT_EQ(e_bh(e, 0.05), (std::vector<std::size_t>{2}));
  const double log_e[] = {kNaN, 1, -kInfinity}, weights[] = {0.3, 0.5, 0.2};
  EXPECT_NEAR(log_weighted_average(log_e, weights), 1 + std::log(0.5), 1e-12);
  EXPECT_EQ(log_weighted_average({}, {}), -kInfinity);
}

TEST(EvidenceExcess, IsTheLeastFactorThatMakesEvidenceRareAgain) {
  EXPECT_EQ(evidence_excess({}, 0.2), 1);
  EXPECT_EQ(evidence_excess({kNaN, -kInfinity, -3, 0}, 0.2), 1);
  EXPECT_EQ(evidence_excess({std::log(20.0), 0, 0, 0}, 0.2), 1);
  EXPECT_NEAR(evidence_excess({0, 2 * std::log(20.0), 0, 0}, 0.2), 2, 1e-12);
  // What one of four may be, not all four.
  const double all = std::log(20.0);
  EXPECT_NEAR(evidence_excess({all, all, all, all}, 0.2), all / std::log(5.0), 1e-12);
  std::mt19937_64 random(7);
  std::exponential_distribution<double> draw(0.3);
  for (int i = 0; i < 200; ++i) {
    std::vector<double> nats;
    for (int n = 0; n <= i % 20; ++n) nats.push_back(draw(random));
    const double factor = evidence_excess(nats, 0.2);
    for (double& value : nats) value /= factor;
    EXPECT_NEAR(evidence_excess(nats, 0.2), 1, 1e-9);
    nats.push_back(0); // a member without evidence never makes it more
    EXPECT_LE(evidence_excess(nats, 0.2), 1 + 1e-9);
  }
}

// Likelihood ratios of processes that run side by side, and depend on each other.
TEST(EvidenceExcess, IsSeenOfTrueNullsAsSeldomAsPromised) {
  constexpr double kChance = 0.2;
  constexpr int kRuns = 1000, kMembers = 10, kCells = 60;
  for (const double common : {0.0, 0.5, 1.0}) {
    std::mt19937_64 random(11);
    std::normal_distribution<double> normal;
    int exceeded = 0;
    for (int run = 0; run < kRuns; ++run) {
      std::vector<double> log_e(kMembers);
      double most = 1;
      for (int cell = 0; cell < kCells; ++cell) {
        const double shared = normal(random);
        for (double& value : log_e) {
          const double z = std::sqrt(common) * shared + std::sqrt(1 - common) * normal(random);
          value += 0.4 * z - 0.08;
        }
        most = std::max(most, evidence_excess(log_e, kChance));
      }
      exceeded += most > 1;
    }
    EXPECT_LE(exceeded, kRuns * kChance + 3 * std::sqrt(kRuns * kChance * (1 - kChance))) << common;
    EXPECT_GT(exceeded, 0) << common;
  }
}

TEST(Asymptotic, UndefinedInputsAreNoEvidence) {
  for (const double v : {0.0, -1.0, kNaN, kInfinity}) {
    EXPECT_EQ(msprt_log_e(1, v, 1, Sides::one), 0);
    EXPECT_EQ(msprt_log_e(1, 1, v, Sides::two), 0);
    EXPECT_EQ(asymptotic_halfwidth(v, 1, 0.05), kInfinity);
  }
  EXPECT_TRUE(std::isnan(mean_of({})));
  EXPECT_TRUE(std::isnan(variance_of({1, 2, 4})));
  EXPECT_DOUBLE_EQ(variance_of({2, 4, 10}), 2);
  EXPECT_LT(msprt_log_e(-100, 1e-4, 1, Sides::one), -10)
      << "far on the good side: no overflow, no NaN";
  EXPECT_TRUE(std::isfinite(msprt_log_e(-100, 1e-4, 1, Sides::one)));
}

TEST(CountProcess, HugeCountsStayExact) {
  // Twice the counts at the same share: the evidence against the right share falls by about
  // ln(2)/2.
  const double theta[] = {0.05, 0.95}, prior[] = {5, 95};
  const double once[] = {5e7, 95e7}, twice[] = {1e8, 19e8};
  EXPECT_NEAR(dirichlet_multinomial_log_bf(once, theta, prior) -
                  dirichlet_multinomial_log_bf(twice, theta, prior),
              0.5 * std::log(2), 1e-4);
  EXPECT_TRUE(std::isfinite(one_sided_beta_log_bf(6e7, 94e7, 0.05, 1, 19)));
  const double impossible[] = {1, 1}, zero[] = {0, 1};
  EXPECT_TRUE(std::isnan(dirichlet_multinomial_log_bf(impossible, zero, prior)));
  EXPECT_TRUE(std::isnan(one_sided_beta_log_bf(1, 1, 1.5, 1, 1)));
}

TEST(Special, AgreesWithBoost) {
  for (double x = 0.01; x < 1e6; x *= 1.37)
    EXPECT_NEAR(log_gamma(x), boost::math::lgamma(x), 1e-13 * std::max(1.0, boost::math::lgamma(x)))
        << x;
  for (double p = 1e-300; p < 1; p = p < 1e-3 ? p * 1e7 : p + 0.0137) {
    EXPECT_NEAR(normal_quantile(p), boost::math::quantile(boost::math::normal(), p), 1e-12) << p;
  }
  for (double degrees = 20; degrees < 1e5; degrees *= 2.3) {
    const double exact = boost::math::quantile(boost::math::chi_squared(degrees), 0.1);
    EXPECT_NEAR(chi_squared_quantile(0.1, degrees), exact, 0.001 * exact) << degrees;
  }
  for (const double a : {0.5, 1.0, 3.0, 40.0, 2500.0}) {
    for (const double b : {0.7, 1.0, 9.0, 300.0, 40'000.0}) {
      EXPECT_NEAR(log_beta(a, b),
                  boost::math::lgamma(a) + boost::math::lgamma(b) - boost::math::lgamma(a + b),
                  1e-14 * (1 + a + b) * std::log(2 + a + b))
          << a << b;
      const double mean = a / (a + b);
      for (const double x : {0.2 * mean, mean, 0.5 + mean / 2}) {
        const double regularised = boost::math::ibeta(a, b, x);
        if (!(regularised > 1e-290)) continue; // ours goes on in logarithms
        EXPECT_NEAR(log_incomplete_beta(a, b, x) - log_beta(a, b), std::log(regularised),
                    1e-10 * (1 + std::abs(std::log(regularised))))
            << a << ' ' << b << ' ' << x;
      }
    }
  }
}

TEST(RankTest, OneValueEachIsAnErrorNotACrash) {
  const double one[] = {1}, two[] = {2};
  EXPECT_EQ(rank::classify("m", one, two, {}).label, rank::Class::error);
  rank::MetricOptions critical;
  critical.critical = true;
  EXPECT_FALSE(rank::classify("m", one, two, critical).critical);
  const double infinite[] = {kInfinity, kInfinity, 1}, usual[] = {1, 2, 3};
  (void)rank::classify("m", infinite, usual, {});
  EXPECT_EQ(rank::score({}, {}).total, 0);
  EXPECT_FALSE(rank::run_passes({}, std::nullopt, std::nullopt));
}

} // namespace
} // namespace coalmine::judge
