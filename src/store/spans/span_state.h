// The segments of spans of a store, as they are in memory.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>

#include "store/spans/segment_list.h"

namespace coalmine::store {

struct SpanState {
  // Changed under Locks::write and Locks::state both.
  SegmentList segments;

  // Synchronised by itself: how often segments were replaced by a merged or thinned one.
  std::atomic<std::uint64_t> merges{0};

  // Guarded by Locks::write.
  std::uint64_t next_segment = 1;
};

} // namespace coalmine::store
