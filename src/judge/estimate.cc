// SPDX-License-Identifier: Apache-2.0
#include "judge/estimate.h"

#include <algorithm>
#include <cmath>
#include <string>

namespace coalmine::judge {
namespace {

bool is_count(double n) { return std::isfinite(n) && n >= 0; }

} // namespace

std::optional<Estimate> error_rate(const TrackCounts& track) {
  if (!is_count(track.requests) || !is_count(track.errors) || track.requests <= 0)
    return std::nullopt;
  return Estimate{track.errors / track.requests, false};
}

MetricTrack client_errors_of(const TrackCounts& track) {
  const bool known = is_count(track.answered) && is_count(track.client_errors);
  if (!known || !(track.answered > 0)) return {};
  return {true, std::min(track.client_errors, track.answered), track.answered};
}

std::optional<Estimate> client_error_rate(const TrackCounts& track) {
  const auto value = client_errors_of(track).value();
  return value ? std::optional(Estimate{*value, false}) : std::nullopt;
}

std::optional<Estimate> latency_quantile(std::span<const double> bounds,
                                         std::span<const double> counts, double q) {
  if (bounds.empty() || counts.size() != bounds.size() + 1 || !(q >= 0 && q <= 1))
    return std::nullopt;
  if (!std::ranges::all_of(counts, is_count) ||
      !std::ranges::all_of(bounds, [](double b) { return std::isfinite(b); }) ||
      !std::ranges::is_sorted(bounds)) {
    return std::nullopt;
  }
  double total = 0;
  for (const double n : counts) total += n;
  if (total <= 0) return std::nullopt;
  const double rank = q * total;
  double below = 0;
  for (std::size_t i = 0; i < bounds.size(); ++i) {
    if (counts[i] > 0 && below + counts[i] >= rank) {
      const double upper = bounds[i];
      if (i == 0 && upper <= 0) return Estimate{upper, false};
      const double lower = i == 0 ? 0 : bounds[i - 1];
      return Estimate{lower + (upper - lower) * (rank - below) / counts[i], false};
    }
    below += counts[i];
  }
  return Estimate{bounds.back(), true};
}

std::optional<Estimate> latency_quantile(const TrackCounts& track, double q) {
  if (track.bounds_ms == nullptr) return std::nullopt;
  return latency_quantile(*track.bounds_ms, track.bucket_counts, q);
}

std::optional<Estimate> estimate(const SignalSpec& signal, const TrackCounts& track) {
  switch (signal.kind) {
    case SignalKind::error_rate: return error_rate(track);
    case SignalKind::latency_quantile: return latency_quantile(track, signal.quantile);
    case SignalKind::client_error_rate: return client_error_rate(track);
    case SignalKind::request_share: // compares a route with its whole
    case SignalKind::restarts:      // of processes, not of requests
    case SignalKind::ratio:
    case SignalKind::mean:
    case SignalKind::value: break;
  }
  return std::nullopt;
}

bool margin_fits(SignalKind kind, const Margin& margin, ValueUnit unit) {
  if (!std::isfinite(margin.amount)) return false;
  const bool rate = is_share(kind);
  switch (margin.unit) {
    case Margin::Unit::percent: return true;
    case Margin::Unit::points: return rate || (is_metric(kind) && unit == ValueUnit::ratio);
    case Margin::Unit::millis:
      return kind == SignalKind::latency_quantile || (is_metric(kind) && unit == ValueUnit::millis);
    case Margin::Unit::seconds: return is_metric(kind) && unit == ValueUnit::seconds;
    case Margin::Unit::bytes: return is_metric(kind) && unit == ValueUnit::bytes;
    case Margin::Unit::per_second: return is_metric(kind) && unit == ValueUnit::per_second;
  }
  return false;
}

double allowed_difference(const Margin& margin, double floor, double stable) {
  return std::max(
      margin.unit == Margin::Unit::percent ? margin.amount * std::abs(stable) : margin.amount,
      floor);
}

double badness(Worse worse, double canary, double stable) {
  switch (worse) {
    case Worse::higher: return canary - stable;
    case Worse::lower: return stable - canary;
    case Worse::either: return std::abs(canary - stable);
  }
  return canary - stable;
}

bool within_margin(SignalKind kind, const Margin& margin, double canary, double stable) {
  if (is_metric(kind) || kind == SignalKind::request_share)
    return badness(margin.worse, canary, stable) <= allowed_difference(margin, 0, stable);
  if (margin.unit != Margin::Unit::percent) return canary - stable <= margin.amount;
  if (stable > 0) return (canary - stable) / stable <= margin.amount;
  return kind == SignalKind::latency_quantile || canary <= stable;
}

bool set_interval(SignalVerdict& v, std::optional<double> lower, std::optional<double> upper,
                  double level) {
  auto& m = v.measured;
  if (!m.difference) return false;
  const bool share = is_share(v.subject.kind);
  if (share && lower && m.stable) lower = std::max(*lower, -*m.stable);
  if ((lower && *lower > *m.difference) || (upper && *upper < *m.difference)) return false;
  m.lower = lower;
  m.upper = upper;
  if (lower || upper) m.level = level;
  return true;
}

std::string metric_problem(const MetricNumbers& numbers) {
  if (!numbers.problem.empty()) return numbers.problem;
  for (const auto* track : {&numbers.canary, &numbers.stable}) {
    if (!track->has_data) continue;
    const std::string who = track == &numbers.canary ? "the canary's value" : "stable's value";
    const double value = track->count > 0 ? track->amount / track->count : track->amount;
    if (std::isnan(value) || std::isnan(track->count)) return who + " is not a number (NaN)";
    if (std::isinf(value) || std::isinf(track->count)) return who + " is infinite";
  }
  return "";
}

int severity(Verdict verdict) {
  switch (verdict) {
    case Verdict::regression: return 0;
    case Verdict::watching: return 1;
    case Verdict::pass: return 2;
    case Verdict::no_data: return 3;
  }
  return 3;
}

} // namespace coalmine::judge
