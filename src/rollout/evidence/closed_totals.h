// The totals of a rollout's closed cells, for any moment since when.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "judge/suspended.h"
#include "telemetry/cell.h"

namespace coalmine::rollout {

// One thread. Cells in which the split was moved are left out.
class ClosedTotals {
 public:
  void add(const CountCell& cell) {
    if (cell.mixed) return;
    const auto& total = cell.total;
    closed_.push_back({cell.from_ms,
                       {.canary_requests = total.canary.requests,
                        .canary_errors = total.canary.errors,
                        .stable_requests = total.stable.requests,
                        .stable_errors = total.stable.errors},
                       !total.sampled().empty()});
    if (closed_.size() > kMost) closed_.erase(closed_.begin(), closed_.begin() + kMost / 2);
  }

  // Counts of a sample (TrackCounts::sampled) compare nothing.
  enum class Cells : std::uint8_t { all, comparable };

  // Over the cells that lie wholly after from_ms.
  judge::TrackTotals since(std::int64_t from_ms, Cells which) const {
    judge::TrackTotals out;
    for (auto it = closed_.rbegin(); it != closed_.rend() && it->from_ms >= from_ms; ++it) {
      if (it->sampled && which == Cells::comparable) continue;
      out.canary_requests += it->totals.canary_requests;
      out.canary_errors += it->totals.canary_errors;
      out.stable_requests += it->totals.stable_requests;
      out.stable_errors += it->totals.stable_errors;
    }
    return out;
  }

 private:
  // A rollout of weeks keeps the newest; nobody asks for totals of longer ago. What is forgotten
  // depends on the number of cells alone, so it is the same after a restart.
  static constexpr std::ptrdiff_t kMost = 100'000;
  struct Closed {
    std::int64_t from_ms = 0;
    judge::TrackTotals totals;
    bool sampled = false;
  };
  std::vector<Closed> closed_;
};

} // namespace coalmine::rollout
