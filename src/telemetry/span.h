// A span as defined by OTLP.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/hex.h"
#include "telemetry/resource.h"

namespace coalmine {

// As text: to_hex and parse_hex of base/hex.h.
using TraceId = std::array<std::uint8_t, 16>;
using SpanId = std::array<std::uint8_t, 8>;

// Spans count in nanoseconds since 1970, samples in milliseconds.
inline std::int64_t ns_to_ms(std::uint64_t ns) { return static_cast<std::int64_t>(ns / 1'000'000); }

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
  // How many spans like it this one stands for, itself included: more than 1 once the store thinned
  // spans out.
  std::uint32_t stands_for = 1;
  Attributes attributes;
  std::vector<SpanEvent> events;
};

} // namespace coalmine
