// The content of one OTLP request, decoded: metric points, spans and log records. receive/ makes
// it, store/ keeps it.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "telemetry/histogram.h"
#include "telemetry/resource.h"
#include "telemetry/span.h"
#include "telemetry/span_table.h"

namespace coalmine {

enum class MetricKind : std::uint8_t {
  counter,     // monotonic sum
  gauge,       // gauge, and sums that may fall
  histogram,   // explicit bounds
  exponential, // exponential histogram
};
enum class Temporality : std::uint8_t { cumulative, delta };

// The description of a metric. All of its series share it.
struct MetricDescription {
  std::string otel_name; // http.server.request.duration
  std::string unit;      // UCUM as sent: s, ms, By, 1, {request}
  std::string help;      // the instrument's description
  auto operator<=>(const MetricDescription&) const = default;
};
using DescriptionRef = std::shared_ptr<const MetricDescription>; // never null
inline const DescriptionRef& no_description() {
  static const auto kNone = std::make_shared<const MetricDescription>();
  return kNone;
}

// The identity and description of one metric series. Shared by all points of the series in a batch.
struct MetricSeries {
  std::shared_ptr<const Resource> resource;
  DescriptionRef metric = no_description();
  MetricKind kind = MetricKind::gauge;
  Temporality temporality = Temporality::cumulative; // gauges: cumulative
  // With __name__ (Prometheus form of otel_name and unit, without _bucket/_sum/_count), the
  // resource's labels and the point's attributes.
  Labels labels;
  // The instrumentation scope as labels: otel_scope_name, otel_scope_version, otel_scope_… for its
  // attributes. A part of the stream's identity that becomes labels of its series only where two
  // scopes send the same. nullptr: none.
  std::shared_ptr<const Labels> scope = nullptr;
  Attributes attributes; // the point's own, as sent
  // True: this series is always passed as the same object, so facts about it may be kept by its
  // address.
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

// Kept only when it carries an exception (exception.* attributes) or belongs to a trace with
// severity ERROR or above.
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
  SpanTable spans;
  std::vector<LogRecord> logs;
  bool empty() const { return points.empty() && spans.empty() && logs.empty(); }
};

} // namespace coalmine
