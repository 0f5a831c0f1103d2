// The list of span segments with their summaries, and the hashes of the spans that arrived last.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/unordered/unordered_flat_set.hpp>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <unordered_set>
#include <vector>

#include "store/spans/span_segment.h"
#include "telemetry/outcome.h"
#include "telemetry/stored_span.h"

namespace coalmine::store {

// The place of one segment, ordered by arrival and then by number.
struct SegmentRef {
  std::int64_t received_ms = 0;
  std::uint64_t number = 0;
  std::int64_t min_start_ms = 0;
  std::int64_t max_start_ms = 0;
  std::uint64_t spans = 0;
  std::uint64_t bytes = 0;  // 0: unknown, for segments of an older form
  std::uint8_t thinned = 0; // how often half of its healthy traces were dropped
};

// The spans family: "s" received_ms number -> summary, "d" received_ms number -> segment (u64
// big-endian).
std::string segment_key(char kind, const SegmentRef& ref);
std::string segment_bound(char kind, std::int64_t received_ms);
std::optional<SegmentRef> parse_segment_key(std::string_view key);

// Not synchronised: SpanState names its guard.
class SegmentList {
 public:
  void add(SegmentRef ref, const SegmentSummary& summary);
  // The segments that may hold a span that passes the filter, the one with the newest span first.
  std::vector<SegmentRef> candidates(const SpanFilter& filter) const;
  // All segments in order of arrival.
  std::vector<SegmentRef> all() const;
  // Replaces the segments of old, in order of arrival, by one.
  void replace(const std::vector<SegmentRef>& old, SegmentRef ref, const SegmentSummary& summary);
  std::uint64_t bytes() const { return bytes_; }
  // The newest segments, in falling order of arrival.
  std::vector<SegmentRef> newest(std::size_t limit) const;
  void drop_before(std::int64_t received_ms);
  std::optional<std::int64_t> oldest_received_ms() const;
  std::int64_t newest_start_ms() const { return newest_start_ms_; }
  std::size_t size() const { return entries_.size(); }

 private:
  struct Entry {
    SegmentRef ref;
    std::vector<std::pair<std::uint32_t, bool>> cohorts; // index into cohorts_, has errors
  };
  std::deque<Entry> entries_; // by (received_ms, number)
  // (service, track, version) to the index of the cohort.
  std::map<std::tuple<std::string, std::string, std::string>, std::uint32_t> cohorts_;
  std::int64_t newest_start_ms_ = 0;
  std::uint64_t bytes_ = 0;
};

// Hashes of the spans that arrived last, so that a repeated request does not count twice. When full
// it forgets the older half. Guarded by Locks::write.
class RecentSpans {
 public:
  explicit RecentSpans(std::size_t capacity = 1u << 19) : half_(capacity / 2) {}
  bool contains(std::uint64_t hash) const { return young_.contains(hash) || old_.contains(hash); }
  void insert(std::uint64_t hash);

 private:
  const std::size_t half_;
  boost::unordered_flat_set<std::uint64_t> young_;
  boost::unordered_flat_set<std::uint64_t> old_;
};

// A filter prepared for one table; all three must outlive it. Texts are compared once per resource
// and per distinct attribute.
class SpanSieve {
 public:
  SpanSieve(const SpanFilter& filter, const SpanTable& table, const FailureRules& failures);
  bool passes(const SpanTable::Row& row) const;

 private:
  struct Wanted { // one attribute of the filter
    // Resources that have it. Used where the span itself has no attribute of that name.
    std::vector<bool> resources;
    std::uint32_t key = UINT32_MAX;
    std::vector<bool> pairs;
  };
  const SpanFilter& filter_;
  const SpanTable& table_;
  const FailedRows failed_;
  std::vector<bool> resources_;
  std::vector<Wanted> wanted_;
};

} // namespace coalmine::store
