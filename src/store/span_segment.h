// A segment: the spans and exception logs of one append as bytes, and the summary that tells whether it is worth reading.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "telemetry/batch.h"

namespace coalmine::store {

struct SpanSegment {
  std::vector<Span> spans;
  std::vector<LogRecord> logs;
  bool empty() const { return spans.empty() && logs.empty(); }
};

// segment   = %x01 resources:varint *resource spans:varint *span logs:varint *log checksum:u64
// resource  = attributes service:text version:text track:text environment:text instance:text labels:varint *(name:text value:text)
// span      = resource:varint trace_id:16OCTET span_id:8OCTET parent:8OCTET name:text kind:u8 start_ns:u64 duration_ns:zigzag
//             status:u8 status_message:text trace_state:text flags:varint attributes events:varint *event
// event     = since_start_ns:zigzag name:text attributes
// log       = resource:varint time_ns:u64 trace_id:16OCTET span_id:8OCTET severity:zigzag event_name:text body:text attributes
// attributes= count:varint *(name:text value)
// value     = %x00 / %x01 text / %x02 %x00-01 / %x03 zigzag / %x04 f64 / %x05 text (bytes) / %x06 text (JSON)
// text      = size:varint *OCTET
// checksum  = XXH3-64 of everything before it
std::string encode_segment(const SpanSegment& segment);
// data_loss: damaged.
Result<SpanSegment> decode_segment(std::string_view bytes);

// Which of the telemetry in a segment belongs to whom.
struct SegmentCohort {
  std::string service;
  std::string track;
  std::string version;
  bool has_errors = false; // a span with status ERROR
  bool operator==(const SegmentCohort&) const = default;
};

// summary = %x01 min_start_ms:zigzag max_start_ms:zigzag spans:varint cohorts:varint *cohort traces:varint *u64 checksum:u64
// cohort  = service:text track:text version:text has_errors:u8
// traces are trace_hash() of every trace id in the segment, ascending.
struct SegmentSummary {
  std::int64_t min_start_ms = 0; // of the spans; of the logs when there are no spans
  std::int64_t max_start_ms = 0;
  std::uint64_t spans = 0;
  std::vector<SegmentCohort> cohorts; // of the spans
  std::vector<std::uint64_t> traces;
};

std::uint64_t trace_hash(const TraceId& id);
std::uint64_t span_hash(const TraceId& trace, const SpanId& span);
std::uint64_t log_hash(const LogRecord& log);
SegmentSummary summarise(const SpanSegment& segment);
std::string encode_summary(const SegmentSummary& summary);
Result<SegmentSummary> decode_summary(std::string_view bytes);

} // namespace coalmine::store
