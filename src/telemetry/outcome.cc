// SPDX-License-Identifier: Apache-2.0
#include "telemetry/outcome.h"

#include <algorithm>
#include <array>
#include <charconv>

namespace coalmine {
namespace {

constexpr std::array<std::string_view, 2> kStatusNames = {"http.response.status_code",
                                                          "http.status_code"};
constexpr int kServerError = 500;

bool is_digit(char c) { return c >= '0' && c <= '9'; }

} // namespace

int http_status_of(const AttributeValue& value) {
  if (const auto* number = std::get_if<std::int64_t>(&value))
    return *number > 0 && *number < 1000 ? static_cast<int>(*number) : 0;
  const std::string text = to_text(value);
  int code = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), code);
  return error == std::errc() && end == text.data() + text.size() ? code : 0;
}

int http_status_of(const Attributes& attributes) {
  for (const auto name : kStatusNames) {
    const auto* value = find_attribute(attributes, name);
    if (value == nullptr) continue;
    if (const int code = http_status_of(*value);
        code != 0 || std::holds_alternative<std::int64_t>(*value))
      return code;
  }
  return 0;
}

bool is_tail_sampling_mark(std::string_view attribute) {
  return attribute.starts_with("tailsampling.") || attribute == "meta.refinery.reason";
}

HttpStatus http_status_of_text(std::string_view text) {
  if (text.size() != 3 || text[0] < '1' || text[0] > '5') return {};
  const int hundreds = (text[0] - '0') * 100;
  const auto rest = text.substr(1);
  if (rest == "xx" || rest == "XX") return {hundreds, true};
  if (!std::ranges::all_of(rest, is_digit)) return {};
  return hundreds + (rest[0] - '0') * 10 + (rest[1] - '0');
}

HttpStatus http_status_of(const Labels& labels) {
  for (const std::string_view name : {"http_response_status_code", "http_status_code",
                                      "status_code", "http_status", "status", "code"}) {
    if (const auto status = http_status_of_text(labels.get(name)); status.code != 0) return status;
  }
  return {};
}

bool is_failed(HttpStatus status, std::string_view error_type, const FailureRule& rule) {
  const auto type = http_status_of_text(error_type);
  if (const auto said = rule.says(status.code != 0 ? status : type)) return *said;
  if (status.code >= 400) return status.code >= kServerError;
  return !error_type.empty() && !is_client_error(type);
}

bool is_failed(SpanKind kind, StatusCode status, HttpStatus http_status, const FailureRule& rule) {
  if (kind == SpanKind::server) {
    if (const auto said = rule.says(http_status)) return *said;
    if (is_client_error(http_status)) return false;
  }
  if (status != StatusCode::unset) return status == StatusCode::error;
  return kind == SpanKind::server && http_status.code >= kServerError;
}

bool is_failed(const Span& span, const FailureRules& rules) {
  const auto* resource = span.resource.get();
  return is_failed(span.kind, span.status, http_status_of(span.attributes),
                   rules.of(resource == nullptr ? "" : std::string_view(resource->service)));
}

FailedRows::FailedRows(const SpanTable& table, const FailureRules& rules) : table_(table) {
  for (const auto& resource : table.resources) rules_.push_back(&rules.of(resource->service));
  const int least = rules.empty() ? 400 : 1;
  for (std::size_t i = 0; i < table.pairs.size(); ++i) {
    const auto& pair = table.pairs[i];
    const auto name = std::ranges::find(kStatusNames, table.texts[pair.key]);
    const int status = name != kStatusNames.end() ? http_status_of(pair.value) : 0;
    if (status < least) continue;
    if (statuses_.empty()) statuses_.resize(table.pairs.size());
    statuses_[i] = {status, name != kStatusNames.begin()};
  }
}

// As http_status_of(attributes): the newer name comes first.
int FailedRows::status_of(const SpanTable::Row& row) const {
  if (statuses_.empty() || row.kind != SpanKind::server) return 0;
  int by_old_name = 0;
  for (const auto pair : table_.list(row.attributes)) {
    const auto& known = statuses_[pair];
    if (known.status == 0) continue;
    if (!known.old_name) return known.status;
    if (by_old_name == 0) by_old_name = known.status;
  }
  return by_old_name;
}

bool FailedRows::has(const SpanTable::Row& row) const {
  return is_failed(row.kind, row.status, status_of(row), *rules_[row.resource]);
}

} // namespace coalmine
