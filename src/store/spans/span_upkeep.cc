// SPDX-License-Identifier: Apache-2.0
#include "store/spans/span_upkeep.h"

#include <algorithm>
#include <boost/unordered/unordered_flat_set.hpp>
#include <map>
#include <mutex>
#include <shared_mutex>
#include <tuple>

#include "base/log.h"
#include "store/spans/span_reader.h"
#include "telemetry/outcome.h"

namespace coalmine::store {
namespace {

// A segment of this many spans is large. Reading one takes some tens of milliseconds, and its
// dictionaries are a small part of it.
constexpr std::uint64_t kLargeSpans = 32'768;
constexpr std::uint64_t kLargeBytes = 8 << 20;
// Fewer segments are not worth a rewrite, unless they make a large one.
constexpr std::size_t kLeastRun = 16;
// The longest stretch of arrival that one merged segment may cover. Retention drops segments by
// arrival and as a whole.
constexpr std::int64_t kLongestRunMs = 30 * 60 * 1000;
constexpr std::uint8_t kFirstThinned = 4;
constexpr std::uint8_t kMostThinned = 10; // one healthy trace of 1024
constexpr double kSlowQuantile = 0.99;

bool is_entry_kind(SpanKind kind) { return kind == SpanKind::server || kind == SpanKind::consumer; }

struct MarkHash {
  std::size_t operator()(const TraceId& id) const {
    return static_cast<std::size_t>(trace_hash(id));
  }
};

// The traces that always stay. They have a failing span, or a request slower than 99 % of those of
// its service and name in this table. Each span is counted as often as the number of spans it
// stands for.
boost::unordered_flat_set<TraceId, MarkHash> notable_traces(const SpanTable& table,
                                                            const FailureRules& failures) {
  boost::unordered_flat_set<TraceId, MarkHash> out;
  std::map<std::pair<std::string_view, std::uint32_t>, std::vector<const SpanTable::Row*>> requests;
  const FailedRows failed(table, failures);
  for (const auto& row : table.rows) {
    if (failed.has(row)) out.insert(row.trace_id);
    if (is_entry_kind(row.kind))
      requests[{table.resources[row.resource]->service, row.name}].push_back(&row);
  }
  const auto duration = [](const SpanTable::Row* row) {
    return row->end_ns > row->start_ns ? row->end_ns - row->start_ns : 0;
  };
  for (auto& [name, rows] : requests) {
    std::ranges::sort(rows, {}, duration);
    std::uint64_t total = 0;
    for (const auto* row : rows) total += row->stands_for;
    std::uint64_t below = 0;
    for (const auto* row : rows) {
      below += row->stands_for;
      if (static_cast<double>(below) > kSlowQuantile * static_cast<double>(total))
        out.insert(row->trace_id);
    }
  }
  return out;
}

} // namespace

Status SpanUpkeep::merge() {
  std::vector<SegmentRef> all;
  {
    std::shared_lock lock(locks_.state);
    all = state_.segments.all();
  }
  std::vector<SegmentRef> run;
  std::uint64_t spans = 0;
  std::uint64_t bytes = 0;
  const auto end_run = [&]() -> Status {
    const bool worth_it = run.size() >= kLeastRun || (run.size() > 1 && spans >= kLargeSpans);
    if (worth_it) TRY(merge_run(run));
    run.clear();
    spans = bytes = 0;
    return {};
  };
  for (const auto& ref : all) {
    const bool large = ref.spans >= kLargeSpans / 2 || ref.bytes >= kLargeBytes / 2;
    const bool fits =
        run.empty() || (spans + ref.spans <= kLargeSpans && bytes + ref.bytes <= kLargeBytes &&
                        ref.received_ms - run.front().received_ms <= kLongestRunMs &&
                        ref.thinned == run.front().thinned);
    if (large || !fits) TRY(end_run());
    if (large) continue;
    run.push_back(ref);
    spans += ref.spans;
    bytes += ref.bytes;
  }
  return end_run();
}

Status SpanUpkeep::merge_run(const std::vector<SegmentRef>& run) {
  SpanTableBuilder builder;
  SpanSegment merged;
  struct At {
    std::size_t segment;
    std::size_t row;
    std::uint64_t start_ns;
  };
  std::vector<SpanSegment> segments;
  std::vector<At> order;
  for (const auto& ref : run) {
    auto segment = load_segment(backing_.database, ref);
    if (!segment && segment.error().code != ErrorCode::data_loss)
      return std::unexpected(std::move(segment).error());
    if (!segment) {
      backing_.damage.skipped("spans", segment.error().message);
      continue;
    }
    for (std::size_t i = 0; i < segment->spans.rows.size(); ++i)
      order.push_back({segments.size(), i, segment->spans.rows[i].start_ns});
    std::ranges::move(segment->logs, std::back_inserter(merged.logs));
    segments.push_back(std::move(*segment));
  }
  std::ranges::stable_sort(order, {}, &At::start_ns);
  std::vector<SpanTableBuilder::Import> imports;
  for (const auto& segment : segments) imports.emplace_back(segment.spans, builder);
  for (const auto& at : order) imports[at.segment].add(at.row);
  merged.spans = builder.take();
  return replace(run, merged, run.front().thinned);
}

Status SpanUpkeep::replace(const std::vector<SegmentRef>& old, const SpanSegment& segment,
                           std::uint8_t thinned) {
  auto summary = summarise(segment.spans, segment.logs, state_.failures);
  auto bytes = encode_segment(segment.spans, segment.logs, SegmentPacking::small);
  summary.bytes = bytes.size();
  summary.thinned = thinned;
  SegmentRef ref{.received_ms = old.back().received_ms};
  WriteSet writes;
  for (const auto& gone : old) {
    writes.erase(Family::spans, segment_key('s', gone));
    writes.erase(Family::spans, segment_key('d', gone));
  }
  std::lock_guard lock(locks_.write);
  ref.number = state_.next_segment++;
  writes.put(Family::spans, segment_key('s', ref), encode_summary(summary));
  writes.put(Family::spans, segment_key('d', ref), std::move(bytes));
  TRY(backing_.database.write(writes));
  std::unique_lock state(locks_.state);
  state_.segments.replace(old, ref, summary);
  ++state_.merges;
  return {};
}

Status SpanUpkeep::thin(const SegmentRef& ref) {
  auto segment = load_segment(backing_.database, ref);
  if (!segment) {
    backing_.damage.skipped("spans", segment.error().message);
    return {};
  }
  const auto notable = notable_traces(segment->spans, state_.failures);
  const std::uint8_t thinned = static_cast<std::uint8_t>(ref.thinned + 1);
  const std::uint64_t mask = (std::uint64_t{1} << thinned) - 1;
  SpanTableBuilder builder;
  SpanTableBuilder::Import import(segment->spans, builder);
  for (std::size_t i = 0; i < segment->spans.rows.size(); ++i) {
    const auto& id = segment->spans.rows[i].trace_id;
    const bool stays = notable.contains(id);
    // Traces are chosen by hash. So a trace is kept or dropped as a whole, even when its spans are
    // in several segments.
    if (!stays && (trace_hash(id) & mask) != 0) continue;
    import.add(i);
    if (!stays) builder.table().rows.back().stands_for *= 2;
  }
  return replace({ref}, {builder.take(), std::move(segment->logs)}, thinned);
}

Status SpanUpkeep::keep_budget(std::int64_t present_ms) {
  const auto look = [&] {
    std::shared_lock lock(locks_.state);
    return std::pair(state_.segments.bytes(), state_.segments.all());
  };
  for (auto [bytes, all] = look(); bytes > budget_bytes_ && !all.empty();
       std::tie(bytes, all) = look()) {
    // The oldest segment is thinned to a sixteenth of its healthy traces before the next is
    // touched. So new segments stay whole as long as possible.
    const auto next = std::ranges::min_element(all, {}, [](const SegmentRef& ref) {
      return std::tuple(ref.thinned < kFirstThinned  ? 0
                        : ref.thinned < kMostThinned ? 1
                                                     : 2,
                        ref.received_ms, ref.number);
    });
    if (next->thinned < kMostThinned && next->spans > 0) {
      TRY(thin(*next));
      continue;
    }
    const std::int64_t before_ms = all.front().received_ms + 1;
    if (before_ms > present_ms)
      return {}; // the budget is too small for the present and must be raised
    log_warn(
        "the budget for spans is too small for the failing and slow ones; the oldest are dropped",
        {{"before_ms", std::to_string(before_ms)},
         {"budget_bytes", std::to_string(budget_bytes_)}});
    WriteSet writes;
    for (const char kind : {'s', 'd'})
      writes.erase_range(Family::spans, std::string(1, kind), segment_bound(kind, before_ms));
    std::lock_guard lock(locks_.write);
    TRY(backing_.database.write(writes));
    std::unique_lock state(locks_.state);
    state_.segments.drop_before(before_ms);
  }
  return {};
}

} // namespace coalmine::store
