// The sequential judge's evidence for one line of a judgement: one signal of the service or of one
// route. Values of the judge; one thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "judge/judge.h"
#include "judge/stats/bernoulli_exact.h"
#include "judge/stats/epochs.h"
#include "judge/stats/linear_margin.h"
#include "judge/stats/tails.h"

namespace coalmine::judge {

// A margin as a null: the canary's rate is at most r0 * stable's + delta.
struct LinearMargin {
  double r0 = 1;
  double delta = 0;
  double at(double stable_rate) const { return r0 * stable_rate + delta; }
};
// An error rate's margin; scale: 1 / next weight for the harm rule.
LinearMargin linear_margin(const Margin& margin, double floor, double scale);

// Counts since an epoch began, beside its process.
struct TotalsProcess {
  Totals totals;
  void add(const Cell& cell, double) { totals.add(cell); }
};

// Shared by all lines of a judge.
struct LineOptions {
  EpochPlan plan;
  bool strict = false;
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

inline constexpr std::size_t kMaxBoundaries = 32;

// Evidence on a distribution of latencies: the canary's are not stochastically larger than
// stable's.
class TailLine {
 public:
  // One latency signal's place in the distribution.
  struct Mark {
    std::size_t boundary = 0;  // index of boundaries
    double allowed_ratio = 1;  // of tails, for the margin
    std::vector<double> harms; // ratios of tails, one for each next weight
    // An absolute maximum: the first boundary at or above it, and the share of requests that may be
    // slower.
    std::optional<std::size_t> limit_boundary;
    double limit_share = 0;
  };

  TailLine() = default;
  TailLine(const LineOptions& options, const Buckets& past, Boundaries boundaries,
           std::vector<Mark> marks);
  // past_rates: tails in the past; past_total: observations they rest on.
  TailLine(const LineOptions& options, Boundaries boundaries, std::vector<Mark> marks,
           std::vector<double> past_rates, double past_total);

  bool empty() const { return boundaries_.empty(); }
  void add(const RouteCounts& counts, double phi, double minute);
  // Average over the boundaries; half of it on the mark's limit, where it has one.
  double log_harm(std::size_t mark) const;
  double log_safety(std::size_t mark, std::size_t harm) const;
  const Totals& driver(std::size_t mark) const;
  const Totals& all(std::size_t mark) const;
  double boundary_ms(std::size_t mark) const { return boundaries_[marks_[mark].boundary]; }
  const std::vector<Mark>& marks() const { return marks_; }
  // The canary's share beyond the mark's limit; nothing without a limit.
  std::optional<double> share_over_limit(std::size_t mark) const;
  const Buckets& canary() const { return canary_; }
  const Buckets& stable() const { return stable_; }

 private:
  void weigh();

  std::vector<double> boundaries_;
  std::vector<double> log_stakes_; // one a boundary; minus infinity where only a limit needs it
  std::vector<Mark> marks_;
  bool strict_ = false;
  std::vector<Epochs<BernoulliProcess>> worse_;    // for each boundary; default rule
  std::vector<Epochs<ExcessProcess>> beyond_;      // for each mark; strict rule
  std::vector<Epochs<TotalsProcess>> totals_;      // for each boundary
  std::vector<std::vector<SafetyProcess>> safety_; // for each mark and harm
  std::vector<double> past_rates_;                 // tails in the past, for each boundary
  std::vector<ExcessProcess> over_limit_;          // for each mark
  Harm harm_; // default rule: of all boundaries together, from the cells so far
  Buckets canary_;
  Buckets stable_;
};

} // namespace coalmine::judge
