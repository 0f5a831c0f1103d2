// Finds whole traces, and spans that match a filter, in the embedded store or another trace store.
// SPDX-License-Identifier: Apache-2.0
#pragma once

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
  // By which find_spans knows what failed.
  virtual const FailureRules& failures() const = 0;
};

} // namespace coalmine::trace
