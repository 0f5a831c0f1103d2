// SPDX-License-Identifier: Apache-2.0
#include "route/haproxy_weights.h"

#include <algorithm>
#include <cmath>

namespace coalmine::route {
namespace {

// At the ends one track has weight 0 and the other's is free; large enough that the next step's mix
// stays small.
constexpr int kWholeWeight = kMaxServerWeight;
constexpr double kSameError = 1e-12;

double share(double canary, double stable) {
  return canary + stable > 0 ? canary / (canary + stable) : 0;
}

// By how much the mix overshoots both ends; infinite when nothing is left to serve.
double overshoot(double canary, double stable, double most) {
  if (canary + stable <= 0) return HUGE_VAL;
  return std::max(0.0, share(canary, stable) - most);
}

} // namespace

double share_of(TrackWeights weights, std::size_t stable_servers, std::size_t canary_servers) {
  return share(weights.canary * static_cast<double>(canary_servers),
               weights.stable * static_cast<double>(stable_servers));
}

TrackWeights nearest_weights(double wanted, std::size_t stable_servers,
                             std::size_t canary_servers) {
  if (wanted <= 0) return {kWholeWeight, 0};
  if (wanted >= 1) return {0, kWholeWeight};
  TrackWeights best{1, 1};
  double best_error = HUGE_VAL;
  for (int canary = 1; canary <= kMaxServerWeight; ++canary) {
    const double exact = canary * static_cast<double>(canary_servers) * (1 - wanted) /
                         (wanted * static_cast<double>(stable_servers));
    const int below =
        static_cast<int>(std::clamp(exact, 1.0, static_cast<double>(kMaxServerWeight)));
    for (const int stable : {below, std::min(below + 1, kMaxServerWeight)}) {
      const double error =
          std::abs(share_of({stable, canary}, stable_servers, canary_servers) - wanted);
      if (error >= best_error - kSameError) continue; // the first of equals is the smallest
      best = {stable, canary};
      best_error = error;
    }
  }
  // The same ratio as large as it goes: HAProxy 2.6's round robin is off by one request at the end
  // of each cycle of all weights, so 3:3:2 gives 24.4% over 2,000 requests and 192:192:128
  // gives 25.0%.
  const int scale = kMaxServerWeight / std::max(best.stable, best.canary);
  return {best.stable * scale, best.canary * scale};
}

bool canary_goes_first(Totals before, Totals after) {
  const double old_share = share(before.canary, before.stable);
  const double new_share = share(after.canary, after.stable);
  const double most = std::max(old_share, new_share);
  const double canary_first = overshoot(after.canary, before.stable, most);
  const double stable_first = overshoot(before.canary, after.stable, most);
  if (std::abs(canary_first - stable_first) <= kSameError ||
      (std::isinf(canary_first) && std::isinf(stable_first))) {
    return new_share > old_share;
  }
  return canary_first < stable_first;
}

} // namespace coalmine::route
