// The sequential judge's evidence on a rate, of the service or of one route. Values of the judge;
// one thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "judge/judge.h"
#include "judge/stats/dispersion.h"
#include "judge/stats/linear_margin.h"
#include "judge/stats/onset.h"

namespace coalmine::judge {

// An error rate's margin, at least the floor. scale: 1 / next weight for the harm rule. rate:
// stable's in the past, which tells which of the two it is.
LinearMargin linear_margin(const Margin& margin, double floor, double scale, double rate);

// The cell for evidence against an absolute limit: a limit is a margin over a stable arm that is
// known to have no bad events, so n0 goes to infinity and x0 is 0.
Cell against_known_zero(const Cell& cell);

// Shared by all lines of a judge.
struct LineOptions {
  Onset onset = Onset::any_time;
  bool strict = false;
  // Events are taken to come in clumps of at least this many (MetricLine of a ratio).
  double clump = 1;
  // False: no interval is computed, which is most of the cost of a reading (MetricLine of a ratio).
  bool intervals = true;
};

// A confidence sequence of the difference of rates.
class RateDifference {
 public:
  void add(const Cell& tempered);
  // The differences that are not rejected by all cells together: below, at bar_low nats, and above,
  // at bar_high. Nothing when the cells contradict every constant difference.
  std::optional<Interval> at(double bar_low, double bar_high) const;

 private:
  ExcessProcess more_;
  SafetyProcess fewer_;
};

// Evidence on a rate of bad events.
class RateLine {
 public:
  RateLine() : RateLine({}, {}, {}, false, std::nullopt, {}) {}
  // exact: stable's rate is large, so the Bernoulli process is used for harm. limit: an absolute
  // maximum. past: stable's.
  RateLine(const LineOptions& options, const LinearMargin& margin,
           std::span<const LinearMargin> harms, bool exact, std::optional<double> limit,
           const Part& past);

  // with_warm_up: the cell with the requests of the canary that are warming up. They are no
  // evidence of harm. Evidence of safety is half with them and half without: what is fine from the
  // first request on need not wait, and what a warm-up is forgiven holds up nothing later. An
  // absolute limit forgives nothing. minute: observed time of the rollout at the cell's beginning.
  void add(const Cell& cell, const Cell& with_warm_up, const ArmPhi& phi, double minute);
  // ln E against "no worse"; strict: against "within the margin".
  double log_harm() const;
  double log_safety(std::size_t harm) const; // ln E for "not worse than harms[harm]"
  // Counts since the likeliest beginning of a change.
  const Totals& driver() const;
  const Totals& all() const;
  bool from_start() const; // they are the same
  const Totals& with_warm_up() const { return with_warm_up_; }
  const LinearMargin& margin() const { return margin_; }
  const std::vector<LinearMargin>& harms() const { return harms_; }
  // Of all cells, without warm-up; see RateDifference.
  std::optional<Interval> difference(double bar_low, double bar_high) const;

 private:
  LinearMargin margin_;
  std::vector<LinearMargin> harms_;
  std::optional<double> limit_;
  std::variant<OnsetProcess<ExcessBets>, OnsetProcess<OddsBets>> harm_;
  // One for each harm.
  std::vector<SafetyProcess> safety_;
  std::vector<SafetyProcess> safety_with_warm_up_;
  RateDifference difference_;
  ExcessProcess over_limit_; // against "at most limit"
  Totals with_warm_up_;
};

} // namespace coalmine::judge
