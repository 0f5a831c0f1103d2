// SPDX-License-Identifier: Apache-2.0
#include "serve/span_json.h"

#include <boost/json.hpp>
#include <cmath>

namespace coalmine::serve {
namespace {

namespace json = boost::json;

// JSON has no NaN or infinity.
json::value span_number(double v) {
  return std::isfinite(v) ? json::value(v) : json::value(nullptr);
}

double ms(std::uint64_t ns) { return static_cast<double>(ns) / 1e6; }

json::object attributes_json(const Attributes& attributes) {
  json::object out;
  for (const auto& [key, value] : attributes) {
    if (const auto* b = std::get_if<bool>(&value)) {
      out[key] = *b;
    } else if (const auto* i = std::get_if<std::int64_t>(&value)) {
      out[key] = *i;
    } else if (const auto* d = std::get_if<double>(&value)) {
      out[key] = span_number(*d);
    } else {
      out[key] = to_text(value);
    }
  }
  return out;
}

std::string_view kind_name(SpanKind kind) {
  switch (kind) {
    case SpanKind::unspecified: return "unspecified";
    case SpanKind::internal: return "internal";
    case SpanKind::server: return "server";
    case SpanKind::client: return "client";
    case SpanKind::producer: return "producer";
    case SpanKind::consumer: return "consumer";
  }
  return "unspecified";
}

} // namespace

json::object span_json(const StoredSpan& stored) {
  const auto& span = stored.span;
  json::array events;
  for (const auto& event : span.events) {
    events.push_back({{"name", event.name},
                      {"time_ms", ms(event.time_ns)},
                      {"attributes", attributes_json(event.attributes)}});
  }
  json::array logs;
  for (const auto& log : stored.logs) {
    logs.push_back({{"time_ms", ms(log.time_ns)},
                    {"severity", log.severity},
                    {"body", log.body},
                    {"attributes", attributes_json(log.attributes)}});
  }
  const auto parent = to_hex(span.parent_span_id);
  return {{"span_id", to_hex(span.span_id)},
          {"parent_span_id", parent == "0000000000000000" ? std::string() : parent},
          {"name", span.name},
          {"kind", kind_name(span.kind)},
          {"service", span.resource->service},
          {"version", span.resource->version},
          {"track", span.resource->track},
          {"start_ms", ms(span.start_ns)},
          {"duration_ms", span.end_ns >= span.start_ns ? ms(span.end_ns - span.start_ns) : 0.0},
          {"status", span.status == StatusCode::error ? "error"
                     : span.status == StatusCode::ok  ? "ok"
                                                      : "unset"},
          {"status_message", span.status_message},
          {"attributes", attributes_json(span.attributes)},
          {"events", std::move(events)},
          {"logs", std::move(logs)}};
}

json::object failure_json(const trace::Failure& failure) {
  json::array spans;
  for (const auto& span : failure.failed_spans) {
    spans.push_back({{"name", span.name},
                     {"exception_type", span.exception_type},
                     {"exception_message", span.exception_message}});
  }
  return {{"trace_id", to_hex(failure.trace_id)},
          {"time_ms", failure.time_ms},
          {"error", failure.error},
          {"duration_ms", span_number(failure.duration_ms)},
          {"endpoint", failure.endpoint},
          {"version", failure.version},
          {"track", failure.track},
          {"failed_spans", std::move(spans)}};
}

} // namespace coalmine::serve
