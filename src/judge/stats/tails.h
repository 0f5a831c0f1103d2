// Latency as tail counts: how many requests took longer than a bucket boundary. Binomial whatever
// the distribution, so tests on them are exact without raw values, and a regression of the slowest
// percent alone is seen. Pure functions.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <span>
#include <vector>

namespace coalmine::judge {

inline constexpr double kChooseFrom = 200; // observations, before boundaries are chosen from them

// A distribution in buckets; counts has one more than bounds.
struct Buckets {
  std::vector<double> bounds_ms;
  std::vector<double> counts;

  bool empty() const { return counts.empty(); }
  double total() const;
  // Adds counts over other bounds: only boundaries that both have are kept. False: the bounds have
  // none in common, and nothing was added. Counts that are not usable are left out.
  bool add(std::span<const double> bounds, std::span<const double> more);
};
// Finite and not negative, ascending finite bounds, sizes that fit.
bool usable(std::span<const double> bounds, std::span<const double> counts);

// The number above a boundary; nothing when the distribution has no such boundary.
std::optional<double> tail_count(std::span<const double> bounds, std::span<const double> counts,
                                 double boundary);
// Share above any value, interpolated between boundaries (ln of the share over ln of the value);
// nothing without data, or beyond the last boundary.
std::optional<double> tail_share(const Buckets& buckets, double value_ms);

// The bounds of the bucket that holds a quantile: the largest with more than 1 - q of the
// distribution above it, and the next. Absent before the first and behind the last bound, and
// without data.
struct Bracket {
  std::optional<double> lower_ms;
  std::optional<double> upper_ms;
};
Bracket bracket_of(const Buckets& buckets, double q);
// The first bound with nothing above it. Nothing without data, or when the distribution reaches
// beyond its last bound.
std::optional<double> top_of_range(const Buckets& buckets);

// Boundaries to watch, ascending, each once. Those whose tails in the past are nearest to the
// shares: the stake of such a boundary is the part of the shares that it is nearest to. And those
// required, whatever their share: the ones that no share chose have an eighth of the stake
// together, or all of it where the shares chose none.
struct Boundaries {
  std::vector<double> bounds_ms;
  std::vector<double> stakes; // add up to 1
};
Boundaries choose_boundaries(const Buckets& past, std::span<const double> shares,
                             std::span<const double> required = {});
// The boundary of the given ones whose tail in the past is nearest to share (in logarithms).
// Nothing without data.
std::optional<std::size_t> nearest_boundary(const Buckets& past, std::span<const double> boundaries,
                                            double share);

// How many times more requests are above the boundary when every latency of the past is stretched
// by factor (>= 1): a margin of +20 % on a quantile as a ratio of tails. At least 1; nothing
// without data.
std::optional<double> tail_ratio(const Buckets& past, double boundary, double factor);

} // namespace coalmine::judge
