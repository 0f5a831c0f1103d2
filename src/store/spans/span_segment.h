// A segment: the spans and exception logs of one or more appends as bytes. Its summary shows
// whether it is worth reading.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "telemetry/batch.h"
#include "telemetry/failure_rule.h"
#include "telemetry/span_table.h"

namespace coalmine::store {

struct SpanSegment {
  SpanTable spans;
  std::vector<LogRecord> logs;
  bool empty() const { return spans.empty() && logs.empty(); }
};

// quick: for new segments; small: for merged ones.
enum class SegmentPacking : std::uint8_t { quick, small };

// The grammar of both forms is in docs/formats.md.
std::string encode_segment(const SpanTable& spans, const std::vector<LogRecord>& logs,
                           SegmentPacking packing);
// Reads also the older form, spans one after the other. data_loss: damaged.
Result<SpanSegment> decode_segment(std::string_view bytes);

// A cohort that has spans in a segment.
struct SegmentCohort {
  std::string service;
  std::string track;
  std::string version;
  bool has_errors = false; // a span that failed (telemetry/outcome.h)
  bool operator==(const SegmentCohort&) const = default;
};

struct SegmentSummary {
  std::int64_t min_start_ms = 0; // of the spans; of the logs when there are no spans
  std::int64_t max_start_ms = 0;
  std::uint64_t spans = 0;
  std::uint64_t bytes = 0;            // of the encoded segment; 0: not known
  std::uint8_t thinned = 0;           // how often half of its healthy traces were dropped
  std::vector<SegmentCohort> cohorts; // of the spans
  std::vector<std::uint32_t> traces;  // trace_mark() of every trace id in the segment, ascending
};

std::uint64_t trace_hash(const TraceId& id);
std::uint32_t trace_mark(const TraceId& id); // its upper half
// Who sent it: the same process gives the same hash in every request.
std::uint64_t resource_hash(const Resource& resource);
// Equal for a span that is sent again: the same ids, kind and sender. In Zipkin's traces the
// caller's client span and the callee's server span have one id.
std::uint64_t span_hash(const SpanTable::Row& row, std::uint64_t resource);
std::uint64_t log_hash(const LogRecord& log);
SegmentSummary summarise(const SpanTable& spans, const std::vector<LogRecord>& logs,
                         const FailureRules& failures);
std::string encode_summary(const SegmentSummary& summary);
Result<SegmentSummary> decode_summary(std::string_view bytes);

} // namespace coalmine::store
