// SPDX-License-Identifier: Apache-2.0
#include "store/spans/span_segment.h"

#include <xxhash.h>
#include <zstd.h>

#include <algorithm>
#include <array>
#include <limits>
#include <memory>
#include <optional>
#include <unordered_map>
#include <utility>

#include "base/bytes.h"
#include "store/spans/segment_parts.h"
#include "store/spans/span_columns.h"
#include "telemetry/outcome.h"

namespace coalmine::store {
namespace {

constexpr std::uint8_t kRows = 1;    // segment version: spans one after the other
constexpr std::uint8_t kColumns = 2; // segment version: by columns, compressed
constexpr std::size_t kMaxRawBytes = 256 << 20;

// Reads one span of a segment by rows, as version 0.1 wrote it.
Span read_span(ByteReader& r, const Resources& resources) {
  Span out;
  const auto at = r.varint();
  if (at >= resources.size()) {
    break_reader(r);
    return out;
  }
  out.resource = resources[static_cast<std::size_t>(at)];
  read_id(r, out.trace_id);
  read_id(r, out.span_id);
  read_id(r, out.parent_span_id);
  out.name = r.text();
  const auto kind = r.u8();
  out.start_ns = r.u64();
  out.end_ns = out.start_ns + static_cast<std::uint64_t>(r.zigzag());
  const auto status = r.u8();
  if (kind > static_cast<std::uint8_t>(SpanKind::consumer) ||
      status > static_cast<std::uint8_t>(StatusCode::error))
    break_reader(r);
  out.kind = static_cast<SpanKind>(kind);
  out.status = static_cast<StatusCode>(status);
  out.status_message = r.text();
  out.trace_state = r.text();
  out.flags = static_cast<std::uint32_t>(r.varint());
  out.attributes = read_attributes(r);
  const auto events = read_count(r);
  for (std::size_t i = 0; i < events && r.ok(); ++i) {
    SpanEvent event;
    event.time_ns = out.start_ns + static_cast<std::uint64_t>(r.zigzag());
    event.name = r.text();
    event.attributes = read_attributes(r);
    out.events.push_back(std::move(event));
  }
  return out;
}

void seal(std::string& bytes) {
  const auto sum = XXH3_64bits(bytes.data(), bytes.size());
  ByteWriter(bytes).u64(sum);
}

// The content without its checksum; nullopt when the checksum does not fit.
std::optional<std::string_view> unsealed(std::string_view bytes) {
  if (bytes.size() < sizeof(std::uint64_t)) return std::nullopt;
  const auto content = bytes.substr(0, bytes.size() - sizeof(std::uint64_t));
  if (ByteReader(bytes.substr(content.size())).u64() != XXH3_64bits(content.data(), content.size()))
    return std::nullopt;
  return content;
}

std::unexpected<Error> damaged_segment(std::string_view what) {
  return fail(ErrorCode::data_loss, "a " + std::string(what) + " is damaged");
}

Result<SpanSegment> read_rows(ByteReader& r) {
  Resources resources;
  const auto resource_count = read_count(r);
  for (std::size_t i = 0; i < resource_count && r.ok(); ++i) resources.push_back(read_resource(r));
  SpanSegment out;
  SpanTableBuilder table;
  const auto spans = read_count(r);
  for (std::size_t i = 0; i < spans && r.ok(); ++i) table.add(read_span(r, resources));
  out.spans = table.take();
  const auto logs = read_count(r);
  for (std::size_t i = 0; i < logs && r.ok(); ++i) out.logs.push_back(read_log(r, resources));
  if (!r.ok() || !r.done()) return damaged_segment("segment of spans");
  return out;
}

Result<SpanSegment> read_compressed(ByteReader& r) {
  const auto size = r.varint();
  const auto packed = r.raw(r.remaining());
  if (!r.ok() || size > kMaxRawBytes ||
      ZSTD_getFrameContentSize(packed.data(), packed.size()) != size)
    return damaged_segment("segment of spans");
  std::string raw(static_cast<std::size_t>(size), '\0');
  if (ZSTD_decompress(raw.data(), raw.size(), packed.data(), packed.size()) != raw.size())
    return damaged_segment("segment of spans");
  ByteReader in(raw);
  SpanSegment out;
  out.spans = read_columns(in);
  Resources resources;
  const auto resource_count = read_count(in);
  for (std::size_t i = 0; i < resource_count && in.ok(); ++i)
    resources.push_back(read_resource(in));
  const auto logs = read_count(in);
  for (std::size_t i = 0; i < logs && in.ok(); ++i) out.logs.push_back(read_log(in, resources));
  if (!in.ok() || !in.done()) return damaged_segment("segment of spans");
  return out;
}

void write_logs(std::string& out, const std::vector<LogRecord>& logs) {
  static const auto kNoResource = std::make_shared<const Resource>();
  std::unordered_map<const Resource*, std::size_t> numbers;
  std::string head;
  std::string body;
  ByteWriter h(head);
  ByteWriter b(body);
  for (const auto& log : logs) {
    const auto& resource = log.resource ? log.resource : kNoResource;
    const auto [it, added] = numbers.try_emplace(resource.get(), numbers.size());
    if (added) write_resource(h, *resource);
    b.varint(it->second);
    write_log(b, log);
  }
  ByteWriter w(out);
  w.varint(numbers.size());
  w.raw(head);
  w.varint(logs.size());
  w.raw(body);
}

struct ContextDeleter {
  void operator()(ZSTD_CCtx* context) const { ZSTD_freeCCtx(context); }
};

} // namespace

std::string encode_segment(const SpanTable& spans, const std::vector<LogRecord>& logs,
                           SegmentPacking packing) {
  std::string raw;
  write_columns(raw, spans);
  write_logs(raw, logs);
  std::string out;
  ByteWriter head(out);
  head.u8(kColumns);
  head.varint(raw.size());
  const std::size_t start = out.size();
  // Making a context for every request would cost as much as compressing a small segment.
  thread_local const std::unique_ptr<ZSTD_CCtx, ContextDeleter> context(ZSTD_createCCtx());
  out.resize(start + ZSTD_compressBound(raw.size()));
  const auto size =
      ZSTD_compressCCtx(context.get(), out.data() + start, out.size() - start, raw.data(),
                        raw.size(), packing == SegmentPacking::quick ? 1 : 6);
  out.resize(start + (ZSTD_isError(size) != 0 ? 0 : size));
  seal(out);
  return out;
}

Result<SpanSegment> decode_segment(std::string_view bytes) {
  const auto content = unsealed(bytes);
  if (!content) return damaged_segment("segment of spans");
  ByteReader r(*content);
  switch (r.u8()) {
    case kRows: return read_rows(r);
    case kColumns: return read_compressed(r);
    default: return damaged_segment("segment of spans");
  }
}

std::uint64_t trace_hash(const TraceId& id) { return XXH3_64bits(id.data(), id.size()); }

std::uint64_t resource_hash(const Resource& resource) {
  std::uint64_t hash = 0;
  for (const auto* part : {&resource.service, &resource.version, &resource.track,
                           &resource.instance, &resource.environment})
    hash = XXH3_64bits_withSeed(part->data(), part->size(), hash + 1);
  return hash;
}

std::uint64_t span_hash(const SpanTable::Row& row, std::uint64_t resource) {
  std::array<std::uint8_t, sizeof(TraceId) + sizeof(SpanId)> both{};
  std::ranges::copy(row.trace_id, both.begin());
  std::ranges::copy(row.span_id, both.begin() + sizeof(TraceId));
  return XXH3_64bits_withSeed(both.data(), both.size(),
                              resource ^ static_cast<std::uint64_t>(row.kind));
}

std::uint64_t log_hash(const LogRecord& log) {
  std::string flat;
  ByteWriter w(flat);
  w.u8(1);
  write_log(w, log);
  return XXH3_64bits(flat.data(), flat.size());
}

std::uint32_t trace_mark(const TraceId& id) {
  return static_cast<std::uint32_t>(trace_hash(id) >> 32);
}

SegmentSummary summarise(const SpanTable& table, const std::vector<LogRecord>& logs,
                         const FailureRules& failures) {
  SegmentSummary out;
  out.spans = table.rows.size();
  std::int64_t least = INT64_MAX;
  std::int64_t most = INT64_MIN;
  const auto see_time = [&](std::uint64_t ns) {
    const auto ms = ns_to_ms(ns);
    least = std::min(least, ms);
    most = std::max(most, ms);
  };
  std::vector<std::size_t> cohort_of;
  for (const auto& resource : table.resources) {
    SegmentCohort cohort{resource->service, resource->track, resource->version, false};
    cohort_of.push_back(
        static_cast<std::size_t>(std::ranges::find(out.cohorts, cohort) - out.cohorts.begin()));
    if (cohort_of.back() == out.cohorts.size()) out.cohorts.push_back(std::move(cohort));
  }
  const FailedRows failed(table, failures);
  const TraceId* before = nullptr;
  for (const auto& row : table.rows) {
    see_time(row.start_ns);
    if (before == nullptr || *before != row.trace_id)
      out.traces.push_back(trace_mark(row.trace_id));
    before = &row.trace_id;
    if (failed.has(row)) out.cohorts[cohort_of[row.resource]].has_errors = true;
  }
  for (const auto& log : logs) {
    if (table.empty()) see_time(log.time_ns);
    out.traces.push_back(trace_mark(log.trace_id));
  }
  out.min_start_ms = least == INT64_MAX ? 0 : least;
  out.max_start_ms = most == INT64_MIN ? 0 : most;
  std::ranges::sort(out.traces);
  out.traces.erase(std::ranges::unique(out.traces).begin(), out.traces.end());
  return out;
}

std::string encode_summary(const SegmentSummary& summary) {
  std::string out;
  ByteWriter w(out);
  w.u8(kColumns);
  w.zigzag(summary.min_start_ms);
  w.zigzag(summary.max_start_ms);
  w.varint(summary.spans);
  w.varint(summary.bytes);
  w.u8(summary.thinned);
  w.varint(summary.cohorts.size());
  for (const auto& cohort : summary.cohorts) {
    w.text(cohort.service);
    w.text(cohort.track);
    w.text(cohort.version);
    w.u8(cohort.has_errors ? 1 : 0);
  }
  w.varint(summary.traces.size());
  std::uint32_t before = 0;
  for (const auto mark : summary.traces) w.varint(mark - std::exchange(before, mark));
  seal(out);
  return out;
}

Result<SegmentSummary> decode_summary(std::string_view bytes) {
  const auto content = unsealed(bytes);
  if (!content) return damaged_segment("summary of a segment");
  ByteReader r(*content);
  const auto version = r.u8();
  if (version != kRows && version != kColumns) return damaged_segment("summary of a segment");
  SegmentSummary out;
  out.min_start_ms = r.zigzag();
  out.max_start_ms = r.zigzag();
  out.spans = r.varint();
  if (version == kColumns) out.bytes = r.varint();
  if (version == kColumns) out.thinned = r.u8();
  const auto cohorts = read_count(r);
  for (std::size_t i = 0; i < cohorts && r.ok(); ++i) {
    SegmentCohort cohort;
    cohort.service = r.text();
    cohort.track = r.text();
    cohort.version = r.text();
    cohort.has_errors = r.u8() != 0;
    out.cohorts.push_back(std::move(cohort));
  }
  out.traces.resize(read_count(r, version == kRows ? sizeof(std::uint64_t) : 1));
  std::uint64_t mark = 0;
  for (auto& trace : out.traces) {
    mark = version == kRows ? r.u64() >> 32 : mark + r.varint();
    if (mark > std::numeric_limits<std::uint32_t>::max()) break_reader(r);
    trace = static_cast<std::uint32_t>(mark);
  }
  if (!r.ok() || !r.done()) return damaged_segment("summary of a segment");
  return out;
}

} // namespace coalmine::store
