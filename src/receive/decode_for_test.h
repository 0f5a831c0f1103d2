// Test support: one payload in, what it decodes to or the error out; and a Batch as text, one line
// an item (the rows of tests/otlp/*.rows). Equal text means equal batches.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <utility>

#include "receive/otlp.h"
#include "receive/payload_for_test.h"
#include "receive/series_cache.h"
#include "telemetry/batch.h"

namespace coalmine::receive {

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

namespace p = payload;
inline constexpr std::int64_t kNow = 1'700'000'020'000;
inline const std::string kTrace(16, '\x11');
inline const std::string kSpan(8, '\x22');

inline Decoded decoded(Signal signal, const p::Message& message, const Limits& limits = {}) {
  const auto payload = p::to_protobuf(message);
  auto out = decode(signal, Encoding::protobuf, payload, "10.1.2.3", kNow, limits);
  EXPECT_TRUE(out) << (out ? "" : out.error().message);
  // A cache filled by earlier payloads changes nothing.
  SeriesCache cache;
  for (int pass = 0; pass < 3 && out; ++pass) {
    const auto again =
        decode(signal, Encoding::protobuf, payload, "10.1.2.3", kNow, limits, &cache);
    EXPECT_TRUE(again);
    if (again) {
      EXPECT_EQ(dump(*again), dump(*out)) << "pass " << pass;
    }
  }
  return out ? std::move(*out) : Decoded{};
}

inline Decoded from_json(Signal signal, std::string_view text, const Limits& limits = {}) {
  auto out = decode(signal, Encoding::json, text, "10.1.2.3", kNow, limits);
  EXPECT_TRUE(out) << (out ? "" : out.error().message);
  return out ? std::move(*out) : Decoded{};
}

inline std::string error_of(Signal signal, Encoding encoding, std::string_view payload) {
  auto out = decode(signal, encoding, payload, "10.1.2.3", kNow, {});
  EXPECT_FALSE(out);
  if (out) return "";
  EXPECT_EQ(out.error().code, ErrorCode::invalid_argument);
  return out.error().message;
}

} // namespace coalmine::receive
