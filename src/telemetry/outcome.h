// How a request ended: whether it failed, and whether it was answered as the client's error. One
// answer for error counts, for the list of failures and for what is kept.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "telemetry/failure_rule.h"
#include "telemetry/labels.h"
#include "telemetry/span.h"
#include "telemetry/span_table.h"

namespace coalmine {

// The HTTP status as a number or as text; 0 when the value is none.
int http_status_of(const AttributeValue& value);
// Knows both generations of the semantic conventions; 0 when there is none.
int http_status_of(const Attributes& attributes);
// As a label says it: a code, or a class like "5xx".
HttpStatus http_status_of_text(std::string_view text);
// The HTTP status in the labels of a counter of requests, which libraries name in many ways.
HttpStatus http_status_of(const Labels& labels);

// Whether requests that a metric counts under this status and error.type failed: as the service's
// rule says of the status. Where it says nothing: with a status of 500 or above, or with an
// error.type and neither status nor type a 4xx code. 4xx is the client's error, whatever the
// exception behind it. An error.type of three digits is a status where no other is known.
bool is_failed(HttpStatus status, std::string_view error_type, const FailureRule& rule);
inline bool is_client_error(HttpStatus status) { return status.code >= 400 && status.code < 500; }

// Beside the three request metrics of telemetry/sample.h: answers of 4xx that are no errors.
// Derived where HTTP statuses are known, from 0 on.
inline constexpr std::string_view kClientErrorsName = "http_server_request_client_errors_total";

// Beside them as well: spans that are marked as kept by a sampler at the tail, which looks at how a
// request ended before it keeps it, and that do not say how many they stand for. Derived from the
// first one on.
inline constexpr std::string_view kTailSampledName = "http_server_request_tail_sampled_total";

// The attribute by which a span is known as kept by a sampler at the tail: the collector's
// tail_sampling processor writes such attributes on the scope, Refinery on the span.
bool is_tail_sampling_mark(std::string_view attribute);

// What the HTTP status says of requests beside whether they failed.
enum class Answer : std::uint8_t {
  unknown,      // no status is known
  client_error, // 4xx, and not counted as failed
  other,
};
inline Answer answer_of(HttpStatus status, bool failed) {
  if (status.code == 0) return Answer::unknown;
  return is_client_error(status) && !failed ? Answer::client_error : Answer::other;
}

// A server span fails as the rule of its service says of its HTTP status. Where that says nothing:
// status ERROR fails and status OK does not, but what a server answered with 4xx never fails.
// Without a status (many proxies and frameworks set none), a server span fails when its HTTP status
// is 500 or above.
bool is_failed(SpanKind kind, StatusCode status, HttpStatus http_status, const FailureRule& rule);
// By the rule of its resource's service.
bool is_failed(const Span& span, const FailureRules& rules);

// The same for the rows of a table. Each distinct attribute is looked at once. The table and the
// rules must outlive it.
class FailedRows {
 public:
  FailedRows(const SpanTable& table, const FailureRules& rules);
  bool has(const SpanTable::Row& row) const;

 private:
  struct Known { // of an attribute
    int status = 0;
    bool old_name = false;
  };
  int status_of(const SpanTable::Row& row) const;

  const SpanTable& table_;
  std::vector<const FailureRule*> rules_; // by resource
  // By pair: the HTTP statuses that may decide; 0: another attribute. Empty: all are 0.
  std::vector<Known> statuses_;
};

} // namespace coalmine
