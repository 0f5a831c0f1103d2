// Reads spans newest first, and whole traces with their exception logs.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <set>
#include <span>
#include <vector>

#include "base/result.h"
#include "store/disk/damage_log.h"
#include "store/disk/locks.h"
#include "store/spans/span_segment.h"
#include "store/spans/span_state.h"
#include "telemetry/stored_span.h"

namespace coalmine::store {

// Empty when the segment was removed meanwhile by retention or a merge. data_loss: damaged.
Result<SpanSegment> load_segment(const Database& database, const SegmentRef& ref);

// Any thread; it takes Locks::state by itself. Damaged segments are reported and left out.
class SpanReader {
 public:
  SpanReader(Backing backing, Locks& locks, const SpanState& state)
      : backing_(backing), locks_(locks), state_(state) {}

  // See Store::find_spans and Store::trace.
  Result<std::vector<StoredSpan>> find(const SpanFilter& filter) const;
  Result<std::vector<StoredSpan>> trace(const TraceId& id) const;
  Result<std::vector<std::vector<StoredSpan>>> traces(std::span<const TraceId> ids) const;

 private:
  // One segment in memory at a time.
  Status visit_segments(const std::set<std::uint32_t>& traces, std::int64_t from_ms,
                        std::int64_t to_ms,
                        const std::function<void(const SpanSegment&)>& visit) const;
  template <typename Read>
  auto at_rest(Read read) const -> decltype(read());
  Result<std::vector<StoredSpan>> find_once(const SpanFilter& filter) const;
  Result<std::vector<std::vector<StoredSpan>>> traces_once(std::span<const TraceId> ids) const;

  const Backing backing_;
  Locks& locks_;
  const SpanState& state_;
};

} // namespace coalmine::store
