// Test support: a Batch as text, one line an item; equal text means equal batches. The rows of
// tests/otlp/*.rows.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <utility>

#include "receive/otlp.h"
#include "telemetry/batch.h"

namespace coalmine::receive {

inline constexpr std::int64_t kNow = 1'700'000'020'000; // when the payloads of these tests arrive

// What a JSON payload that must be good decodes to.
inline Decoded from_json(Signal signal, std::string_view text, const Limits& limits = {}) {
  auto out = decode(signal, Encoding::json, text, "10.1.2.3", kNow, limits);
  EXPECT_TRUE(out) << (out ? "" : out.error().message);
  return out ? std::move(*out) : Decoded{};
}

inline std::string dump(const Attributes& attributes) {
  static constexpr const char* kTypes[] = {"empty",  "text",  "bool", "int",
                                           "double", "bytes", "json"};
  std::string out;
  for (const auto& [key, value] : attributes) {
    out += fmt::format("{}{}:{}={}", out.empty() ? "" : ", ", key, kTypes[value.index()],
                       to_text(value));
  }
  return "{" + out + "}";
}

inline std::string dump(const MetricPoint& point) {
  static constexpr const char* kKinds[] = {"counter", "gauge", "histogram", "exponential"};
  const auto& s = *point.series;
  std::string out = fmt::format("{} {} {} from {} [{}] {}", kKinds[static_cast<int>(s.kind)],
                                s.labels.to_string(),
                                s.temporality == Temporality::delta ? "delta" : "cumulative",
                                s.metric->otel_name, s.metric->unit, dump(s.attributes));
  out += fmt::format(" start={} time={}{} ", point.start_ns, point.time_ns,
                     point.no_recorded_value ? " stale" : "");
  if (const auto* number = std::get_if<double>(&point.value))
    out += fmt::format("value={}", *number);
  if (const auto* h = std::get_if<ClassicHistogram>(&point.value)) {
    out +=
        fmt::format("count={} sum={} bounds={} counts={}", h->count, h->sum, *h->bounds, h->counts);
  }
  if (const auto* h = std::get_if<ExponentialHistogram>(&point.value)) {
    out +=
        fmt::format("count={} sum={} scale={} zero={}<={} positive={}@{} negative={}@{}", h->count,
                    h->sum, h->scale, h->zero_count, h->zero_threshold, h->positive.counts,
                    h->positive.offset, h->negative.counts, h->negative.offset);
  }
  return out;
}

inline std::string dump(const Span& span) {
  std::string out = fmt::format(
      "span {} {} parent={} \"{}\" kind={} start={} end={} status={} \"{}\" state=\"{}\" flags={} "
      "{}",
      to_hex(span.trace_id), to_hex(span.span_id), to_hex(span.parent_span_id), span.name,
      static_cast<int>(span.kind), span.start_ns, span.end_ns, static_cast<int>(span.status),
      span.status_message, span.trace_state, span.flags, dump(span.attributes));
  for (const auto& event : span.events)
    out += fmt::format(" event {} \"{}\" {}", event.time_ns, event.name, dump(event.attributes));
  return out + " of " + span.resource->labels.to_string();
}

inline std::string dump(const LogRecord& log) {
  return fmt::format("log {} {} {} severity={} event=\"{}\" body=\"{}\" {} of {}", log.time_ns,
                     to_hex(log.trace_id), to_hex(log.span_id), log.severity, log.event_name,
                     log.body, dump(log.attributes), log.resource->labels.to_string());
}

inline std::string dump(const Decoded& decoded) {
  std::string out;
  for (const auto& point : decoded.batch.points) out += dump(point) + "\n";
  for (const auto& span : spans_of(decoded.batch.spans)) out += dump(span) + "\n";
  for (const auto& log : decoded.batch.logs) out += dump(log) + "\n";
  if (decoded.rejected > 0)
    out += fmt::format("rejected {}: {}\n", decoded.rejected, decoded.reason);
  if (decoded.logs_not_kept > 0) out += fmt::format("not kept {}\n", decoded.logs_not_kept);
  if (decoded.dropped_attributes > 0)
    out += fmt::format("dropped attributes {}\n", decoded.dropped_attributes);
  if (decoded.cut_values > 0) out += fmt::format("cut values {}\n", decoded.cut_values);
  return out;
}

} // namespace coalmine::receive
