// Upkeep of spans: merges small segments into large ones and keeps the budget.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "base/result.h"
#include "store/disk/damage_log.h"
#include "store/disk/locks.h"
#include "store/spans/span_segment.h"
#include "store/spans/span_state.h"

namespace coalmine::store {

// One call at a time; it takes the locks by itself, for each segment, so that appends go on.
// unavailable: the disk refused; changes made before stay.
class SpanUpkeep {
 public:
  SpanUpkeep(Backing backing, Locks& locks, SpanState& state, std::uint64_t budget_bytes)
      : backing_(backing), locks_(locks), state_(state), budget_bytes_(budget_bytes) {}

  Status merge();
  // Thins out healthy traces until the segments fit the budget. If that is not enough, drops the
  // oldest segments, but none that arrived at present_ms or later.
  Status keep_budget(std::int64_t present_ms);

 private:
  Status merge_run(const std::vector<SegmentRef>& run);
  Status thin(const SegmentRef& ref);
  // Replaces the segments of old, in order of arrival, by one.
  Status replace(const std::vector<SegmentRef>& old, const SpanSegment& segment,
                 std::uint8_t thinned);

  const Backing backing_;
  Locks& locks_;
  SpanState& state_;
  const std::uint64_t budget_bytes_;
};

} // namespace coalmine::store
