// SPDX-License-Identifier: Apache-2.0
#include "store/spans/segment_list.h"

#include <algorithm>

#include "base/bytes.h"

namespace coalmine::store {
namespace {

bool before(const SegmentRef& a, const SegmentRef& b) {
  return std::tie(a.received_ms, a.number) < std::tie(b.received_ms, b.number);
}

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
  entry.ref.spans = summary.spans;
  entry.ref.bytes = summary.bytes;
  entry.ref.thinned = summary.thinned;
  bytes_ += summary.bytes;
  for (const auto& cohort : summary.cohorts) {
    const auto next = static_cast<std::uint32_t>(cohorts_.size());
    const auto it =
        cohorts_.try_emplace({cohort.service, cohort.track, cohort.version}, next).first;
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
    if (service == filter.service && (!filter.track || *filter.track == track) &&
        (!filter.version || *filter.version == version)) {
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

std::vector<SegmentRef> SegmentList::all() const {
  std::vector<SegmentRef> out;
  for (const auto& entry : entries_) out.push_back(entry.ref);
  return out;
}

void SegmentList::replace(const std::vector<SegmentRef>& old, SegmentRef ref,
                          const SegmentSummary& summary) {
  std::erase_if(entries_, [&](const Entry& entry) {
    const bool gone = std::ranges::binary_search(old, entry.ref, before);
    if (gone) bytes_ -= entry.ref.bytes;
    return gone;
  });
  add(ref, summary);
}

std::vector<SegmentRef> SegmentList::newest(std::size_t limit) const {
  std::vector<SegmentRef> out;
  for (auto it = entries_.rbegin(); it != entries_.rend() && out.size() < limit; ++it)
    out.push_back(it->ref);
  return out;
}

void SegmentList::drop_before(std::int64_t received_ms) {
  while (!entries_.empty() && entries_.front().ref.received_ms < received_ms) {
    bytes_ -= entries_.front().ref.bytes;
    entries_.pop_front();
  }
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

SpanSieve::SpanSieve(const SpanFilter& filter, const SpanTable& table, const FailureRules& failures)
    : filter_(filter), table_(table), failed_(table, failures) {
  for (const auto& resource : table.resources) {
    resources_.push_back(resource->service == filter.service &&
                         (!filter.version || *filter.version == resource->version) &&
                         (!filter.track || *filter.track == resource->track));
  }
  for (const auto& [name, value] : filter.attributes) {
    Wanted wanted;
    for (const auto& resource : table.resources) {
      const auto* has = find_attribute(resource->attributes, name);
      wanted.resources.push_back(has != nullptr && to_text(*has) == value);
    }
    const auto key = std::ranges::find(table.texts, name);
    if (key != table.texts.end())
      wanted.key = static_cast<std::uint32_t>(key - table.texts.begin());
    for (const auto& pair : table.pairs)
      wanted.pairs.push_back(pair.key == wanted.key && to_text(pair.value) == value);
    wanted_.push_back(std::move(wanted));
  }
}

bool SpanSieve::passes(const SpanTable::Row& row) const {
  const auto start_ms = ns_to_ms(row.start_ns);
  if (!resources_[row.resource] || start_ms < filter_.from_ms || start_ms > filter_.to_ms)
    return false;
  if (filter_.errors_only && !failed_.has(row)) return false;
  return std::ranges::all_of(wanted_, [&](const Wanted& wanted) {
    for (const auto id : table_.list(row.attributes)) {
      if (table_.pairs[id].key == wanted.key) return static_cast<bool>(wanted.pairs[id]);
    }
    return static_cast<bool>(wanted.resources[row.resource]);
  });
}

} // namespace coalmine::store
