// The staleness marker: one NaN, recognised by its bits.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <bit>
#include <cstdint>

namespace coalmine {

inline constexpr std::uint64_t kStaleBits = 0x7ff0000000000002; // Prometheus's
inline double stale_value() { return std::bit_cast<double>(kStaleBits); }
inline bool is_stale(double value) { return std::bit_cast<std::uint64_t>(value) == kStaleBits; }

} // namespace coalmine
