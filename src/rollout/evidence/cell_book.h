// Where the closed cells of rollouts are kept, as a feed sees it. With them a restart goes on where
// it was, whatever the telemetry store still has.
//
// Counts in kept cells are multiples of kCountUnit. They are rounded before anybody sees the cell,
// so that what was judged and what is read again are the same to the bit.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "cohort/grid_past.h"
#include "telemetry/cell.h"

namespace coalmine::rollout {

inline constexpr double kCountUnit = 1.0 / 16;
// Rounds all counts of a cell. Of a distribution each tail is rounded, not each bucket, so the
// errors of many buckets do not add up. Counts that are no numbers become 0.
void round_counts(CountCell& cell);

// What a feed knows behind its newest closed cell, beside the cells.
struct FeedMemory {
  struct TrackMemory {
    // As in FeedProgress and TrackInstances.
    std::int64_t heard_ms = 0;
    std::int64_t unbroken_since_ms = 0;
    std::size_t most_live = 0;
    std::vector<cohort::InstanceHeard> instances;
    std::vector<std::int64_t> first_births{}; // cohort::CountGrid::first_births
    bool operator==(const TrackMemory&) const = default;
  };
  std::vector<cohort::RouteSoFar> routes;
  std::array<TrackMemory, kBothTracks.size()> tracks; // by track
  bool operator==(const FeedMemory&) const = default;
};

// What a feed that goes on behind kept cells begins with: the newest of them, in order and at least
// one, and the memory. Cells before them are nowhere needed again.
struct KeptPast {
  std::vector<CountCell> newest;
  FeedMemory memory;
};
inline constexpr std::size_t kNewestKept = 4;

// The kept cells of one rollout. One thread at a time.
class CellRecord {
 public:
  virtual ~CellRecord() = default;
  struct Page {
    std::vector<CountCell> cells;
    bool is_last = true;
    FeedMemory memory; // with the last page
  };
  // The cells in order, page by page; each begins where the one before ends. Cells behind a gap or
  // behind damage are given up. An error: the next call tries again. May block on the disk.
  virtual Result<Page> next() = 0;
  // Further cells, after the last page. Quick: they are written a little later, and a crash may
  // lose the newest, which are then read from the telemetry again. cells are rounded.
  virtual void keep(std::span<const CountCell> cells, const FeedMemory& memory) = 0;
};

// Thread-safe.
class CellBook {
 public:
  virtual ~CellBook() = default;
  virtual std::unique_ptr<CellRecord> open(RolloutId id) = 0; // quick; the book outlives it
};

} // namespace coalmine::rollout
