// The in-memory state of a store's span segments.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>

#include "store/spans/segment_list.h"

namespace coalmine::store {

struct SpanState {
  // Changed only while both Locks::write and Locks::state are held.
  SegmentList segments;

  // Synchronised by itself: how often segments were replaced by a merged or thinned one.
  std::atomic<std::uint64_t> merges{0};

  // Guarded by Locks::write.
  std::uint64_t next_segment = 1;
};

} // namespace coalmine::store
