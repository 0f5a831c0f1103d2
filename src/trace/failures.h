// Finds the failing traces of one version, newest first, like the seed's find_canary_failures.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/result.h"
#include "trace/trace_source.h"

namespace coalmine::trace {

struct FailedSpan {
  std::string name;
  std::string exception_type; // from the event named "exception" (last one), else from an exception
                              // log record of the span
  std::string exception_message;
};

struct Failure {
  TraceId trace_id{};
  std::int64_t time_ms = 0; // start of the entry span
  std::string error; // status message, else exception message, else error.type, else "HTTP <code>"
  double duration_ms = 0; // of the entry span
  // http.route, else the route in the entry span's name, else that name; "unknown" when neither
  std::string endpoint;
  std::string version;
  std::string track;
  std::vector<FailedSpan> failed_spans; // deepest first: the span that caused the failure leads
};

struct FailureFilter {
  std::string service;
  std::string version; // "" any
  std::string track;   // "" any
  std::int64_t from_ms = 0;
  std::int64_t to_ms = INT64_MAX;
  std::size_t limit = 20;
  // Asked now and then; once it is true the search fails with deadline_exceeded. May be empty.
  std::function<bool()> give_up{};
};

Result<std::vector<Failure>> find_failures(const TraceSource& traces, const FailureFilter& filter);

} // namespace coalmine::trace
