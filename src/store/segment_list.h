// Which segments of spans there are, what is in them, and which spans came in lately.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <unordered_set>
#include <vector>

#include "store/span_segment.h"
#include "store/store.h"

namespace coalmine::store {

// Where one segment is: by arrival, then by number.
struct SegmentRef {
  std::int64_t received_ms = 0;
  std::uint64_t number = 0;
  std::int64_t min_start_ms = 0;
  std::int64_t max_start_ms = 0;
};

// The spans family: "s" received_ms number -> summary, "d" received_ms number -> segment (u64 big-endian).
std::string segment_key(char kind, const SegmentRef& ref);
std::string segment_bound(char kind, std::int64_t received_ms);
std::optional<SegmentRef> parse_segment_key(std::string_view key);

// Not synchronised: the store guards it.
class SegmentList {
 public:
  void add(SegmentRef ref, const SegmentSummary& summary);
  // Those that may hold a span that passes the filter; the one with the newest span first.
  std::vector<SegmentRef> candidates(const SpanFilter& filter) const;
  // The newest by arrival first.
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
  std::map<std::tuple<std::string, std::string, std::string>, std::uint32_t> cohorts_; // (service, track, version)
  std::int64_t newest_start_ms_ = 0;
};

// The last spans that came in, as hashes: a client that repeats a request must not make them count twice. Bounded: it forgets the
// older half when full.
class RecentSpans {
 public:
  explicit RecentSpans(std::size_t capacity = 1u << 19) : half_(capacity / 2) {}
  bool contains(std::uint64_t hash) const { return young_.contains(hash) || old_.contains(hash); }
  void insert(std::uint64_t hash);

 private:
  const std::size_t half_;
  std::unordered_set<std::uint64_t> young_;
  std::unordered_set<std::uint64_t> old_;
};

bool passes(const SpanFilter& filter, const Span& span);

} // namespace coalmine::store
