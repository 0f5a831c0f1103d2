// A span as a trace store returns it, and the filter that asks for spans.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "telemetry/batch.h"
#include "telemetry/span.h"

namespace coalmine {

struct StoredSpan {
  Span span;
  std::vector<LogRecord> logs; // exception logs of this span
};

struct SpanFilter {
  std::string service; // required
  std::optional<std::string> version;
  std::optional<std::string> track;
  bool errors_only = false; // spans that failed (outcome.h)
  // Name and value. The span must have an attribute of that name whose text form (to_text) is the
  // value. Where the span has no attribute of that name, its resource must have it.
  std::vector<std::pair<std::string, std::string>> attributes;
  std::int64_t from_ms = 0; // by span start
  std::int64_t to_ms = INT64_MAX;
  std::size_t limit = 20; // spans of distinct traces
};

} // namespace coalmine
