// Which integer weights come nearest to a share, and in which order they may be set. Pure.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>

namespace coalmine::route {

inline constexpr int kMaxServerWeight = 256; // HAProxy's

// The weight of every server of a track.
struct TrackWeights {
  int stable = 0;
  int canary = 0;
  bool operator==(const TrackWeights&) const = default;
};

// The canary's share when every server of a track has its weight; 0 when all weights are 0.
double share_of(TrackWeights weights, std::size_t stable_servers, std::size_t canary_servers);

// The weights whose share is nearest to the one asked for; among equals the largest. A share above
// 0 never becomes weight 0 and one below 1 never takes stable's last weight. Both counts at least
// 1, unless the share is 0 (no canary needed) or 1 (no stable needed).
TrackWeights nearest_weights(double share, std::size_t stable_servers, std::size_t canary_servers);

// Sums of weights in use.
struct Totals {
  double stable = 0;
  double canary = 0;
};

// Two tracks are set one after the other, so traffic sees a mix of old and new in between. True
// when the canary goes first. Raising sets the canary first, lowering brings stable up first,
// unless the mix would be all zero (503 for everyone) or give the canary more than both old and new
// while the other order does not.
bool canary_goes_first(Totals before, Totals after);

} // namespace coalmine::route
