// SPDX-License-Identifier: Apache-2.0
#include "judge/estimate.h"

#include <algorithm>
#include <cmath>

namespace coalmine::judge {
namespace {

bool is_count(double n) { return std::isfinite(n) && n >= 0; }

} // namespace

std::optional<Estimate> error_rate(const TrackNumbers& track) {
  if (!is_count(track.requests) || !is_count(track.errors) || track.requests <= 0) return std::nullopt;
  return Estimate{track.errors / track.requests, false};
}

std::optional<Estimate> latency_quantile(const TrackNumbers& track, double q) {
  const auto& bounds = track.bounds_ms;
  const auto& counts = track.bucket_counts;
  if (bounds.empty() || counts.size() != bounds.size() + 1 || !(q >= 0 && q <= 1)) return std::nullopt;
  if (!std::ranges::all_of(counts, is_count) || !std::ranges::all_of(bounds, [](double b) { return std::isfinite(b); }) ||
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

std::optional<Estimate> estimate(const SignalSpec& signal, const TrackNumbers& track) {
  switch (signal.kind) {
    case SignalKind::error_rate: return error_rate(track);
    case SignalKind::latency_quantile: return latency_quantile(track, signal.quantile);
  }
  return std::nullopt;
}

bool margin_fits(SignalKind kind, const Margin& margin) {
  if (!std::isfinite(margin.amount)) return false;
  if (margin.unit == Margin::Unit::percent) return true;
  return (margin.unit == Margin::Unit::points) == (kind == SignalKind::error_rate);
}

bool within_margin(SignalKind kind, const Margin& margin, double canary, double stable) {
  if (margin.unit != Margin::Unit::percent) return canary - stable <= margin.amount;
  if (stable > 0) return (canary - stable) / stable <= margin.amount;
  return kind == SignalKind::latency_quantile || canary <= stable;
}

} // namespace coalmine::judge
