// Numbers in, verdict out. Pure: no I/O, no clock, no config parsing, no knowledge of stores or rollouts.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace coalmine::judge {

enum class Verdict { pass, regression, watching, no_data };
// watching with a cause: too little data and undecided are different states.
enum class Cause { none, no_canary_data, no_stable_data, too_few_requests, undecided, source_unreachable };
enum class Decision { promote, rollback, keep_watching /* "continue" in every output */, inconclusive };

std::string_view to_string(Verdict verdict);   // pass regression watching no_data
std::string_view to_string(Cause cause);
std::string_view to_string(Decision decision); // promote rollback continue inconclusive

enum class SignalKind { error_rate, latency_quantile };

// How much worse is allowed. points: +0.5pp is 0.005 absolute. percent: +20% is 0.20 of stable's value. millis: +25ms.
struct Margin {
  enum class Unit { points, percent, millis } unit = Unit::points;
  double amount = 0;
};
// "+0.5pp", "+20%", "+25ms": shown exactly as a user would write it.
std::string to_string(const Margin& margin);

struct SignalSpec {
  std::string name;              // error_rate, p99_latency
  SignalKind kind = SignalKind::error_rate;
  double quantile = 0.99;        // latency_quantile
  Margin margin;
  std::optional<double> max;     // absolute limit whatever stable does (ratio, or ms)
  bool gate = true;              // false: shown, decides nothing
  bool per_route = true;
};

// One track's numbers in the window. buckets: non-cumulative, counts.size() == bounds_ms.size() + 1; empty when unknown.
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

// Everything a judge may look at. routes are parts of the whole.
struct Evidence {
  TrackNumbers canary;
  TrackNumbers stable;
  std::vector<RouteNumbers> routes;
  double canary_age_minutes = 0; // since the first telemetry of the canary version
  std::string source_error;      // not empty: the store could not be reached; every verdict is no_data with that cause
};

// One line of a judgement. Estimates are null when there is nothing to show.
struct SignalVerdict {
  std::string signal;
  std::string route; // "": the whole service
  SignalKind kind = SignalKind::error_rate;
  bool gate = true;
  Verdict verdict = Verdict::watching;
  Cause cause = Cause::none;
  std::optional<double> canary;     // ratio, or ms
  std::optional<double> stable;
  std::optional<double> difference; // canary - stable, in the same unit
  std::optional<double> relative;   // difference / stable
  std::optional<double> lower;      // interval of the difference, where the judge has one
  std::optional<double> upper;
  Margin margin;
  double canary_requests = 0;
  double stable_requests = 0;
  std::string reason; // one sentence with numbers
  std::optional<double> max;        // the absolute limit, where one is set
  double required_requests = 0;     // of the canary, before this line may be more than watching
  bool canary_at_least = false;     // the quantile is in the last bucket: the true value is at least this
  bool stable_at_least = false;
};

struct Judgement {
  Decision decision = Decision::keep_watching;
  std::vector<SignalVerdict> signals; // whole service first, then routes, worst first
  std::string reason;                 // the sentence that every output shows
  double analysis_duration_minutes = 0;
};

// The state a sequential judge carries from look to look is the implementation's; one Judge object serves one rollout step.
class Judge {
 public:
  virtual ~Judge() = default;
  virtual std::string_view name() const = 0;
  virtual Judgement judge(const Evidence& evidence) = 0;
};

// The seed's rule: fixed thresholds on point estimates. What it decides, in order:
//   the store was unreachable, a track sent nothing, or the canary has fewer than min_requests  -> continue, with that cause
//   a gating signal is beyond its margin or max, over all requests or on a route               -> rollback, at any age
//   a gating signal cannot be told over all requests                                           -> continue
//   the canary is younger than min_analysis_minutes                                            -> continue
//   otherwise                                                                                  -> promote
// A percent margin on a latency whose stable value is 0 passes, as in the seed; on an error rate it then allows no error at all.
// An unknown latency is not 0: it decides nothing. A route decides only by regressing; one that cannot be told is covered by the
// whole service. Never inconclusive: there is no end of time in one look.
struct ThresholdOptions {
  std::vector<SignalSpec> signals;      // default: error_rate +10pp, p99_latency +20%
  double min_analysis_minutes = 10;
  double min_requests = 100;            // of the canary, before anything is decided
  double min_route_requests = 100;      // routes with fewer are watched, and neither gate nor fail
};
ThresholdOptions seed_defaults();
std::unique_ptr<Judge> make_threshold_judge(ThresholdOptions options);

} // namespace coalmine::judge
