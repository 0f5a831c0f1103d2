// Upkeep of spans: what came in small pieces is merged into large segments, and the budget is kept.
// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <boost/unordered/unordered_flat_set.hpp>
#include <mutex>
#include <numeric>

#include "base/log.h"
#include "store/disk/meta_rows.h"
#include "store/store_impl.h"

namespace coalmine::store {
namespace {

// A segment of this many spans is large: reading one takes some tens of milliseconds, and its
// dictionaries are small beside it.
constexpr std::uint64_t kLargeSpans = 32'768;
constexpr std::uint64_t kLargeBytes = 8 << 20;
// Fewer are not worth a rewrite, unless they make a large one.
constexpr std::size_t kLeastRun = 16;
// Retention goes by arrival, and a merged segment goes as a whole.
constexpr std::int64_t kLongestRunMs = 30 * 60 * 1000;
constexpr std::uint8_t kFirstThinned = 4;
constexpr std::uint8_t kMostThinned = 10; // one healthy trace of 1024
constexpr double kSlowQuantile = 0.99;

bool is_entry(SpanKind kind) { return kind == SpanKind::server || kind == SpanKind::consumer; }

struct MarkHash {
  std::size_t operator()(const TraceId& id) const {
    return static_cast<std::size_t>(trace_hash(id));
  }
};

// The traces that always stay: with a failing span, or with a request slower than 99 of 100 of its
// service and name here, counting each span for as many as it stands for.
boost::unordered_flat_set<TraceId, MarkHash> telling_traces(const SpanTable& table) {
  boost::unordered_flat_set<TraceId, MarkHash> out;
  std::map<std::pair<std::string_view, std::uint32_t>, std::vector<const SpanTable::Row*>> requests;
  for (const auto& row : table.rows) {
    if (row.status == StatusCode::error) out.insert(row.trace_id);
    if (is_entry(row.kind))
      requests[{table.resources[row.resource]->service, row.name}].push_back(&row);
  }
  const auto duration = [](const SpanTable::Row* row) {
    return row->end_ns > row->start_ns ? row->end_ns - row->start_ns : 0;
  };
  for (auto& [name, rows] : requests) {
    std::ranges::sort(rows, {}, duration);
    std::uint64_t total = 0;
    for (const auto* row : rows) total += row->weight;
    std::uint64_t below = 0;
    for (const auto* row : rows) {
      below += row->weight;
      if (static_cast<double>(below) > kSlowQuantile * static_cast<double>(total))
        out.insert(row->trace_id);
    }
  }
  return out;
}

} // namespace

Status StoreImpl::merge_segments() {
  std::vector<SegmentRef> all;
  {
    std::shared_lock lock(state_mutex_);
    all = segments_.all();
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

Status StoreImpl::merge_run(const std::vector<SegmentRef>& run) {
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
    auto segment = load_segment(ref);
    if (!segment && segment.error().code != ErrorCode::data_loss)
      return std::unexpected(std::move(segment).error());
    if (!segment) {
      damaged("spans", segment.error().message);
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
  return replace_segments(run, merged, run.front().thinned);
}

Status StoreImpl::replace_segments(const std::vector<SegmentRef>& old, const SpanSegment& segment,
                                   std::uint8_t thinned) {
  auto summary = summarise(segment.spans, segment.logs);
  auto bytes = encode_segment(segment.spans, segment.logs, SegmentPacking::small);
  summary.bytes = bytes.size();
  summary.thinned = thinned;
  SegmentRef ref{.received_ms = old.back().received_ms};
  WriteSet writes;
  for (const auto& gone : old) {
    writes.erase(Family::spans, segment_key('s', gone));
    writes.erase(Family::spans, segment_key('d', gone));
  }
  std::lock_guard lock(write_mutex_);
  ref.number = next_segment_++;
  writes.put(Family::spans, segment_key('s', ref), encode_summary(summary));
  writes.put(Family::spans, segment_key('d', ref), std::move(bytes));
  TRY(database_->write(writes));
  std::unique_lock state(state_mutex_);
  segments_.replace(old, ref, summary);
  ++merges_;
  return {};
}

Status StoreImpl::thin(const SegmentRef& ref) {
  auto segment = load_segment(ref);
  if (!segment) {
    damaged("spans", segment.error().message);
    return {};
  }
  const auto telling = telling_traces(segment->spans);
  const std::uint8_t thinned = static_cast<std::uint8_t>(ref.thinned + 1);
  const std::uint64_t mask = (std::uint64_t{1} << thinned) - 1;
  SpanTableBuilder builder;
  SpanTableBuilder::Import import(segment->spans, builder);
  for (std::size_t i = 0; i < segment->spans.rows.size(); ++i) {
    const auto& id = segment->spans.rows[i].trace_id;
    const bool tells = telling.contains(id);
    // By the trace's hash, so that a trace stays or goes as a whole, also where its spans are in
    // several segments.
    if (!tells && (trace_hash(id) & mask) != 0) continue;
    import.add(i);
    if (!tells) builder.table().rows.back().weight *= 2;
  }
  return replace_segments({ref}, {builder.take(), std::move(segment->logs)}, thinned);
}

Status StoreImpl::keep_span_budget(std::int64_t now_ms) {
  const std::uint64_t budget =
      options_.span_budget_bytes > 0 ? options_.span_budget_bytes : options_.retention_bytes / 2;
  const auto look = [&] {
    std::shared_lock lock(state_mutex_);
    return std::pair(segments_.bytes(), segments_.all());
  };
  for (auto [bytes, all] = look(); bytes > budget && !all.empty(); std::tie(bytes, all) = look()) {
    // The oldest first, down to a sixteenth of its healthy traces, before the next is touched: what
    // is new stays whole as long as possible.
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
    if (before_ms > block_of(now_ms))
      return {}; // a budget that is too small for the present has to be made larger
    log_warn(
        "the budget for spans is too small for the failing and slow ones; the oldest are dropped",
        {{"before_ms", std::to_string(before_ms)}, {"budget_bytes", std::to_string(budget)}});
    WriteSet writes;
    for (const char kind : {'s', 'd'})
      writes.erase_range(Family::spans, std::string(1, kind), segment_bound(kind, before_ms));
    std::lock_guard lock(write_mutex_);
    TRY(database_->write(writes));
    std::unique_lock state(state_mutex_);
    segments_.drop_before(before_ms);
  }
  return {};
}

} // namespace coalmine::store
