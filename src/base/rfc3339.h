// Moments as people and other programs read them. Pure; any thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

namespace coalmine {

// RFC 3339, UTC; with milliseconds where there are any: 2026-11-22T13:42:07.250Z.
std::string rfc3339(std::int64_t unix_ms);
// To the second.
inline std::string rfc3339_seconds(std::int64_t unix_ms) {
  return rfc3339(unix_ms - unix_ms % 1000);
}

} // namespace coalmine
