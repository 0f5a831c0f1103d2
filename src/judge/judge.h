// The judges, their options, and the evidence that they are given. Their answer is in verdict.h.
// Pure: no I/O, no clock, no config parsing, no knowledge of stores or rollouts.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "judge/plan/plan_power.h"
#include "judge/plan/planned_step.h"
#include "judge/rank_options.h"
#include "judge/signal.h"
#include "judge/suspended.h"
#include "judge/verdict.h"
#include "telemetry/cell.h"

namespace coalmine::judge {

// Everything a judge may look at. routes are parts of the whole.
struct Evidence {
  TrackCounts canary;
  TrackCounts stable;
  std::vector<RouteCounts> routes;
  std::vector<MetricNumbers> metrics; // for judges that take no cells: over the window
  double canary_age_minutes = 0;      // since the first telemetry of the canary version
  // Not empty: the store could not be reached; every verdict is then no_data with that cause.
  std::string source_error;
  // The tracks may not be compared now: limits (max) and gross harm are still judged, and nothing
  // else decides. Evidence goes on being gathered.
  Suspension comparison_suspended{};
  // For judges that take cells: those that closed since the last look, and where the rollout
  // stands.
  std::vector<CountCell> cells;
  // The canary's share if this step passes; it scales what a difference would cost the whole
  // service.
  double next_weight = 1;
  double step_minutes = 0;        // observed so far in the step
  double step_needed_minutes = 0; // before its gate may open
  double step_min_requests = 0;   // of the canary in the step, before its gate may open
  // Of the canary in the step so far, in cells that were compared: what was served in the step and
  // not compared yet says nothing of the step.
  double step_requests = 0;
  // Of the canary in the step, not compared yet, and sure to be: what came in the cell in which the
  // weight moved is not among them.
  double step_awaited = 0;
  // A track has nothing in the window, reported a moment before it, and its next export is not late
  // yet. To say that it has no data would be false.
  bool export_due = false;
  double export_interval_seconds = 0; // the longest of both tracks; 0: unknown
};

// One Judge object serves one rollout, one look after the other; never two threads at once.
class Judge {
 public:
  virtual ~Judge() = default;
  virtual std::string_view name() const = 0;
  virtual Judgement judge(const Evidence& evidence) = 0;
  // Whether judge() wants evidence.cells; else the window's totals are enough and the judge keeps
  // nothing from look to look.
  virtual bool takes_cells() const { return false; }
};

// The seed's rule: fixed thresholds on point estimates. What it decides, in order:
//   continue  the store was unreachable, a track sent nothing, or the canary has fewer than
//             min_requests; with that cause
//   rollback  a gating signal is beyond its margin or max, over all requests or on a route; at any
//             age of the canary
//   continue  a gating signal is unknown over all requests
//   continue  the canary is younger than min_analysis_minutes
//   promote   otherwise
// A percent margin on a latency whose stable value is 0 passes, as in the seed; on an error rate it
// then allows no error at all. An unknown latency is not 0: it decides nothing. A route decides
// only by regressing; the whole service covers a route that is unknown. Never inconclusive: one
// look does not know when the step ends.
struct ThresholdOptions {
  std::vector<SignalSpec> signals; // default: error_rate +10pp, p99_latency +20%
  double min_analysis_minutes = 10;
  double min_requests = 100;       // of the canary, before anything is decided
  double min_route_requests = 100; // routes with fewer are watched, and neither gate nor fail
};
ThresholdOptions seed_defaults();
std::unique_ptr<Judge> make_threshold_judge(ThresholdOptions options);

// The default: anytime-valid evidence on every cell. What it decides:
//   rollback  the canary is proven worse than stable (one error budget of alpha_rollback over all
//             signals, routes, looks and steps of the rollout) and a measured difference is beyond
//             its margin; strict: worse by more than the margin is proven. Or a process of the
//             canary restarts again and again while none of stable does: a rule, no test
//   inconclusive  as for a rollback, but the difference is not larger than what lasting differences
//             between stable's processes would explain, with so few of the canary's: a person is
//             asked
//   promote   for every gating signal of the whole service, a difference that the next step may
//             not bear (margin / next weight) is excluded at alpha_promote, and the step's own time
//             and requests are over
//   continue  otherwise
struct SequentialOptions {
  std::vector<SignalSpec> signals;
  double alpha_rollback = 0.01;
  double alpha_promote = 0.05;
  bool strict = false;
  bool later_onsets = true; // half of the bet on regressions that begin later
  // A difference that the variation between stable's processes would explain is left to a person
  // (Decision::inconclusive), and never rolled back.
  bool ask_about_processes = true;
  // When the canary begins, stable's processes are tried as canaries on its newest past, and phi is
  // raised where that shows more false evidence than it explains (trial/stable_trial.h). Never
  // lowered. Takes up to half a second of CPU time, once.
  bool try_stable = false;
  // An error rate's margin is at least this while a canary instance warms up.
  double warm_up_margin = 0.05;
  // Routes with twice the share of the error budget that another of the same traffic has; judged
  // however many routes there are, shown and named before others that are equally bad. Their cells
  // must not be pooled (cohort::GridOptions::own_routes).
  std::vector<std::string> critical_routes;
  // The steps ahead: their harm margins are kept, and what their traffic can decide follows from
  // them. The last leads to all of the traffic.
  std::vector<PlannedStep> plan = {{0.05, 10}, {0.25, 10}, {0.5, 15}};
};
SequentialOptions sequential_defaults();
// The default for the client error rate, with a margin so wide that bots and wrong clients roll no
// release back, while a canary that knows none of its routes does not stay.
SignalSpec default_client_errors();
// The default for restarts: three in ten minutes are too many.
SignalSpec default_restarts();
std::unique_ptr<Judge> make_sequential_judge(SequentialOptions options);

// The rank test of Kayenta (rank_rules.h) on one value a cell: for configurations and habits
// carried over. The whole service decides. Routes are tested over their newest kRankRouteCells
// cells and shown, but decide nothing: hundreds of tests without a budget would roll back equal
// canaries. It sees intervals, not requests: a cell of one request weighs as much as one of a
// million. What it decides, after every `interval` cells and at the end of a step:
//   the mean of a gating signal breaks its max   -> rollback
//   half of the metrics have no data            -> continue
//   the score is at or below marginal           -> rollback
//   the step is over and the score reaches pass -> promote
//   otherwise                                   -> continue
inline constexpr std::size_t kRankRouteCells = 50;
struct RankSignal {
  std::vector<std::string> groups; // none: one group of all such
  // Null: worse as the margin says, its percentage as the least effect.
  std::optional<rank::MetricOptions> options;
};
struct RankOptions {
  std::vector<SignalSpec> signals;
  std::map<std::string, RankSignal> metrics; // by signal; signals not named have the defaults
  std::map<std::string, double> group_weights;
  double pass = 95;
  double marginal = 75;
  std::size_t interval = 10; // cells
};
std::unique_ptr<Judge> make_rank_judge(RankOptions options);

// The margin of an error rate without one (plan/default_margin.h), as it is shown.
Margin default_error_margin(double stable_rate, const std::vector<PlannedStep>& plan = {},
                            double rps = 0, double phi = 1);

struct PlanTraffic {
  double rps = 0;        // of both tracks
  double error_rate = 0; // stable's
  double phi = 1;        // dispersion of errors
};
// What a judge with these options needs to be asked before a release: plan/plan_power.h. Latency is
// taken to be spread as that of most web services. Absent: no error rate gates, or the plan is
// empty.
std::optional<PlanQuestion> plan_question(const SequentialOptions& options,
                                          const PlanTraffic& traffic);
// A quantile of latency with a margin in percent, spread likewise.
PlannedLine planned_tail(const SignalSpec& signal);

} // namespace coalmine::judge
