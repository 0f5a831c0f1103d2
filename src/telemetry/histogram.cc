// SPDX-License-Identifier: Apache-2.0
#include "telemetry/histogram.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace coalmine {

double quantile(const ClassicHistogram& histogram, double q) {
  std::uint64_t total = 0;
  for (const auto n : histogram.counts) total += n;
  if (total == 0 || !histogram.bounds || histogram.bounds->empty())
    return std::numeric_limits<double>::quiet_NaN();
  const auto& bounds = *histogram.bounds;
  const double rank = q * static_cast<double>(total);
  double below = 0;
  for (std::size_t i = 0; i < histogram.counts.size(); ++i) {
    const double here = static_cast<double>(histogram.counts[i]);
    if (below + here < rank || here == 0) {
      below += here;
      continue;
    }
    if (i == bounds.size()) return bounds.back();
    const double upper = bounds[i];
    if (i == 0 && upper <= 0) return upper;
    const double lower = i == 0 ? 0 : bounds[i - 1];
    return lower + (upper - lower) * (rank - below) / here;
  }
  return bounds.back();
}

void add(ClassicHistogram& a, const ClassicHistogram& b) {
  a.count += b.count;
  a.sum += b.sum;
  if (!a.bounds) {
    a.bounds = b.bounds;
    a.counts = b.counts;
    return;
  }
  const bool same = a.bounds == b.bounds || (b.bounds && *a.bounds == *b.bounds);
  for (std::size_t i = 0; i < b.counts.size(); ++i) {
    std::size_t target = i;
    if (!same) {
      target = a.bounds->size();
      if (b.bounds && i < b.bounds->size()) {
        target = static_cast<std::size_t>(std::ranges::lower_bound(*a.bounds, (*b.bounds)[i]) -
                                          a.bounds->begin());
      }
    }
    a.counts[target] += b.counts[i];
  }
}

} // namespace coalmine
