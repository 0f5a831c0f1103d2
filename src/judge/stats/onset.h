// Evidence of a change that begins at any time. Half of the stake is bet on a change that is there
// from the first cell; the rest is spent on later beginnings, a little with every cell, for ever:
//   S <- F (S + w)      for each bet, F: the bet's factor in the cell, w: what the cell's time gets
// The sum over the bets, with what is not spent yet, is a mixture over beginnings of e-processes,
// hence one e-process, and needs one number a bet however long it runs: a regression that sets in
// after hours is not diluted by the good time before it. Related: e-detectors (Shin, Ramdas and
// Rinaldo, arXiv 2203.03532). Values of one judge; one thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <numbers>
#include <utility>

#include "judge/stats/bernoulli_exact.h"
#include "judge/stats/linear_margin.h"
#include "judge/stats/special.h"

namespace coalmine::judge {

// Counts of both arms since a moment. stable_expected: bad events that stable's rates would have
// given on the canary's requests, cell by cell. It keeps the comparison fair when the split changes
// while the common rate moves.
struct Totals {
  double x1 = 0, n1 = 0, x0 = 0, n0 = 0;
  double compared = 0; // canary requests in cells where stable had some
  double compared_bad = 0;
  double stable_expected = 0;
  void add(const Cell& cell) {
    if (!usable(cell)) return;
    x1 += cell.x1;
    n1 += cell.n1;
    x0 += cell.x0;
    n0 += cell.n0;
    if (!(cell.n0 > 0)) return;
    compared += cell.n1;
    compared_bad += cell.x1;
    stable_expected += cell.n1 * cell.x0 / cell.n0;
  }
  double canary_rate() const { return compared > 0 ? compared_bad / compared : 0; }
  double stable_rate() const {
    return compared > 0 ? stable_expected / compared : n0 > 0 ? x0 / n0 : 0;
  }
};

// When a change may have begun.
enum class Onset {
  at_start, // the whole stake is on the first cell
  any_time
};

// The part of the stake that is spent on beginnings later than the first cell, up to a time in
// minutes since then. Its density falls as 1 / (t ln^2 t), about as slowly as one whose integral is
// finite can.
inline double spent_by(double minute) {
  return 0.5 * (1 - 1 / std::log(std::numbers::e + std::max(0.0, minute)));
}

// Bets: has kCount, and growth(cell), which returns ln F of each bet and depends on earlier cells
// at most. Counts: has add(cell).
template <typename Bets, typename Counts = Totals>
class OnsetProcess {
 public:
  OnsetProcess(Onset onset, Bets bets) : bets_(std::move(bets)), onset_(onset) {
    const double first = onset == Onset::any_time ? std::log(0.5) : 0;
    states_.fill(State{.log_stake = first, .log_best = first});
  }

  // tempered: the cell that is evidence. cell: as it was counted, for the totals. minute: observed
  // time at the cell's beginning; never falls.
  void add(const Cell& tempered, const Cell& cell, double minute) {
    all_.add(cell);
    const double log_new = spend(minute);
    const auto growth = bets_.growth(tempered);
    for (std::size_t i = 0; i < Bets::kCount; ++i) {
      auto& state = states_[i];
      if (log_new > state.log_best) {
        state.log_best = log_new;
        state.since = {};
        state.whole = false;
      }
      const double both[] = {state.log_stake, log_new};
      state.log_stake = log_sum_exp(both) + growth[i];
      state.log_best += growth[i];
      state.since.add(cell);
    }
    weigh();
  }
  double log_e() const { return log_e_; }
  const Counts& all() const { return all_; }
  // Counts since the likeliest beginning of a change, by the bet that has won most.
  const Counts& since() const { return states_[driver_].since; }
  // That beginning is the first cell.
  bool from_start() const { return states_[driver_].whole; }

 private:
  struct State {
    double log_stake = 0; // ln of S
    double log_best = 0;  // the same of the likeliest beginning alone
    Counts since{};       // counts since that
    bool whole = true;    // that is the first cell
  };

  double spend(double minute) {
    if (onset_ == Onset::at_start) return -kInfinity;
    const double until = std::max(spent_, spent_by(minute));
    const double fresh = until - spent_;
    spent_ = until;
    return fresh > 0 ? std::log(fresh) : -kInfinity;
  }

  void weigh() {
    double terms[Bets::kCount + 1];
    driver_ = 0;
    for (std::size_t i = 0; i < Bets::kCount; ++i) {
      terms[i] = states_[i].log_stake - std::log(static_cast<double>(Bets::kCount));
      if (states_[i].log_best > states_[driver_].log_best) driver_ = i;
    }
    terms[Bets::kCount] = onset_ == Onset::any_time ? std::log(0.5 - spent_) : -kInfinity;
    log_e_ = log_sum_exp(terms);
  }

  Bets bets_;
  Onset onset_;
  std::array<State, Bets::kCount> states_;
  Counts all_;
  double spent_ = 0; // on beginnings after the first cell
  double log_e_ = 0;
  std::size_t driver_ = 0;
};

// Against p1 <= r0 p0 + delta.
class ExcessBets {
 public:
  static constexpr std::size_t kCount = kRatioBets.size();
  explicit ExcessBets(double r0 = 1, double delta = 0) : process_(r0), delta_(delta) {}
  std::array<double, kCount> growth(const Cell& cell) const {
    const auto sums = process_.growth(cell, 1);
    std::array<double, kCount> out;
    for (std::size_t i = 0; i < kCount; ++i) out[i] = sums.gain[i] - delta_ * sums.cost[i];
    return out;
  }

 private:
  ExcessProcess process_;
  double delta_;
};

// Against p1 >= r0 p0 + delta.
class ShrinkBets {
 public:
  static constexpr std::size_t kCount = kShrinkBets.size();
  explicit ShrinkBets(double r0 = 1, double delta = 0) : r0_(r0), delta_(delta) {}
  std::array<double, kCount> growth(const Cell& cell) const {
    SafetyProcess one(r0_);
    one.add(cell);
    const auto& sums = one.sums();
    std::array<double, kCount> out;
    for (std::size_t i = 0; i < kCount; ++i)
      out[i] = sums.gain[i] + (1 - kShrinkBets[i]) * sums.requests * delta_;
    return out;
  }

 private:
  double r0_;
  double delta_;
};

// Against p1 <= p0, exact for Bernoulli counts. past: of stable, before the first cell.
class OddsBets {
 public:
  static constexpr std::size_t kCount = kOddsBets.size();
  OddsBets(double past_bad, double past_requests) : process_(past_bad, past_requests) {}
  std::array<double, kCount> growth(const Cell& cell) { return process_.take(cell); }

 private:
  BernoulliProcess process_;
};

} // namespace coalmine::judge
