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
    if (cell.weight != weight_) requests_ = stable_ = known_ = 0; // other traffic from now on
    weight_ = cell.weight;
    if (length > 0) {
      const double keep = std::exp(-length / kMemoryMinutes);
      requests_ = requests_ * keep + requests / length * (1 - keep);
      stable_ = stable_ * keep + usable_count(cell.total.stable.requests) / length * (1 - keep);
      known_ = known_ * keep + (1 - keep);
    }
    return minutes_ - length;
  }

  // The canary's requests by stable's, of late; 0: not known.
  double odds() const { return stable_ > 0 ? requests_ / stable_ : 0; }

  // Minutes until a line has the missing nats. speed: nats that one canary request adds on average.
  // share: of the canary's requests that the line counts. Absent when that would never happen.
  std::optional<double> minutes_left(double missing, double speed, double share) const {
    if (missing <= 0) return 0;
    const double per_minute = known_ > 0 ? requests_ / known_ : 0;
    if (speed > 0 && per_minute * share > 0) return missing / speed / (per_minute * share);
    return std::nullopt;
  }

 private:
  static constexpr double kMemoryMinutes = 3;

  double minutes_ = 0; // observed since the canary began
  double weight_ = -1; // of the newest cell
  // Requests a minute, of the newest kMemoryMinutes or so at this weight: means whose weights add
  // up to known_.
  double requests_ = 0; // the canary's
  double stable_ = 0;
  double known_ = 0;
};

} // namespace coalmine::judge
