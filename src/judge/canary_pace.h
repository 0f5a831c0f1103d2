// How fast evidence comes in: observed time of the rollout and the canary's traffic, for the
// forecast of when a line can decide. A value of one judge; one thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <optional>

#include "telemetry/cell.h"

namespace coalmine::judge {

// A count that is not finite, or is negative, counts as none.
inline double usable_count(double n) { return std::isfinite(n) && n > 0 ? n : 0; }

class CanaryPace {
 public:
  // Returns the observed time in minutes at which the cell begins.
  double add(const CountCell& cell) {
    const double requests = usable_count(cell.total.canary.requests);
    const double length =
        std::max<double>(0, static_cast<double>(cell.to_ms - cell.from_ms)) / 60'000.0;
    minutes_ += length;
    if (length > 0) {
      const double keep = std::exp(-length / kMemoryMinutes);
      per_minute_ = per_minute_ * keep + requests / length * (1 - keep);
    }
    return minutes_ - length;
  }

  // Minutes until a line has the missing nats. speed: nats that one canary request adds on average.
  // share: of the canary's requests that the line counts. Absent when that would never happen.
  std::optional<double> minutes_left(double missing, double speed, double share) const {
    if (missing <= 0) return 0;
    if (speed > 0 && per_minute_ * share > 0) return missing / speed / (per_minute_ * share);
    return std::nullopt;
  }

 private:
  static constexpr double kMemoryMinutes = 3;

  double minutes_ = 0;    // observed since the canary began
  double per_minute_ = 0; // canary requests, of the newest kMemoryMinutes or so
};

} // namespace coalmine::judge
