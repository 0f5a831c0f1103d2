// SPDX-License-Identifier: Apache-2.0
#include "store/segment_list.h"

#include <algorithm>

#include "base/bytes.h"

namespace coalmine::store {
namespace {

bool before(const SegmentRef& a, const SegmentRef& b) { return std::tie(a.received_ms, a.number) < std::tie(b.received_ms, b.number); }

} // namespace

std::string segment_bound(char kind, std::int64_t received_ms) {
  std::string out(1, kind);
  ByteWriter(out).u64_ordered(static_cast<std::uint64_t>(received_ms));
  return out;
}

std::string segment_key(char kind, const SegmentRef& ref) {
  std::string out = segment_bound(kind, ref.received_ms);
  ByteWriter(out).u64_ordered(ref.number);
  return out;
}

std::optional<SegmentRef> parse_segment_key(std::string_view key) {
  ByteReader r(key);
  (void)r.u8();
  SegmentRef ref;
  ref.received_ms = static_cast<std::int64_t>(r.u64_ordered());
  ref.number = r.u64_ordered();
  if (!r.ok() || !r.done()) return std::nullopt;
  return ref;
}

void SegmentList::add(SegmentRef ref, const SegmentSummary& summary) {
  Entry entry{ref, {}};
  entry.ref.min_start_ms = summary.min_start_ms;
  entry.ref.max_start_ms = summary.max_start_ms;
  for (const auto& cohort : summary.cohorts) {
    const auto next = static_cast<std::uint32_t>(cohorts_.size());
    const auto it = cohorts_.try_emplace({cohort.service, cohort.track, cohort.version}, next).first;
    entry.cohorts.emplace_back(it->second, cohort.has_errors);
  }
  newest_start_ms_ = std::max(newest_start_ms_, summary.max_start_ms);
  if (entries_.empty() || before(entries_.back().ref, entry.ref)) {
    entries_.push_back(std::move(entry));
    return;
  }
  const auto at = std::ranges::upper_bound(entries_, entry.ref, before, &Entry::ref);
  entries_.insert(at, std::move(entry));
}

std::vector<SegmentRef> SegmentList::candidates(const SpanFilter& filter) const {
  std::unordered_set<std::uint32_t> wanted;
  for (const auto& [cohort, index] : cohorts_) {
    const auto& [service, track, version] = cohort;
    if (service == filter.service && (!filter.track || *filter.track == track) && (!filter.version || *filter.version == version)) {
      wanted.insert(index);
    }
  }
  std::vector<SegmentRef> out;
  for (const auto& entry : entries_) {
    if (entry.ref.max_start_ms < filter.from_ms || entry.ref.min_start_ms > filter.to_ms) continue;
    const bool any = std::ranges::any_of(entry.cohorts, [&](const auto& cohort) {
      return wanted.contains(cohort.first) && (cohort.second || !filter.errors_only);
    });
    if (any) out.push_back(entry.ref);
  }
  std::ranges::stable_sort(out, std::greater{}, &SegmentRef::max_start_ms);
  return out;
}

std::vector<SegmentRef> SegmentList::newest(std::size_t limit) const {
  std::vector<SegmentRef> out;
  for (auto it = entries_.rbegin(); it != entries_.rend() && out.size() < limit; ++it) out.push_back(it->ref);
  return out;
}

void SegmentList::drop_before(std::int64_t received_ms) {
  while (!entries_.empty() && entries_.front().ref.received_ms < received_ms) entries_.pop_front();
}

std::optional<std::int64_t> SegmentList::oldest_received_ms() const {
  if (entries_.empty()) return std::nullopt;
  return entries_.front().ref.received_ms;
}

void RecentSpans::insert(std::uint64_t hash) {
  if (young_.size() >= half_) {
    old_ = std::move(young_);
    young_ = {};
  }
  young_.insert(hash);
}

bool passes(const SpanFilter& filter, const Span& span) {
  const auto start_ms = static_cast<std::int64_t>(span.start_ns / 1'000'000);
  return span.resource && span.resource->service == filter.service && start_ms >= filter.from_ms && start_ms <= filter.to_ms &&
         (!filter.version || *filter.version == span.resource->version) && (!filter.track || *filter.track == span.resource->track) &&
         (!filter.errors_only || span.status == StatusCode::error);
}

} // namespace coalmine::store
