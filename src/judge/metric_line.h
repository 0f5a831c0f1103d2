// The sequential judge's evidence on one metric of the user's own: a ratio of two counters, a mean,
// or any number that is read now and then. A metric is tested on the side on which it gets worse.
// One that may get worse either way is tested on both sides, with half a stake each. Part of the
// judge's state; one thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <span>
#include <variant>
#include <vector>

#include "judge/judge.h"
#include "judge/rate_line.h"
#include "judge/stats/asymptotic.h"
#include "judge/stats/dispersion.h"
#include "judge/stats/linear_margin.h"
#include "judge/stats/onset.h"

namespace coalmine::judge {

// The state of one side of a line. Values in the metric's own unit.
struct MetricReading {
  std::optional<double> canary;
  std::optional<double> stable;
  bool beyond = false;                // measured beyond the margin or the limit
  double log_harm = 0;                // ln E against "no worse"
  double log_safety = 0;              // ln E for "not worse than the harm"
  std::optional<double> lower, upper; // of canary - stable
  double canary_count = 0;            // of the whole, of observations, or of intervals
};

// How much a share of stable's varies from cell to cell. Neighbouring cells are compared in pairs,
// each cell once.
class ShareDispersion {
 public:
  void add(const MetricTrack& stable);
  double phi() const { return sums_.phi(); }
  // Enough is known to bet on the share.
  bool known() const { return pairs_ >= kPairs; }
  // Few events tell little about how they come.
  bool sparse() const { return sums_.degrees() < kPairs; }

 private:
  static constexpr double kPairs = 10;
  Dispersion sums_;
  double pairs_ = 0;
  std::optional<Part> previous_;
};

// The means of cells (batch means): how much they vary is known without the single observations.
struct BatchMeans {
  double count = 0;
  double sum = 0;
  double weighted_squares = 0; // sum of count * mean^2 over cells
  double cells = 0;
  void add(const MetricTrack& track);
  double mean() const { return sum / count; }
  // Sum of count * (mean - common mean)^2 over cells, and its degrees of freedom: their ratio is
  // the variance of one observation, clumps included.
  double squares() const;
  double degrees() const { return cells > 1 ? cells - 1 : 0; }
};

// Stable's numbers of one metric before the canary.
struct MetricPast {
  MetricTrack sum;
  ShareDispersion dispersion;
  BatchMeans means;
  void learn(const MetricTrack& stable);
};

// A share of a whole. The rarer of part and rest is counted, since the bounds are for rare events.
// Rates from 10 % up add the Bernoulli process; each then has half a stake.
class RatioSide {
 public:
  RatioSide(const SignalSpec& signal, const LineOptions& options, Worse worse,
            std::span<const double> scales, const MetricPast& past);
  void add(const MetricNumbers& numbers, double minute);
  MetricReading read(std::size_t harm, double bar_low, double bar_high) const;

 private:
  LinearMargin boundary(double scale) const; // as a rate of the counted events
  Cell cell_of(const MetricNumbers& numbers) const;
  void weigh(const Cell& cell, double minute);
  double log_harm() const;
  const Totals& since() const { return up_ ? excess_.since() : shrink_.since(); }

  SignalSpec signal_;
  Worse worse_;
  bool rest_ = false; // the rest is counted, not the part
  bool up_ = true;    // more of the counted events is worse
  bool strict_ = false;
  double clump_ = 1;
  bool intervals_ = true;
  bool exact_ = false;
  std::vector<LinearMargin> harms_;
  OnsetProcess<ExcessBets> excess_;  // up: against "no more"
  OnsetProcess<ShrinkBets> shrink_;  // down: against "no fewer"
  OnsetProcess<OddsBets> odds_;      // exact: of the bad events
  std::vector<SafetyProcess> below_; // up: for "not more than", one for each harm
  std::vector<ExcessProcess> above_; // down: for "not fewer than"
  ExcessProcess more_;               // for the interval
  SafetyProcess fewer_;
  ExcessProcess over_limit_;
  SafetyProcess under_limit_;
  ShareDispersion dispersion_;
  Totals totals_;
};

// A mean, from sums and counts. Its variance is that between cells, weighted by their observations:
// of each track, and at least that of the track and stable's past together, for few cells may be
// alike by chance. The guarantee holds in the limit of many observations (asymptotic.h).
class MeanSide {
 public:
  MeanSide(const SignalSpec& signal, const LineOptions& options, Worse worse,
           const MetricPast& past)
      : signal_(signal), worse_(worse), strict_(options.strict), past_(past.means) {}
  void add(const MetricNumbers& numbers, double minute);
  MetricReading read(std::size_t harm, double bar_low, double bar_high) const;

 private:
  double variance_of_mean(const BatchMeans& track) const; // negative: not known yet

  SignalSpec signal_;
  Worse worse_;
  bool strict_;
  BatchMeans past_;
  BatchMeans canary_;
  BatchMeans stable_;
};

// Bets on a coin that shows "worse" more often than not: x1 of n1 throws did.
class CoinBets {
 public:
  static constexpr std::size_t kCount = 16;
  std::array<double, kCount> growth(const Cell& cell) const;
};

// Any number: in how many intervals was the canary's worse than stable's? Under "no worse" that is
// a fair coin at most, for every distribution of the number. The bets are spread evenly over unfair
// coins.
class ValueSide {
 public:
  ValueSide(const SignalSpec& signal, const LineOptions& options, Worse worse);
  void add(const MetricNumbers& numbers, double minute);
  MetricReading read(std::size_t harm, double bar_low, double bar_high) const;

 private:
  // Of cells whose x0 and n0 are the values of the canary and of stable.
  struct Values {
    double canary = 0;
    double stable = 0;
    double intervals = 0;
    void add(const Cell& cell);
  };
  struct Coin {
    double wins = 0;
    double losses = 0;
    void add(const Cell& cell);
    double log_e() const;
  };
  double allowed(double stable) const;

  SignalSpec signal_;
  Worse worse_;
  bool strict_;
  OnsetProcess<CoinBets, Values> harm_;
  Coin safe_;
  Coin over_limit_;
};

// One line of a judgement.
class MetricLine {
 public:
  // scales: 1 / next weight of each step, for ratios: a step is held to the harm to the whole
  // service. A mean or a value is held to its margin at every step. past: stable's, where it is
  // known.
  MetricLine(const SignalSpec& signal, const LineOptions& options, std::span<const double> scales,
             const MetricPast& past);
  // minute: observed time of the rollout at the cell's beginning.
  void add(const MetricNumbers& numbers, double minute);
  MetricReading read(std::size_t harm, double bar_low, double bar_high) const;
  bool has_canary() const { return canary_; }
  bool has_stable() const { return stable_; }

 private:
  std::vector<std::variant<RatioSide, MeanSide, ValueSide>> sides_;
  bool canary_ = false; // was ever seen
  bool stable_ = false;
};

} // namespace coalmine::judge
