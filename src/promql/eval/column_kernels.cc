// SPDX-License-Identifier: Apache-2.0
#include "promql/eval/column_kernels.h"

#include <cmath>
#include <cstdint>
#include <limits>

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("O3")
#endif
// Fused multiply-add would change the bits of results. Target avx2 alone does not allow it.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && \
    !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define COALMINE_WIDE __attribute__((target_clones("avx2", "default")))
#else
#define COALMINE_WIDE
#endif

namespace coalmine::promql {
namespace {

// Bounds that keep numbers far from the ends of their range, and a margin for rounding in a
// division.
constexpr double kSmall = 1e-100;
constexpr double kLarge = 1e100;
constexpr double kSurely = 1 + 1e-9;

// 1 where the increase may reach back to zero within the window. A 64-bit number, because that
// vectorises.
inline std::int64_t close_to_zero(double first, double increase, double sampled, double needed) {
  const std::int64_t rises = increase > 0 ? 1 : 0;
  const std::int64_t far = first * sampled >= increase * needed ? 1 : 0;
  const std::int64_t not_small = increase > kSmall ? 1 : 0;
  const std::int64_t not_large = increase < kLarge ? 1 : 0;
  const std::int64_t low = first < kLarge ? 1 : 0;
  return rises & ((far & not_small & not_large & low) ^ 1);
}

} // namespace

COALMINE_WIDE bool increases(const double* first, const double* last, std::size_t n,
                             const Reach& reach, double* __restrict out) {
  const double sampled = reach.sampled;
  const double needed = reach.to_start * kSurely;
  std::int64_t close = 0;
  for (std::size_t c = 0; c < n; ++c) {
    const double increase = last[c] - first[c];
    out[c] = increase;
    close |= close_to_zero(first[c], increase, sampled, needed);
  }
  return close == 0;
}

COALMINE_WIDE bool surely_above_zero(const double* first, const double* increase, std::size_t n,
                                     const Reach& reach) {
  const double sampled = reach.sampled;
  const double needed = reach.to_start * kSurely;
  std::int64_t close = 0;
  for (std::size_t c = 0; c < n; ++c)
    close |= close_to_zero(first[c], increase[c], sampled, needed);
  return close == 0;
}

COALMINE_WIDE void add_scaled(const double* __restrict values, std::size_t n, double factor,
                              double* __restrict sums, double* __restrict compensations) {
  for (std::size_t c = 0; c < n; ++c) {
    const double sum = sums[c];
    const double value = values[c] * factor;
    const double next = sum + value;
    const double of_value = (sum - next) + value;
    const double of_sum = (value - next) + sum;
    const double low = compensations[c] + (std::fabs(sum) >= std::fabs(value) ? of_value : of_sum);
    compensations[c] = std::fabs(next) > std::numeric_limits<double>::max() ? 0.0 : low;
    sums[c] = next;
  }
}

COALMINE_WIDE bool any_lower(const double* before, const double* now, std::size_t n) {
  std::int64_t lower = 0;
  for (std::size_t c = 0; c < n; ++c) lower |= now[c] < before[c] ? 1 : 0;
  return lower != 0;
}

} // namespace coalmine::promql
