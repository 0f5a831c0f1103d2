// A span as OTLP has it.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "telemetry/resource.h"

namespace coalmine {

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
  std::uint32_t weight =
      1; // how many of its like it stands for, when the store kept only some of them
  Attributes attributes;
  std::vector<SpanEvent> events;
};

} // namespace coalmine
