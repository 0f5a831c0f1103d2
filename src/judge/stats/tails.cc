// SPDX-License-Identifier: Apache-2.0
#include "judge/stats/tails.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <set>

namespace coalmine::judge {
namespace {

// Bad input must not become a huge allocation or a long loop.
constexpr std::size_t kMaxBounds = 10'000;

double share_above(const Buckets& buckets, std::size_t bound) {
  double above = 0;
  for (std::size_t i = bound + 1; i < buckets.counts.size(); ++i) above += buckets.counts[i];
  return above / buckets.total();
}

} // namespace

double Buckets::total() const { return std::accumulate(counts.begin(), counts.end(), 0.0); }

bool usable(std::span<const double> bounds, std::span<const double> counts) {
  if (bounds.empty() || bounds.size() > kMaxBounds || counts.size() != bounds.size() + 1)
    return false;
  if (!std::ranges::all_of(counts, [](double n) { return std::isfinite(n) && n >= 0; }))
    return false;
  if (!std::ranges::all_of(bounds, [](double b) { return std::isfinite(b); })) return false;
  return std::ranges::adjacent_find(bounds, std::greater_equal<>()) == bounds.end();
}

bool Buckets::add(std::span<const double> bounds, std::span<const double> more) {
  if (!usable(bounds, more)) return true;
  if (counts.empty()) {
    bounds_ms.assign(bounds.begin(), bounds.end());
    counts.assign(more.begin(), more.end());
    return true;
  }
  if (std::ranges::equal(bounds, bounds_ms)) {
    for (std::size_t i = 0; i < more.size(); ++i) counts[i] += more[i];
    return true;
  }
  // Boundaries of both, and the counts between them.
  std::vector<double> shared;
  std::ranges::set_intersection(bounds, bounds_ms, std::back_inserter(shared));
  if (shared.empty()) return false;
  std::vector<double> sums(shared.size() + 1, 0);
  const auto fold = [&](std::span<const double> edges, std::span<const double> values) {
    for (std::size_t i = 0; i < values.size(); ++i) {
      const auto at = i < edges.size() ? std::ranges::lower_bound(shared, edges[i]) - shared.begin()
                                       : std::ssize(shared);
      sums[static_cast<std::size_t>(at)] += values[i];
    }
  };
  fold(bounds_ms, counts);
  fold(bounds, more);
  bounds_ms = std::move(shared);
  counts = std::move(sums);
  return true;
}

std::optional<double> tail_count(std::span<const double> bounds, std::span<const double> counts,
                                 double boundary) {
  const auto at = std::ranges::lower_bound(bounds, boundary);
  if (at == bounds.end() || *at != boundary || counts.size() != bounds.size() + 1)
    return std::nullopt;
  double out = 0;
  for (auto i = static_cast<std::size_t>(at - bounds.begin()) + 1; i < counts.size(); ++i)
    out += counts[i];
  return out;
}

std::optional<double> tail_share(const Buckets& buckets, double value_ms) {
  const double total = buckets.empty() ? 0 : buckets.total();
  if (!(total > 0) || !(value_ms > 0)) return std::nullopt;
  const auto& bounds = buckets.bounds_ms;
  const auto above = std::ranges::lower_bound(bounds, value_ms);
  if (above == bounds.end()) return std::nullopt;
  const auto i = static_cast<std::size_t>(above - bounds.begin());
  const double high = share_above(buckets, i);
  if (*above == value_ms) return high;
  const double low = i > 0 ? share_above(buckets, i - 1) : 1;
  const double start = i > 0 ? bounds[i - 1] : 0;
  if (!(high > 0) || !(start > 0))
    return low + (high - low) * (value_ms - start) / (*above - start);
  const double part = std::log(value_ms / start) / std::log(*above / start);
  return low * std::pow(high / low, part);
}

Bracket bracket_of(const Buckets& buckets, double q) {
  Bracket out;
  const double total = buckets.empty() ? 0 : buckets.total();
  if (!(total > 0)) return out;
  double above = total;
  for (std::size_t i = 0; i < buckets.bounds_ms.size(); ++i) {
    above -= buckets.counts[i];
    if (above <= (1 - q) * total) {
      out.upper_ms = buckets.bounds_ms[i];
      return out;
    }
    out.lower_ms = buckets.bounds_ms[i];
  }
  return out;
}

std::optional<double> top_of_range(const Buckets& buckets) {
  if (buckets.empty() || !(buckets.total() > 0) || buckets.counts.back() > 0) return std::nullopt;
  for (auto i = buckets.bounds_ms.size(); i > 0; --i) {
    if (buckets.counts[i - 1] > 0) return buckets.bounds_ms[i - 1];
  }
  return std::nullopt;
}

Boundaries choose_boundaries(const Buckets& past, std::span<const double> shares,
                             std::span<const double> required) {
  constexpr double kRequiredStake = 0.125;
  std::map<double, double> stakes;
  double chosen = 0;
  for (const double share : shares) {
    const auto at = nearest_boundary(past, past.bounds_ms, share);
    if (!at) continue;
    stakes[past.bounds_ms[*at]] += 1;
    ++chosen;
  }
  std::set<double> more(required.begin(), required.end());
  std::erase_if(more, [&](double bound) { return stakes.contains(bound); });
  const double rest = more.empty() ? 0 : chosen > 0 ? kRequiredStake : 1;
  for (auto& [bound, stake] : stakes) stake *= (1 - rest) / chosen;
  for (const double bound : more) stakes[bound] = rest / static_cast<double>(more.size());
  Boundaries out;
  for (const auto& [bound, stake] : stakes) {
    out.bounds_ms.push_back(bound);
    out.stakes.push_back(stake);
  }
  return out;
}

std::optional<std::size_t> nearest_boundary(const Buckets& past, std::span<const double> boundaries,
                                            double share) {
  const double total = past.empty() ? 0 : past.total();
  if (!(total > 0)) return std::nullopt;
  std::optional<std::size_t> best;
  double nearest = 0;
  for (std::size_t i = 0; i < boundaries.size(); ++i) {
    const auto above = tail_count(past.bounds_ms, past.counts, boundaries[i]);
    if (!above || *above <= 0 || *above >= total) continue;
    const double gap = std::abs(std::log(*above / total / share));
    if (!best || gap < nearest) {
      best = i;
      nearest = gap;
    }
  }
  return best;
}

std::optional<double> tail_ratio(const Buckets& past, double boundary, double factor) {
  const auto here = tail_share(past, boundary);
  const auto stretched = tail_share(past, boundary / std::max(1.0, factor));
  if (!here || !stretched || !(*here > 0)) return std::nullopt;
  return std::max(1.0, *stretched / *here);
}

} // namespace coalmine::judge
