// The sequential judge's evidence on a rate, of the service or of one route. Values of the judge;
// one thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "judge/judge.h"
#include "judge/stats/bernoulli_exact.h"
#include "judge/stats/epochs.h"
#include "judge/stats/linear_margin.h"

namespace coalmine::judge {

// A margin as a null: the canary's rate is at most r0 * stable's + delta.
struct LinearMargin {
  double r0 = 1;
  double delta = 0;
  double at(double stable_rate) const { return r0 * stable_rate + delta; }
};
// An error rate's margin; scale: 1 / next weight for the harm rule.
LinearMargin linear_margin(const Margin& margin, double floor, double scale);

// The cell for evidence against an absolute limit: a limit is a margin over a stable arm that is
// known to have no bad events, so n0 goes to infinity and x0 is 0.
Cell against_known_zero(const Cell& cell);

// The best bet when the canary's rate is what stable's was: p / null. Kept off 0, where one bad
// event would end it.
SafetyProcess safety_with(const LinearMargin& harm, double rate);

// Counts since an epoch began, beside its process.
struct TotalsProcess {
  Totals totals;
  void add(const Cell& cell, double) { totals.add(cell); }
};

// Shared by all lines of a judge.
struct LineOptions {
  EpochPlan plan;
  bool strict = false;
  // Events are taken to come in clumps of at least this many (MetricLine of a ratio).
  double clump = 1;
  // False: no interval is computed, which is most of the cost of a reading (MetricLine of a ratio).
  bool intervals = true;
};

// Evidence of harm, and the epoch that carries it.
struct Harm {
  double log_e = 0;
  std::size_t epoch = 0;
};

// Evidence on a rate of bad events.
class RateLine {
 public:
  RateLine() = default;
  // exact: stable's rate is large, so the Bernoulli process is used for harm. limit: an absolute
  // maximum.
  RateLine(const LineOptions& options, const LinearMargin& margin,
           std::span<const LinearMargin> harms, bool exact, std::optional<double> limit,
           double past_bad, double past_requests);

  // minute: observed time of the rollout at the cell's beginning.
  void add(const Cell& cell, double phi, double minute);
  // ln E against "no worse"; strict: against "within the margin".
  double log_harm() const { return harm_.log_e; }
  double log_safety(std::size_t harm) const; // ln E for "not worse than harms[harm]"
  // Counts of the epoch that carries the evidence.
  const Totals& driver() const { return totals_.processes()[harm_.epoch].totals; }
  const Totals& all() const { return totals_.processes().front().totals; }
  const LinearMargin& margin() const { return margin_; }
  const std::vector<LinearMargin>& harms() const { return harms_; }
  // The differences that are not rejected: by harm's mixture at bar_low nats, by safety at
  // bar_high. Nothing when the cells contradict every difference.
  std::optional<Interval> difference(double bar_low, double bar_high) const;

 private:
  void weigh();

  LinearMargin margin_;
  std::vector<LinearMargin> harms_;
  bool strict_ = false;
  bool exact_ = false;
  std::optional<double> limit_;
  Epochs<ExcessProcess> excess_;       // r0 = 1, for the interval and for harm
  Epochs<ExcessProcess> beyond_;       // strict with a relative margin: r0 of the margin
  Epochs<BernoulliProcess> bernoulli_; // exact
  Epochs<TotalsProcess> totals_;
  std::vector<SafetyProcess> safety_; // one for each harm
  double past_rate_ = 0;              // their bets derive from it
  SafetyProcess width_;               // r0 = 1, for the interval
  ExcessProcess over_limit_;          // against "at most limit"
  Harm harm_;                         // of the cells so far
};

} // namespace coalmine::judge
