// Sums and differences of times that wrap instead of overflowing, so that every pair of numbers
// that was written as a difference reads back unchanged.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace coalmine {

inline std::int64_t wrapping_add(std::int64_t a, std::int64_t b) {
  return static_cast<std::int64_t>(static_cast<std::uint64_t>(a) + static_cast<std::uint64_t>(b));
}
inline std::int64_t wrapping_subtract(std::int64_t a, std::int64_t b) {
  return static_cast<std::int64_t>(static_cast<std::uint64_t>(a) - static_cast<std::uint64_t>(b));
}

} // namespace coalmine
