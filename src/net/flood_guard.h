// Counts frames that are cheap for a client to send and costly for a server to handle.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>

namespace coalmine::net {

enum class CheapFrame { ping, settings, reset, priority, empty_data };

// One per HTTP/2 connection, on its thread. Resets count in both directions: a client can also make
// us reset its streams.
class FloodGuard {
 public:
  // False when this frame exceeds the limit of its kind for ten seconds.
  bool allow(CheapFrame kind, std::chrono::steady_clock::time_point now) {
    if (now - window_ > kWindow) {
      window_ = now;
      seen_ = {};
    }
    const auto i = static_cast<std::size_t>(kind);
    return ++seen_[i] <= kLimits[i];
  }

 private:
  static constexpr std::chrono::seconds kWindow{10};
  // Clients that measure their bandwidth ping several times a second; those with tight deadlines
  // cancel often.
  static constexpr std::array<std::uint32_t, 5> kLimits = {600, 60, 600, 5000, 600};

  std::chrono::steady_clock::time_point window_{};
  std::array<std::uint32_t, 5> seen_{};
};

} // namespace coalmine::net
