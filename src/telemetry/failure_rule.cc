// SPDX-License-Identifier: Apache-2.0
#include "telemetry/failure_rule.h"

#include <algorithm>
#include <charconv>

namespace coalmine {
namespace {

constexpr int kClass = 100; // statuses in a class

std::optional<int> parse_code(std::string_view text) {
  int code = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), code);
  if (error != std::errc() || end != text.data() + text.size() || text.size() != 3 ||
      code < kClass || code >= 6 * kClass)
    return std::nullopt;
  return code;
}

bool names(const std::vector<StatusRange>& ranges, HttpStatus status) {
  const int last = status.whole_class ? status.code + kClass - 1 : status.code;
  return std::ranges::any_of(ranges, [&](const StatusRange& range) {
    return range.first <= status.code && last <= range.last;
  });
}

} // namespace

std::optional<StatusRange> parse_status_range(std::string_view text) {
  if (text.size() == 3 && (text.ends_with("xx") || text.ends_with("XX"))) {
    const auto first = parse_code(std::string(1, text[0]) + "00");
    if (!first) return std::nullopt;
    return StatusRange{*first, *first + kClass - 1};
  }
  const auto dash = std::min(text.find('-'), text.size());
  const auto first = parse_code(text.substr(0, dash));
  const auto last = dash == text.size() ? first : parse_code(text.substr(dash + 1));
  if (!first || !last || *first > *last) return std::nullopt;
  return StatusRange{*first, *last};
}

std::string to_text(const StatusRange& range) {
  if (range.first == range.last) return std::to_string(range.first);
  if (range.first % kClass == 0 && range.last == range.first + kClass - 1)
    return std::to_string(range.first / kClass) + "xx";
  return std::to_string(range.first) + "-" + std::to_string(range.last);
}

std::optional<bool> FailureRule::says(HttpStatus status) const {
  if (status.code == 0) return std::nullopt;
  if (names(also, status)) return true;
  if (names(except, status)) return false;
  return std::nullopt;
}

const FailureRule& FailureRules::of(std::string_view service) const {
  static const FailureRule kNothingSaid;
  const auto it = of_services_.find(service);
  return it == of_services_.end() ? kNothingSaid : it->second;
}

} // namespace coalmine
