// E-processes for a null of the form p1 <= r0 * p0 + delta (or >=), from counts of bad events on
// two arms whose rates may move freely with time. A factor per cell,
//   ln F = x1 ln a + x0 ln b - n1 delta (a - 1),   with r0 n1 (a - 1) + n0 (b - 1) = 0,
// has expectation <= exp((a-1) n1 (p1 - r0 p0 - delta)) for Bernoulli and Poisson counts; products
// over cells and mixtures over the bet keep that, so under the null E >= 1/alpha ever happens with
// probability <= alpha, however often one looks (Ville). Proofs and what breaks them:
// docs/concepts/statistics.md. For delta = 0 the factor is the conditional test of Lindon and Malek
// (arXiv 2011.03567), generalised to margins and to splits that change. Pure values; any thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <span>

namespace coalmine::judge {

// One cell of time: bad events and requests. 1: canary, 0: stable. n may not depend on the cell's
// own outcomes.
struct Cell {
  double x1 = 0;
  double n1 = 0;
  double x0 = 0;
  double n0 = 0;
};
// Finite and not negative. Other cells are no evidence: every process leaves them out.
bool usable(const Cell& cell);

// A margin as a null: the canary's rate is at most r0 * stable's + delta.
struct LinearMargin {
  double r0 = 1;
  double delta = 0;
  double at(double stable_rate) const { return r0 * stable_rate + delta; }
};
// How much higher a rate may be than stable's: an amount (0.005), or a part of it (relative, 0.2);
// differences up to floor never count.
struct RateMargin {
  bool relative = false;
  double amount = 0;
  double floor = 0;
};
// The margin's null. rate: stable's in the past, which tells whether a relative one or its floor is
// the larger.
LinearMargin null_of(const RateMargin& margin, double rate);

// Bets on how much worse the canary is (ratios of rates), with equal prior weight.
inline constexpr std::array<double, 14> kRatioBets = {1.1, 1.2, 1.35, 1.5, 1.75, 2,  2.5,
                                                      3,   4,   6,    10,  20,   50, 200};
// Bets on how much better than the null it is.
inline constexpr std::array<double, 11> kShrinkBets = {0,   0.05, 0.1, 0.2, 0.3, 0.4,
                                                       0.5, 0.6,  0.7, 0.8, 0.9};

// Evidence against "no worse": H0: p1 <= r0 p0 + delta. ln E is linear in delta for each bet, so
// one process of a given r0 answers for every delta. phi >= 1 tempers a cell's factor: it stays an
// e-process for clumps of up to phi events.
class ExcessProcess {
 public:
  explicit ExcessProcess(double r0 = 1) : r0_(r0) {}
  void add(const Cell& cell, double phi = 1) { add_growth(growth(cell, phi)); }
  double log_e(double delta = 0) const;
  // ln of the sum (not the mean) over the bets, and its derivative by -delta: for mixtures over
  // several processes.
  struct Slope {
    double log_sum = 0;
    double slope = 0;
  };
  Slope log_sum_at(double delta) const;

  struct Sums {
    std::array<double, kRatioBets.size()> gain{};
    std::array<double, kRatioBets.size()> cost{};
  };
  const Sums& sums() const { return sums_; }
  // The contribution of one cell, independent of earlier ones: processes of one r0 share the work.
  Sums growth(const Cell& cell, double phi) const;
  void add_growth(const Sums& growth);

 private:
  double r0_;
  Sums sums_; // ln E of a bet is gain - delta * cost
};

// Evidence for "not worse than allowed": H0: p1 >= r0 p0 + delta.
class SafetyProcess {
 public:
  explicit SafetyProcess(double r0 = 1) : r0_(r0) {}
  // Three quarters of the stake on one bet of the caller's, 0 < bet < 1, the rest on kShrinkBets:
  // with bet = p / (r0 p + delta) for a rate p known from the past, evidence grows as fast as it
  // can while the rate does not change.
  SafetyProcess(double r0, double bet) : r0_(r0), bet_(bet) {}
  void add(const Cell& cell, double phi = 1);
  double log_e(double delta = 0) const;

  struct Sums {
    // Minus infinity for the bet 0 after the first bad event.
    std::array<double, kShrinkBets.size()> gain{};
    double requests = 0; // the canary's, divided by phi
    double own_gain = 0; // the gain of the caller's bet
  };
  const Sums& sums() const { return sums_; }
  double r0() const { return r0_; }

 private:
  double gain_of(const Cell& cell, double bet, double log_bet) const;

  double r0_;
  double bet_ = -1; // negative: none
  Sums sums_;
};

// The best bet when the canary's rate is what stable's was: p / null. Kept off 0, where one bad
// event would end it.
SafetyProcess safety_with(const LinearMargin& harm, double rate);
// Nats that one canary request adds on average to that bet, when the canary's rate is stable's.
// odds: the canary's requests by stable's; the fewer of stable's there are, the less.
double safety_growth(const LinearMargin& harm, double rate, double odds);

struct Interval {
  double lower = 0;
  double upper = 0;
};
// Confidence sequences at level 1 - alpha (alpha / 2 a side): all values that neither side has
// rejected so far. ratio: p1 / p0, from 0 to infinity. difference: p1 - p0, within [-1, 1].
Interval ratio_interval(std::span<const Cell> cells, double alpha, double phi = 1);
Interval difference_interval(std::span<const Cell> cells, double alpha, double phi = 1);
// The same from processes with r0 = 1 that have seen the cells, with a bar (in nats) of each side's
// own.
double difference_lower(const ExcessProcess& process, double bar);
double difference_upper(const SafetyProcess& process, double bar);

// Canary requests until a margin delta is excluded at level alpha when both arms have the rate p
// and stable is much larger: (ln(1/alpha) + 1.2) / (delta - p ln(1 + delta/p)). Infinity when there
// is no margin.
double requests_to_exclude(double p, double delta, double alpha);
// The smallest excess over p that n1 canary requests (with n0 of stable) show at a bar in nats in
// eight of ten runs. 1 when none does.
double detectable_excess(double p, double n1, double n0, double bar);

} // namespace coalmine::judge
