// Which HTTP statuses count as errors: 5xx, unless a service says otherwise. Plain values; any
// thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace coalmine {

// As telemetry says it. A label may name only the class: "5xx".
struct HttpStatus {
  int code = 0; // of a class its lowest; 0: not known
  bool whole_class = false;
  constexpr HttpStatus() = default;
  constexpr HttpStatus(int code_in, bool whole_class_in = false)
      : code(code_in), whole_class(whole_class_in) {}
  bool operator==(const HttpStatus&) const = default;
};

struct StatusRange { // both ends included
  int first = 0;
  int last = 0;
  bool operator==(const StatusRange&) const = default;
};
// 429, 420-429 or 4xx. nullopt: none of these, or beyond 100 to 599.
std::optional<StatusRange> parse_status_range(std::string_view text);
std::string to_text(const StatusRange& range);

// What one service says of its statuses. Invariant: whatever asks whether a request failed asks
// with the rule of its service, so that what is counted as failed, what is listed as failed and
// what is kept for the list are the same requests.
struct FailureRule {
  std::vector<StatusRange> also;   // count as errors
  std::vector<StatusRange> except; // do not, though they are 5xx
  bool empty() const { return also.empty() && except.empty(); }
  // Whether requests with this status failed; nullopt: the rule says nothing about it. A class is
  // named by a rule only as a whole.
  std::optional<bool> says(HttpStatus status) const;
  bool operator==(const FailureRule&) const = default;
};

// The rules of all services that have one.
class FailureRules {
 public:
  using ByService = std::map<std::string, FailureRule, std::less<>>;
  FailureRules() = default;
  explicit FailureRules(ByService of_services) : of_services_(std::move(of_services)) {}
  const FailureRule& of(std::string_view service) const;
  bool empty() const { return of_services_.empty(); }

 private:
  ByService of_services_;
};

} // namespace coalmine
