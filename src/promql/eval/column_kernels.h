// The inner loops of sums over columns, on rows of n numbers. Every number goes through the same
// operations as it would alone, so that machines with wide and narrow vectors give the same bits.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>

namespace coalmine::promql {

// Lengths of a counter's window, in seconds.
struct Reach {
  double sampled = 0;  // between its first and last sample
  double to_start = 0; // to extrapolate to the left
};

// out = last - first. Returns true when each column surely stays above zero down to the start of
// the window: sampled * (first / out) >= to_start, or it does not rise. False: each column must be
// checked exactly.
bool increases(const double* first, const double* last, std::size_t n, const Reach& reach,
               double* out);
// The check of increases() for increases already computed.
bool surely_above_zero(const double* first, const double* increase, std::size_t n,
                       const Reach& reach);
// sums += values * factor with KahanSum's compensations.
void add_scaled(const double* values, std::size_t n, double factor, double* sums,
                double* compensations);
// True if any number of now is lower than the same one of before.
bool any_lower(const double* before, const double* now, std::size_t n);

} // namespace coalmine::promql
