// Finds whole traces, and spans that match a filter, in the embedded store or another trace store.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <utility>
#include <vector>

#include "base/result.h"
#include "telemetry/failure_rule.h"
#include "telemetry/stored_span.h"

namespace coalmine::trace {

// Thread-safe; a call may block as long as the store takes. unavailable: the store cannot be
// reached, which is not "no spans".
class TraceSource {
 public:
  virtual ~TraceSource() = default;
  // Newest first by span start.
  virtual Result<std::vector<StoredSpan>> find_spans(const SpanFilter& filter) const = 0;
  // All spans of a trace by start time; empty when the trace is unknown.
  virtual Result<std::vector<StoredSpan>> trace(const TraceId& id) const = 0;
  // Several at once, in the order of ids.
  virtual Result<std::vector<std::vector<StoredSpan>>> traces(std::span<const TraceId> ids) const {
    std::vector<std::vector<StoredSpan>> out;
    for (const auto& id : ids) {
      TRY_ASSIGN(auto spans, trace(id));
      out.push_back(std::move(spans));
    }
    return out;
  }
  // By which find_spans knows what failed.
  virtual const FailureRules& failures() const = 0;
};

} // namespace coalmine::trace
