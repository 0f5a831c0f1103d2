// Whether a span failed: one answer for error counts, for the list of failures and for what is
// kept.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "telemetry/span.h"
#include "telemetry/span_table.h"

namespace coalmine {

// The HTTP status as a number or as text; 0 when the value is none.
int http_status_of(const AttributeValue& value);
// Knows both generations of the semantic conventions; 0 when there is none.
int http_status_of(const Attributes& attributes);

// Status ERROR fails and status OK does not. Without a status (many proxies and frameworks set
// none), a server span fails when its HTTP status is 500 or above.
bool is_failed(SpanKind kind, StatusCode status, int http_status);
bool is_failed(const Span& span);

// The same for the rows of a table. Each distinct attribute is looked at once. The table must
// outlive it.
class FailedRows {
 public:
  explicit FailedRows(const SpanTable& table);
  bool has(const SpanTable::Row& row) const;

 private:
  const SpanTable& table_;
  std::vector<bool> server_errors_; // by pair; empty: no pair is an HTTP status of 500 or above
};

} // namespace coalmine
