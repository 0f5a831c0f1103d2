// Numbers in, verdict out. Pure: no I/O, no clock, no config parsing, no knowledge of stores or
// rollouts.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/shared_vector.h"
#include "judge/stats/rank_statistics.h"

namespace coalmine::judge {

enum class Verdict { pass, regression, watching, no_data };
// watching with a cause: too little data and undecided are different states.
// interval_open: both tracks report, and no export interval of both is complete yet.
// not_measurable: the metric itself cannot be read (an expression with many series, a part larger
// than its whole).
enum class Cause {
  none,
  no_canary_data,
  no_stable_data,
  too_few_requests,
  interval_open,
  undecided,
  source_unreachable,
  not_measurable
};
enum class Decision {
  promote,
  rollback,
  keep_watching /* "continue" in every output */,
  inconclusive
};

std::string_view to_string(Verdict verdict); // pass regression watching no_data
std::string_view to_string(Cause cause);
std::string_view to_string(Decision decision); // promote rollback continue inconclusive

// ratio: part of a whole, both counted (conversions of checkouts). mean: a sum over a count (the
// value of an order). value: a number that is read now and then, whatever it is (a gauge, any
// PromQL expression). These three are of the service, never of a route. request_share: which part
// of a track's requests goes to a route; of routes only, never of the service, and sequential only.
enum class SignalKind { error_rate, latency_quantile, request_share, ratio, mean, value };
inline bool is_metric(SignalKind kind) { return kind >= SignalKind::ratio; }
std::string_view to_string(SignalKind kind);
std::optional<SignalKind> signal_kind(std::string_view text);

// Which way is worse.
enum class Worse { higher, lower, either };
// What a mean or a value is measured in. A ratio is a share, 0 to 1.
enum class ValueUnit { number, ratio, millis, seconds, bytes, per_second };
std::string_view unit_text(
    SignalKind kind, ValueUnit unit); // as in the config file: count, ratio, ms, s, bytes, rps

// How much worse is allowed. points: +0.5pp is 0.005 absolute. percent: +20% is 0.20 of stable's
// value. The others are amounts in the unit of the value: +25ms is 25 of millis and 0.025 of
// seconds.
struct Margin {
  enum class Unit { points, percent, millis, seconds, bytes, per_second } unit = Unit::points;
  double amount = 0; // not negative
  Worse worse = Worse::higher;
};
// "+0.5pp", "-20%", "+25ms": shown exactly as a user would write it; "±5%" where either way is
// worse.
std::string to_string(const Margin& margin);

struct SignalSpec {
  std::string name; // error_rate, p99_latency
  SignalKind kind = SignalKind::error_rate;
  double quantile = 0.99; // latency_quantile
  Margin margin;
  std::optional<double> max; // absolute limit whatever stable does (ratio, ms, or the unit); a
                             // minimum where lower is worse
  bool gate = true;          // false: shown, decides nothing
  bool per_route = true;
  // sequential only. automatic: the margin follows stable's own rate (see default_error_margin);
  // margin is then what is shown before stable is known. if_decidable: a regression always counts,
  // but promotion waits for this signal only when the planned traffic can decide it. floor:
  // differences below it (a ratio, or milliseconds) never count.
  bool automatic = false;
  bool if_decidable = false;
  double floor = 0;
  ValueUnit unit = ValueUnit::number; // of a mean or a value
};

// One track's numbers in the window. buckets: non-cumulative, counts.size() == bounds_ms.size() +
// 1; empty when unknown.
struct TrackNumbers {
  bool has_data = false; // false: nothing received for this track, which is not zero requests
  double requests = 0;
  double errors = 0;
  std::vector<double> bounds_ms;
  std::vector<double> bucket_counts;
};
struct RouteNumbers {
  std::string route;
  TrackNumbers canary;
  TrackNumbers stable;
};

// One track in one cell of the common time grid. bucket_counts: of the cell's bounds, without
// instances that are warming up; empty when no distribution is known. Counts may be fractions.
struct CellCounts {
  double requests = 0;
  double errors = 0;
  std::vector<double> bucket_counts;
};
// A metric of the user's own on one track. ratio: amount of count. mean: the sum, and of how many.
// value: the value, and 1.
struct MetricTrack {
  bool has_data = false;
  double amount = 0;
  double count = 0;
  std::optional<double> value() const {
    return has_data && count > 0 ? std::optional(amount / count) : std::nullopt;
  }
};
struct MetricNumbers {
  std::string signal;
  MetricTrack canary;
  MetricTrack stable;
  std::string problem; // why it cannot be measured, a sentence without its end; "" it can
};

struct CellRoute {
  std::string route;                                    // "": the whole service
  std::shared_ptr<const std::vector<double>> bounds_ms; // that both tracks share; null: none
  CellCounts canary;
  CellCounts stable;
};
// One instance of stable in one cell: what dispersion is estimated from.
struct CellInstance {
  double requests = 0;
  double errors = 0;
};
// A stretch of time that the telemetry of both tracks has passed. Each is handed to a judge once,
// in order.
struct EvidenceCell {
  std::int64_t from_ms = 0;
  std::int64_t to_ms = 0;
  bool baseline = false; // before the canary had traffic: only stable counts, as its past
  bool mixed = false;    // the split was moved inside: counted, never judged
  bool warming = false;  // a canary instance was warming up
  CellRoute total;
  std::vector<CellRoute> routes; // parts of the whole
  std::vector<CellInstance> stable_instances;
  std::vector<MetricNumbers>
      metrics; // those that were measured in this cell and may be judged, mixed or not
};

// Everything a judge may look at. routes are parts of the whole.
struct Evidence {
  TrackNumbers canary;
  TrackNumbers stable;
  std::vector<RouteNumbers> routes;
  std::vector<MetricNumbers> metrics; // for judges that take no cells: over the window
  double canary_age_minutes = 0;      // since the first telemetry of the canary version
  std::string source_error; // not empty: the store could not be reached; every verdict is no_data
                            // with that cause
  // For judges that take cells: those that closed since the last look, and where the rollout
  // stands.
  std::vector<EvidenceCell> cells;
  double next_weight = 1;  // the canary's share if this step passes: what a difference would then
                           // cost the whole service
  double step_minutes = 0; // observed so far in the step
  double step_needed_minutes = 0; // before its gate may open
  double step_min_requests = 0;   // of the canary in the step, before its gate may open
  double step_requests = 0;       // of the canary in the step so far
};

// One line of a judgement. Estimates are null when there is nothing to show.
struct SignalVerdict {
  std::string signal;
  std::string route; // "": the whole service
  SignalKind kind = SignalKind::error_rate;
  bool gate = true;
  Verdict verdict = Verdict::watching;
  Cause cause = Cause::none;
  ValueUnit unit = ValueUnit::number;
  bool approximate = false;     // the guarantee holds in the limit of many observations only
  std::string problem;          // not_measurable: why
  std::optional<double> canary; // ratio, ms, or the unit
  std::optional<double> stable;
  std::optional<double> difference; // canary - stable, in the same unit
  std::optional<double> relative;   // difference / stable
  std::optional<double> lower;      // interval of the difference, where the judge has one
  std::optional<double> upper;
  Margin margin;
  double canary_requests = 0;
  double stable_requests = 0;
  std::string reason; // one sentence with numbers; of a route it may be left out: reason.h makes it
                      // when it is shown
  std::optional<double> max;    // the absolute limit, where one is set
  double required_requests = 0; // of the canary, before this line may be more than watching
  bool canary_at_least =
      false; // the quantile is in the last bucket: the true value is at least this
  bool stable_at_least = false;
  // Of judges that weigh evidence.
  bool beyond = false; // the measured difference is beyond the margin or the limit
  std::optional<double>
      evidence; // how many times likelier the data are under "worse" than under "no worse": e-value
  std::optional<double> needed_evidence; // what this line needs to decide alone
  std::optional<double> detectable; // smallest true difference that would have been seen by now, in
                                    // the unit of difference
  std::optional<double> minutes_left; // until "not worse" can be shown, at the traffic of now
  std::optional<double>
      warming;  // a canary instance warms up: this much more errors (a ratio) are borne for now
  struct Tail { // latency: requests slower than a bucket boundary, which is what the decision rests
                // on
    double boundary_ms = 0;
    double canary = 0; // share of requests
    double stable = 0;
    double allowed = 0;
  };
  std::optional<Tail> tail;
};

struct Judgement {
  Decision decision = Decision::keep_watching;
  SharedVector<SignalVerdict> signals; // whole service first, then routes, worst first
  std::string reason;                  // the sentence that every output shows
  double analysis_duration_minutes = 0;
  // Of judges that weigh evidence.
  std::optional<double> minutes_left; // earliest verdict in about
  std::optional<double> dispersion;   // phi in use; 1: errors are independent
  std::string guarantee;              // one sentence: what is promised, and under which assumptions
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
//   the store was unreachable, a track sent nothing, or the canary has fewer than min_requests  ->
//   continue, with that cause a gating signal is beyond its margin or max, over all requests or on
//   a route               -> rollback, at any age a gating signal cannot be told over all requests
//   -> continue the canary is younger than min_analysis_minutes -> continue otherwise -> promote
// A percent margin on a latency whose stable value is 0 passes, as in the seed; on an error rate it
// then allows no error at all. An unknown latency is not 0: it decides nothing. A route decides
// only by regressing; one that cannot be told is covered by the whole service. Never inconclusive:
// there is no end of time in one look.
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
//   signals, routes, looks and steps of
//             the rollout) and a measured difference is beyond its margin; strict: worse by more
//             than the margin is proven
//   promote   for every gating signal of the whole service a difference that the next step may not
//   bear (margin / next weight) is
//             excluded at alpha_promote, and the step's own time and requests are over
//   continue  otherwise
struct SequentialOptions {
  std::vector<SignalSpec> signals;
  double alpha_rollback = 0.01;
  double alpha_promote = 0.05;
  bool strict = false;
  bool restarts = true; // half of the bet on regressions that begin later
  double warm_up_margin =
      0.05; // an error rate's margin is at least this while a canary instance warms up
  // Routes with twice the share of the error budget that another of the same traffic has; judged
  // however many routes there are, shown and named before others that are equally bad. Their cells
  // must not be pooled (cohort::GridOptions::own_routes).
  std::vector<std::string> critical_routes;
  // The steps ahead: their harm margins are kept, and they tell what traffic can decide. The last
  // leads to all of the traffic.
  struct PlannedStep {
    double weight = 0;
    double minutes = 0;
  };
  std::vector<PlannedStep> plan = {{0.05, 10}, {0.25, 10}, {0.5, 15}};
};
SequentialOptions sequential_defaults();
std::unique_ptr<Judge> make_sequential_judge(SequentialOptions options);

// The rank test of Kayenta (rank_statistics.h) on one value a cell: for configurations and habits
// carried over. Of the whole service; routes are tested over their newest kRankRouteCells cells and
// shown, but decide nothing: so many tests without a budget would roll back equal canaries. It sees
// intervals, not requests: a cell of one request weighs as much as one of a million. What it
// decides, after every `interval` cells and at the end of a step:
//   half of the metrics have no data            -> continue
//   the score is at or below marginal           -> rollback
//   the step is over and the score reaches pass -> promote
//   otherwise                                   -> continue
inline constexpr std::size_t kRankRouteCells = 50;
struct RankSignal {
  std::vector<std::string> groups; // none: one group of all such
  std::optional<rank::MetricOptions>
      options; // null: worse as the margin says, its percentage as the least effect
};
struct RankOptions {
  std::vector<SignalSpec> signals;
  std::map<std::string, RankSignal> metrics; // by signal; what is not named has the defaults
  std::map<std::string, double> group_weights;
  double pass = 95;
  double marginal = 75;
  std::size_t interval = 10; // cells
};
std::unique_ptr<Judge> make_rank_judge(RankOptions options);

// Half of stable's own error rate, at least 0.2 and at most 0.5 percentage points, or 20 % of it
// where that is more. Where the plan's traffic could not show an equal canary to be within that
// (rps requests a second of both tracks; 0: unknown), it is widened to what can be shown, up to 0.5
// points, 0.8 points at rates of 1 % and more, or half of the rate.
Margin default_error_margin(double stable_rate,
                            const std::vector<SequentialOptions::PlannedStep>& plan = {},
                            double rps = 0, double phi = 1);

} // namespace coalmine::judge
