// A judge's answer: one line per signal and route, and the decision that they add up to. Values;
// any thread may read a finished one. Numbers of a signal are in its unit: a ratio (0 to 1),
// milliseconds, or the unit of the metric. A number that is unknown is absent, never 0.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/shared_vector.h"
#include "judge/signal.h"
#include "judge/trial/stable_trial.h"

namespace coalmine::judge {

enum class Verdict { pass, regression, watching, no_data };
// Why a line is watching or without data: too little data and undecided are different states.
// interval_open: both tracks report, and no export interval of both is complete yet.
// not_measurable: the metric itself cannot be read (an expression with many series, a part larger
// than its whole, a store that refuses it). warming_up: the durations of instances count once they
// have warmed up. limit_unclear: the buckets have no bound at an absolute limit, and the canary may
// be beyond it. split_broken: the traffic is not split as asked, so the tracks are not compared.
// processes_differ: worse, and no worse than one of stable's processes may be than another.
enum class Cause {
  none,
  no_canary_data,
  no_stable_data,
  too_few_requests,
  interval_open,
  undecided,
  source_unreachable,
  not_measurable,
  warming_up,
  limit_unclear,
  split_broken,
  processes_differ
};
enum class Decision {
  promote,
  rollback,
  keep_watching, // "continue" in every output
  inconclusive   // a person must decide
};

std::string_view to_string(Verdict verdict); // pass regression watching no_data
std::string_view to_string(Cause cause);
std::string_view to_string(Decision decision); // promote rollback continue inconclusive

// The signal and scope of a line.
struct Subject {
  std::string signal;
  std::string route; // "": the whole service
  SignalKind kind = SignalKind::error_rate;
  ValueUnit unit = ValueUnit::number;
  bool gate = true; // false: shown, decides nothing
};

// Latency: requests slower than a bucket boundary, which is what the decision rests on. Shares of
// requests.
struct Tail {
  double boundary_ms = 0;
  double canary = 0;
  double stable = 0;
  double allowed = 0;
};

// The measured values.
struct Measured {
  std::optional<double> canary;
  std::optional<double> stable;
  std::optional<double> difference; // canary - stable
  std::optional<double> relative;   // difference / stable
  std::optional<double> lower;      // interval of the difference, where the judge has one
  std::optional<double> upper;
  double level = 0; // of that interval: how often it covers the true value, at least; 0: none
  std::optional<Tail> tail;
  // The quantile is in the last bucket: the true value is at least this.
  bool canary_at_least = false;
  bool stable_at_least = false;
  bool stable_is_whole = false;  // a route that only the canary has: stable over all its requests
  bool tail_by_quantile = false; // tail.allowed is what the quantile leaves out, not a margin
  bool approximate = false;      // the guarantee holds in the limit of many observations only
};

// The limits for the measured values.
struct Limits {
  Margin margin;
  std::optional<double> max; // the absolute limit, where one is set
};

// Requests in the window, of the line's route.
struct LineRequests {
  double canary = 0;
  double stable = 0;
  double required = 0; // of the canary, before this line may be more than watching
};

// How much the data say, from judges that weigh evidence.
struct Weighed {
  double evidence = 0; // e-value: how many times likelier the data are under "worse"
  double needed = 0;   // evidence that this line needs to decide alone
  bool beyond = false; // the measured difference is beyond the margin or the limit
  // A canary instance warms up: an error rate higher by this is allowed for now.
  std::optional<double> warming;
};

// A forecast for more data, from judges that weigh evidence. May be known before any evidence is.
struct Outlook {
  // Smallest true difference that would have been seen by now.
  std::optional<double> detectable;
  // Until "not worse" can be shown, at the present traffic.
  std::optional<double> minutes_left;
};

// One line of a judgement. A judgement of a service with many routes has hundreds of them.
struct SignalVerdict {
  Subject subject;
  Measured measured;
  Limits limits;
  LineRequests requests;
  std::optional<Weighed> weighed; // absent: the judge weighs nothing, or nothing of this line yet
  Outlook outlook;

  Verdict verdict = Verdict::watching;
  Cause cause = Cause::none;
  // not_measurable, limit_unclear, processes_differ: why; interval_open: how often there is an
  // export, "every 60 s". A line of restarts: the canary's process that they are of.
  std::string problem;
  // One sentence with numbers. A judge may leave it out of a route's line; line_sentence()
  // (reason.h) then makes it when the line is shown.
  std::string reason;
};

struct Judgement {
  Decision decision = Decision::keep_watching;
  SharedVector<SignalVerdict> signals; // whole service first, then routes, worst first
  std::string reason;                  // the sentence that every output shows
  double analysis_duration_minutes = 0;
  // From judges that weigh evidence.
  std::optional<double> minutes_left; // earliest verdict in about
  std::optional<double> dispersion;   // phi in use; 1: errors are independent
  std::optional<StableTrial> trial;   // of stable as its own canary, where one was made
  std::string guarantee;              // one sentence: what is promised, and under which assumptions
};

} // namespace coalmine::judge
