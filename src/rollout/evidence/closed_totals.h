// The totals of a rollout's closed cells, for any moment since when.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "judge/suspended.h"
#include "telemetry/cell.h"

namespace coalmine::rollout {

// One thread.
class ClosedTotals {
 public:
  void add(const CountCell& cell) {
    const auto& total = cell.total;
    closed_.push_back({cell.from_ms,
                       cell.to_ms,
                       std::clamp(cell.weight, 0.0, 1.0),
                       cell.mixed,
                       {.canary_requests = total.canary.requests,
                        .canary_errors = total.canary.errors,
                        .stable_requests = total.stable.requests,
                        .stable_errors = total.stable.errors,
                        .minutes = static_cast<double>(cell.to_ms - cell.from_ms) / 60'000.0},
                       !total.sampled().empty()});
    if (closed_.size() > kMost) closed_.erase(closed_.begin(), closed_.begin() + kMost / 2);
  }

  // Counts of a sample (TrackCounts::sampled) compare nothing, and neither do those of a cell in
  // which the split was moved.
  enum class Cells : std::uint8_t { all, comparable };

  // Over the cells that lie wholly after from_ms; all: and over that part of the cell before in
  // which the split was moved.
  judge::TrackTotals since(std::int64_t from_ms, Cells which) const {
    judge::TrackTotals out;
    auto it = closed_.rbegin();
    for (; it != closed_.rend() && it->from_ms >= from_ms; ++it) {
      if ((it->sampled || it->mixed) && which == Cells::comparable) continue;
      add_to(out, it->totals);
    }
    if (which == Cells::all && it != closed_.rend() && it->mixed && it->to_ms > from_ms)
      add_to(out, part_behind(*it, from_ms));
    return out;
  }

 private:
  struct Closed;
  static void add_to(judge::TrackTotals& out, const judge::TrackTotals& more) {
    out.canary_requests += more.canary_requests;
    out.canary_errors += more.canary_errors;
    out.stable_requests += more.stable_requests;
    out.stable_errors += more.stable_errors;
    out.minutes += more.minutes;
  }
  // What was served before went by the weight that was before; the rest is behind.
  static judge::TrackTotals part_behind(const Closed& cell, std::int64_t from_ms) {
    const auto& all = cell.totals;
    const double before = static_cast<double>(from_ms - cell.from_ms) /
                          static_cast<double>(cell.to_ms - cell.from_ms) *
                          (all.canary_requests + all.stable_requests);
    const auto part = [](double requests, double earlier) {
      return requests > 0 ? std::max(0.0, requests - earlier) / requests : 0;
    };
    const double canary = part(all.canary_requests, before * cell.weight);
    const double stable = part(all.stable_requests, before * (1 - cell.weight));
    return {.canary_requests = all.canary_requests * canary,
            .canary_errors = all.canary_errors * canary,
            .stable_requests = all.stable_requests * stable,
            .stable_errors = all.stable_errors * stable,
            .minutes = static_cast<double>(cell.to_ms - from_ms) / 60'000.0};
  }

  // A rollout of weeks keeps the newest; nobody asks for totals of longer ago. What is forgotten
  // depends on the number of cells alone, so it is the same after a restart.
  static constexpr std::ptrdiff_t kMost = 100'000;
  struct Closed {
    std::int64_t from_ms = 0;
    std::int64_t to_ms = 0;
    double weight = 0; // in its begin
    bool mixed = false;
    judge::TrackTotals totals;
    bool sampled = false;
  };
  std::vector<Closed> closed_;
};

} // namespace coalmine::rollout
