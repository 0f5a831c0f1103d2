// SPDX-License-Identifier: Apache-2.0
#include "store/spans/span_reader.h"

#include <algorithm>
#include <map>
#include <shared_mutex>
#include <utility>

namespace coalmine::store {
namespace {

// The logs of a trace arrive through another exporter than its spans. They are searched for only
// around the time of the spans.
constexpr std::int64_t kLogsBeforeMs = 60 * 1000;
constexpr std::int64_t kLogsAfterMs = 10 * 60 * 1000;

template <typename T> // a span or a row
std::int64_t start_ms(const T& span) {
  return ns_to_ms(span.start_ns);
}

template <typename T>
bool is_entry(const T& span) {
  return span.kind == SpanKind::server || span.kind == SpanKind::consumer;
}

// True when span a represents the trace better than b: the request itself rather than a part of it.
bool stands_better(const SpanTable::Row& a, const Span& b) {
  if (is_entry(a) != is_entry(b)) return is_entry(a);
  return a.start_ns < b.start_ns;
}

// The time of the n-th newest trace found so far; INT64_MIN while there are fewer.
std::int64_t nth_newest(const std::map<TraceId, std::pair<std::int64_t, Span>>& found,
                        std::size_t n) {
  if (found.size() < n || n == 0) return INT64_MIN;
  std::vector<std::int64_t> starts;
  starts.reserve(found.size());
  for (const auto& [id, best] : found) starts.push_back(best.first);
  std::ranges::nth_element(starts, starts.begin() + static_cast<std::ptrdiff_t>(n - 1),
                           std::greater{});
  return starts[n - 1];
}

// Two spans may have one id: Zipkin's client and server span. Then a log is the span's of the same
// sender.
void attach_logs(std::vector<StoredSpan>& spans, const std::vector<LogRecord>& logs) {
  std::multimap<std::pair<TraceId, SpanId>, StoredSpan*> by_id;
  for (auto& stored : spans)
    by_id.emplace(std::pair(stored.span.trace_id, stored.span.span_id), &stored);
  for (const auto& log : logs) {
    const auto [begin, end] = by_id.equal_range({log.trace_id, log.span_id});
    if (begin == end) continue;
    const auto same = std::find_if(begin, end, [&](const auto& entry) {
      return log.resource &&
             resource_hash(*entry.second->span.resource) == resource_hash(*log.resource);
    });
    (same == end ? begin : same)->second->logs.push_back(log);
  }
  for (auto& stored : spans) std::ranges::stable_sort(stored.logs, {}, &LogRecord::time_ns);
}

} // namespace

Result<SpanSegment> load_segment(const Database& database, const SegmentRef& ref) {
  TRY_ASSIGN(const auto bytes, database.get(Family::spans, segment_key('d', ref)));
  // Dropped meanwhile by retention, or by a merge, which the caller notices.
  if (!bytes) return SpanSegment{};
  return decode_segment(*bytes);
}

Status SpanReader::visit_segments(const std::set<std::uint32_t>& traces, std::int64_t from_ms,
                                  std::int64_t to_ms,
                                  const std::function<void(const SpanSegment&)>& visit) const {
  std::vector<SegmentRef> refs;
  const auto status = backing_.database.scan(
      Family::spans, segment_bound('s', std::max<std::int64_t>(0, from_ms)),
      to_ms == INT64_MAX ? "t" : segment_bound('s', to_ms), [&](auto key, auto value) {
        const auto ref = parse_segment_key(key);
        const auto summary = decode_summary(value);
        const auto listed = [&](std::uint32_t mark) {
          return std::ranges::binary_search(summary->traces, mark);
        };
        if (ref && summary && std::ranges::any_of(traces, listed)) refs.push_back(*ref);
        return true;
      });
  if (!status && status.error().code != ErrorCode::data_loss)
    return std::unexpected(status.error());
  if (!status) backing_.damage.skipped("spans", status.error().message);
  for (const auto& ref : refs) {
    auto segment = load_segment(backing_.database, ref);
    if (segment) {
      visit(*segment);
    } else if (segment.error().code == ErrorCode::data_loss) {
      backing_.damage.skipped("spans", segment.error().message);
    } else {
      return std::unexpected(std::move(segment).error());
    }
  }
  return {};
}

// A merge may remove segments while they are being read. In that case they are read again.
template <typename Read>
auto SpanReader::at_rest(Read read) const -> decltype(read()) {
  constexpr int kTries = 5;
  for (int i = 1;; ++i) {
    const auto before = state_.merges.load();
    auto out = read();
    if (state_.merges == before || i == kTries) return out;
  }
}

Result<std::vector<StoredSpan>> SpanReader::find(const SpanFilter& filter) const {
  return at_rest([&] { return find_once(filter); });
}

Result<std::vector<StoredSpan>> SpanReader::trace(const TraceId& id) const {
  TRY_ASSIGN(auto found, traces(std::span(&id, 1)));
  return std::move(found.front());
}

Result<std::vector<std::vector<StoredSpan>>> SpanReader::traces(
    std::span<const TraceId> ids) const {
  return at_rest([&] { return traces_once(ids); });
}

Result<std::vector<StoredSpan>> SpanReader::find_once(const SpanFilter& filter) const {
  std::vector<SegmentRef> candidates;
  {
    std::shared_lock lock(locks_.state);
    candidates = state_.segments.candidates(filter);
  }
  // Newest matching start, and the span that represents the trace.
  std::map<TraceId, std::pair<std::int64_t, Span>> found;
  std::int64_t enough_ms = INT64_MIN;
  for (const auto& ref : candidates) {
    if (filter.limit == 0 || ref.max_start_ms < enough_ms)
      break; // all further segments are older than the traces found
    const auto segment = load_segment(backing_.database, ref);
    if (!segment) {
      if (segment.error().code != ErrorCode::data_loss) return std::unexpected(segment.error());
      backing_.damage.skipped("spans", segment.error().message);
      continue;
    }
    const auto& table = segment->spans;
    const SpanSieve sieve(filter, table, state_.failures);
    for (std::size_t i = 0; i < table.rows.size(); ++i) {
      const auto& row = table.rows[i];
      if (!sieve.passes(row)) continue;
      const auto it = found.find(row.trace_id);
      if (it == found.end()) {
        if (start_ms(row) >= enough_ms)
          found.emplace(row.trace_id, std::pair(start_ms(row), table.span(i)));
        continue;
      }
      it->second.first = std::max(it->second.first, start_ms(row));
      if (stands_better(row, it->second.second)) it->second.second = table.span(i);
    }
    enough_ms = nth_newest(found, filter.limit);
  }
  std::vector<StoredSpan> out;
  for (auto& [id, best] : found) out.push_back({std::move(best.second), {}});
  std::ranges::sort(out, [](const StoredSpan& a, const StoredSpan& b) {
    return a.span.start_ns != b.span.start_ns ? a.span.start_ns > b.span.start_ns
                                              : a.span.trace_id < b.span.trace_id;
  });
  if (out.size() > filter.limit) out.resize(filter.limit);
  if (out.empty()) return out;

  std::set<std::uint32_t> traces;
  std::int64_t last_ms = 0;
  for (const auto& stored : out) {
    traces.insert(trace_mark(stored.span.trace_id));
    last_ms = std::max({last_ms, start_ms(stored.span), ns_to_ms(stored.span.end_ns)});
  }
  std::set<TraceId> ids;
  for (const auto& stored : out) ids.insert(stored.span.trace_id);
  std::vector<LogRecord> logs;
  TRY(visit_segments(traces, start_ms(out.back().span) - kLogsBeforeMs, last_ms + kLogsAfterMs,
                     [&](const SpanSegment& segment) {
                       for (const auto& log : segment.logs) {
                         if (ids.contains(log.trace_id)) logs.push_back(log);
                       }
                     }));
  attach_logs(out, logs);
  return out;
}

Result<std::vector<std::vector<StoredSpan>>> SpanReader::traces_once(
    std::span<const TraceId> ids) const {
  std::map<TraceId, std::size_t> places;
  std::set<std::uint32_t> marks;
  for (const auto& id : ids) {
    places.emplace(id, places.size());
    marks.insert(trace_mark(id));
  }
  std::vector<std::vector<StoredSpan>> spans(places.size());
  std::vector<std::vector<LogRecord>> logs(places.size());
  std::set<std::uint64_t> seen; // a span that was stored twice is given once
  TRY(visit_segments(marks, 0, INT64_MAX, [&](const SpanSegment& segment) {
    const auto& table = segment.spans;
    for (std::size_t i = 0; i < table.rows.size(); ++i) {
      const auto& row = table.rows[i];
      const auto it = places.find(row.trace_id);
      if (it == places.end()) continue;
      if (seen.insert(span_hash(row, resource_hash(*table.resources[row.resource]))).second)
        spans[it->second].push_back({table.span(i), {}});
    }
    for (const auto& log : segment.logs) {
      if (const auto it = places.find(log.trace_id); it != places.end())
        logs[it->second].push_back(log);
    }
  }));
  std::vector<std::vector<StoredSpan>> out;
  out.reserve(ids.size());
  for (std::size_t i = 0; i < spans.size(); ++i) {
    std::ranges::stable_sort(spans[i], {},
                             [](const StoredSpan& stored) { return stored.span.start_ns; });
    attach_logs(spans[i], logs[i]);
  }
  for (const auto& id : ids) out.push_back(spans[places.at(id)]);
  return out;
}

} // namespace coalmine::store
