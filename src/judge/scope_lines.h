// The evidence on one scope, which is the service or one route, and how its lines are set up when
// the canary begins: margins, harm scales and bucket boundaries are chosen from stable's past, and
// nothing is chosen after seeing the cell it is applied to. Values of one judge; one thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "judge/error_budget.h"
#include "judge/judge.h"
#include "judge/metric_line.h"
#include "judge/rate_line.h"
#include "judge/sequential_past.h"
#include "judge/tail_line.h"

namespace coalmine::judge {

// Why requests have no durations to compare.
struct DurationGap {
  bool canary_warms = false; // every instance of the canary with requests is warming up
  bool stable_warms = false;
  bool canary_timed = false; // some of its requests have durations
  bool stable_timed = false;
  std::string bounds; // why their durations have no bounds in common; "": they have
};

// The errors of requests that were served while a process of the canary warmed up: they may be more
// by a margin of their own, and what they were is forgotten when the warm-up is over.
struct WarmUpLine {
  WarmUpLine(Onset onset, double more)
      : margin{1, more}, harm(onset, ExcessBets(margin.r0, margin.delta)) {}
  LinearMargin margin;
  OnsetProcess<ExcessBets> harm;
  RateDifference difference;
};

// The service, or one route.
struct Scope {
  double rate_weight = 0; // shares of the error budget
  double tail_weight = 0;
  double share_weight = 0;
  double client_weight = 0;
  std::optional<RateLine> rate; // where an error rate is judged
  // Errors of canary processes that warm up, against a wider margin. They are in no other line.
  std::optional<WarmUpLine> warm_up;
  // For a route that only the canary has: against the whole of stable, until stable serves it too.
  std::optional<RateLine> foreign;
  TailWatch tail;
  std::vector<std::optional<TailLimit>> limits; // one for each latency signal of the scope
  std::optional<MetricLine> share;              // of a route that stable had before
  // For a route: from the cell after its first client error on.
  std::optional<MetricLine> client;
  bool has_client_errors = false; // some were seen
  double canary = 0;              // requests seen, also in cells that are not judged
  double stable = 0;
  DurationGap gap; // in the newest cell with requests

  void see(const RouteCounts& row);
  // whole: the service's row of the same cell. minute: observed time of the rollout at the cell's
  // beginning.
  void judge(const RouteCounts& row, const RouteCounts& whole, const Phi& phi, double minute);
  // The evidence of the error rate, and of the errors in the warm-up, with their parts of the
  // stake.
  double log_rate_harm() const;
  double log_warm_up_harm() const;
  // Half of it on the signal's absolute limit, where it has one.
  double log_tail_harm(std::size_t mark) const;
};

// Makes scopes. options and places outlive it.
class LinePlan {
 public:
  LinePlan(const SequentialOptions& options, const SignalPlaces& places);

  // The scope that a line is made for.
  enum class Reach { service, route };

  // Call once, when the canary begins.
  void fix_margin(const StablePast& past, const StableDispersion& dispersion);
  const Margin& margin() const { return margin_; } // of the error rate, as shown

  Scope service(const StablePast& past, const ErrorBudget& budget) const;
  // own: null when stable did not have the route; it is then measured with the service's
  // boundaries. weight: its share of the error budget.
  Scope route(const StablePast& past, const Past* own, double weight) const;
  // Chooses boundaries of the scope's latencies anew where its cells no longer have those chosen,
  // or where none could be chosen so far. Begins to weigh a route's client errors once it has some:
  // later cells only, so that the first one is no evidence. Call after each judged cell.
  void renew(Scope& scope, Reach reach) const;
  MetricLine metric(std::size_t signal, const MetricPast& past) const;

  // Index of the largest harm scale that the next step may bear.
  std::size_t harm_index(double next_weight) const;

 private:
  LineOptions line_options() const;
  RateLine rate_line(const Past& past) const;
  void add_rate(Scope& scope, const Past& past) const;
  void add_tail(Scope& scope, const Buckets& past, Reach reach) const;
  void add_client(Scope& scope, const MetricPast& past, Reach reach) const;
  TailLine tail_line(const Buckets& past, Reach reach) const;
  TailLine::Mark tail_mark(const SignalSpec& signal, const Buckets& past,
                           const Boundaries& chosen) const;
  // The latency signals that a scope has, in the order of its marks.
  std::vector<const SignalSpec*> tail_signals(Reach reach) const;

  const SequentialOptions& options_;
  const SignalPlaces& places_;
  const std::vector<double> harms_; // scales of the harm rule: 1 / next weight, ascending
  Margin margin_;
  double client_clump_ = 1;
};

} // namespace coalmine::judge
