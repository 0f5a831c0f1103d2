// Point estimates from counts, and the comparison of two of them with a margin. Pure; any thread.
// An estimate is absent when the numbers do not give it. No errors.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <span>

#include "judge/judge.h"

namespace coalmine::judge {

struct Estimate {
  double value = 0;
  bool at_least = false; // a quantile in the last bucket: the true value is no less than this
};

// errors / requests; zero errors are 0. Absent without requests or with counts that are not finite
// or negative.
std::optional<Estimate> error_rate(const TrackCounts& track);
// The part of requests answered with 4xx. Absent where no HTTP status is known.
std::optional<Estimate> client_error_rate(const TrackCounts& track);
// The same as part and whole.
MetricTrack client_errors_of(const TrackCounts& track);

// The q-quantile by linear interpolation inside the bucket, as PromQL's histogram_quantile: the
// first bucket starts at 0 when its bound is positive; in the last one the answer is its lower
// bound. Absent without a usable distribution. counts has one entry more than bounds.
std::optional<Estimate> latency_quantile(std::span<const double> bounds,
                                         std::span<const double> counts, double q);
std::optional<Estimate> latency_quantile(const TrackCounts& track, double q);

// The estimate that a request signal asks for. Absent for metrics, whose value is in MetricTrack.
std::optional<Estimate> estimate(const SignalSpec& signal, const TrackCounts& track);

// points fit ratios, millis fit latencies, percent fits everything, the other units fit what is
// measured in them. A margin that does not fit decides nothing.
bool margin_fits(SignalKind kind, const Margin& margin, ValueUnit unit = ValueUnit::number);

// The margin as a difference in the signal's own unit, at this value of stable; at least floor.
double allowed_difference(const Margin& margin, double floor, double stable);
// The distance of the canary on the worse side of stable; for Worse::either, the absolute distance.
double badness(Worse worse, double canary, double stable);

// The seed's comparison, operation by operation in doubles. With a stable value of 0, a percent
// margin passes every latency (the seed takes the increase as 0) and no error rate above 0; of
// anything else it then allows no difference on the worse side.
bool within_margin(SignalKind kind, const Margin& margin, double canary, double stable);

// Puts an interval of the difference beside its estimate. A share cannot fall below 0, so its
// difference ends at minus stable's value. False, and no interval: the estimate is not inside. The
// two then speak of different times or sizes, and one line must not say both. level: how often it
// covers the true difference, at least.
bool set_interval(SignalVerdict& v, std::optional<double> lower, std::optional<double> upper,
                  double level);

// The order in which lines are told: the worst is 0.
int severity(Verdict verdict);

// Why a metric's numbers cannot be judged: its own problem, or a value that is infinite or not a
// number. "" when they can, or when there are none.
std::string metric_problem(const MetricNumbers& numbers);

} // namespace coalmine::judge
