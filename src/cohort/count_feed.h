// Reads new samples into a CountGrid, from the embedded store or a remote server.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "base/result.h"
#include "cohort/cohorts.h"
#include "cohort/count_grid.h"

namespace coalmine::cohort {

struct CountFeedRequest {
  CohortSelector canary;
  CohortSelector stable;
  std::int64_t origin_ms = 0; // the first read begins one baseline look-back earlier
};

// The feed of one rollout. One thread at a time; different feeds may be on different threads.
class CountFeed {
 public:
  virtual ~CountFeed() = default;
  // Adds to grid the samples since the last read, up to now_ms (our clock). unavailable: the source
  // cannot be reached; nothing was added, and the next read catches up.
  virtual Status read(CountGrid& grid, std::int64_t now_ms) = 0;
  // The same up to a moment of the past, for a reader that catches up in slices. The age of such
  // samples says nothing about clocks.
  virtual Status read_past(CountGrid& grid, std::int64_t until_ms) = 0;
};

// What a source is like, for who makes a grid for its feed.
struct CountFeedTraits {
  bool unseen_instances_begin_at_zero = false; // see GridOptions
  // Telemetry is sent to this process: what comes due while it does not run is sent again later.
  bool is_sent_to_us = false;
};

class CountFeedSource {
 public:
  virtual ~CountFeedSource() = default;
  virtual CountFeedTraits traits() const = 0;
  virtual std::unique_ptr<CountFeed> open(CountFeedRequest request) const = 0; // thread-safe
};

} // namespace coalmine::cohort
