// The in-memory state of a store's span segments.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>
#include <utility>

#include "store/spans/segment_list.h"
#include "telemetry/failure_rule.h"

namespace coalmine::store {

struct SpanState {
  explicit SpanState(FailureRules failures_in) : failures(std::move(failures_in)) {}

  const FailureRules failures; // Options::failures

  // Changed only while both Locks::write and Locks::state are held.
  SegmentList segments;

  // Synchronised by itself: how often segments were replaced by a merged or thinned one.
  std::atomic<std::uint64_t> merges{0};

  // Guarded by Locks::write.
  std::uint64_t next_segment = 1;
};

} // namespace coalmine::store
