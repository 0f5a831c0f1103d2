// The inner loops of sums over columns. Lines of n numbers; every number goes through the same
// operations as alone, so that wide and narrow machines give the same bits.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>

namespace coalmine::promql {

// How far a counter's window lies from its limits, in seconds.
struct Reach {
  double sampled = 0;  // between its first and last sample
  double to_start = 0; // to extrapolate to the left
};

// out = last - first. True when each column surely was above zero all the way to the left: sampled
// * (first / out) >= to_start, or does not rise. False: that has to be looked at with care.
bool increases(const double* first, const double* last, std::size_t n, const Reach& reach,
               double* out);
// The same of increases that are known.
bool surely_above_zero(const double* first, const double* increase, std::size_t n,
                       const Reach& reach);
// sums += values * factor with KahanSum's compensations.
void add_scaled(const double* values, std::size_t n, double factor, double* sums,
                double* compensations);
// Whether one of now's numbers is lower than before's.
bool any_lower(const double* before, const double* now, std::size_t n);

} // namespace coalmine::promql
