// The evidence on one scope, which is the service or one route, and how its lines are set up when
// the canary begins: margins, harm scales and bucket boundaries are chosen from stable's past, and
// nothing is chosen after seeing the cell it is applied to. Values of one judge; one thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <optional>
#include <vector>

#include "judge/error_budget.h"
#include "judge/judge.h"
#include "judge/metric_line.h"
#include "judge/sequential_lines.h"
#include "judge/sequential_past.h"

namespace coalmine::judge {

// The service, or one route.
struct Scope {
  double rate_weight = 0; // shares of the error budget
  double tail_weight = 0;
  double share_weight = 0;
  std::optional<RateLine> rate; // where an error rate is judged
  TailLine tail;
  std::optional<MetricLine> share; // of a route that stable had before
  double canary = 0;               // requests seen, also in cells that are not judged
  double stable = 0;

  void see(const RouteCounts& row);
  // minute: observed time of the rollout at the cell's beginning.
  void judge(const RouteCounts& row, const Phi& phi, double minute);
};

// Makes scopes. options and places outlive it.
class LinePlan {
 public:
  LinePlan(const SequentialOptions& options, const SignalPlaces& places);

  // Call once, when the canary begins. phi: dispersion of errors.
  void fix_margin(const StablePast& past, double phi);
  const Margin& margin() const { return margin_; } // of the error rate, as shown

  Scope service(const StablePast& past, const ErrorBudget& budget) const;
  // own: null when stable did not have the route; it is then measured with the service's
  // boundaries. weight: its share of the error budget.
  Scope route(const StablePast& past, const Past* own, double weight) const;
  MetricLine metric(std::size_t signal, const MetricTrack& past) const;

  // Index of the largest harm scale that the next step may bear.
  std::size_t harm_index(double next_weight) const;

 private:
  // The scope that a line is made for.
  enum class Reach { service, route };
  LineOptions line_options(Reach reach) const;
  RateLine rate_line(const Past& past, Reach reach) const;
  TailLine tail_line(const Past& past, Reach reach) const;

  const SequentialOptions& options_;
  const SignalPlaces& places_;
  const std::vector<double> harms_; // scales of the harm rule: 1 / next weight, ascending
  Margin margin_;
};

} // namespace coalmine::judge
