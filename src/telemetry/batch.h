// What one OTLP request says, decoded: metric points, spans and log records. receive/ makes it, store/ keeps it.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "telemetry/histogram.h"
#include "telemetry/resource.h"

namespace coalmine {

enum class MetricKind : std::uint8_t {
  counter,        // monotonic sum
  gauge,          // gauge, and sums that may fall
  histogram,      // explicit bounds
  exponential,    // exponential histogram
};
enum class Temporality : std::uint8_t { cumulative, delta };

// One metric series' identity and what is known of it. Shared by all points of the series in a batch.
struct MetricSeries {
  std::shared_ptr<const Resource> resource;
  std::string otel_name;  // http.server.request.duration
  std::string unit;       // UCUM as sent: s, ms, By, 1, {request}
  std::string help;       // the instrument's description
  MetricKind kind = MetricKind::gauge;
  Temporality temporality = Temporality::cumulative; // gauges: cumulative
  // With __name__ (Prometheus form of otel_name and unit, without _bucket/_sum/_count), the resource's labels and the point's
  // attributes; the identity of the series.
  Labels labels;
  Attributes attributes; // the point's own, as sent
  // The same object is given for this series again and again, so that what is found out about it may be kept by its address.
  bool recurring = false;
};

// One point. Times are Unix nanoseconds as OTLP has them. start_ns 0: unknown.
struct MetricPoint {
  std::shared_ptr<const MetricSeries> series;
  std::uint64_t start_ns = 0;
  std::uint64_t time_ns = 0;
  // OTLP flag NO_RECORDED_VALUE: the series ended here; value holds no number.
  bool no_recorded_value = false;
  std::variant<double, ClassicHistogram, ExponentialHistogram> value = 0.0;
};

using TraceId = std::array<std::uint8_t, 16>;
using SpanId = std::array<std::uint8_t, 8>;

std::string to_hex(const TraceId& id);
std::string to_hex(const SpanId& id);
// Exactly 32 hex digits, either case.
bool parse_hex(std::string_view text, TraceId& out);
bool parse_hex(std::string_view text, SpanId& out);

enum class SpanKind : std::uint8_t { unspecified, internal, server, client, producer, consumer };
enum class StatusCode : std::uint8_t { unset, ok, error };

struct SpanEvent {
  std::uint64_t time_ns = 0;
  std::string name;
  Attributes attributes;
};

struct Span {
  std::shared_ptr<const Resource> resource;
  TraceId trace_id{};
  SpanId span_id{};
  SpanId parent_span_id{}; // all zero: a root
  std::string name;
  SpanKind kind = SpanKind::unspecified;
  std::uint64_t start_ns = 0;
  std::uint64_t end_ns = 0;
  StatusCode status = StatusCode::unset;
  std::string status_message;
  std::string trace_state;
  std::uint32_t flags = 0;
  std::uint32_t weight = 1; // how many of its like it stands for, when the store kept only some of them
  Attributes attributes;
  std::vector<SpanEvent> events;
};

// Kept only when it carries an exception (exception.* attributes) or belongs to a trace with severity ERROR or above.
struct LogRecord {
  std::shared_ptr<const Resource> resource;
  std::uint64_t time_ns = 0;
  TraceId trace_id{};
  SpanId span_id{};
  std::int32_t severity = 0; // OTLP SeverityNumber
  std::string event_name;
  std::string body;
  Attributes attributes;
};

struct Batch {
  std::int64_t received_ms = 0; // wall clock at arrival
  std::vector<MetricPoint> points;
  std::vector<Span> spans;
  std::vector<LogRecord> logs;
  bool empty() const { return points.empty() && spans.empty() && logs.empty(); }
};

} // namespace coalmine
