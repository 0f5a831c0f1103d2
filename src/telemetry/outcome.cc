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

int http_status_of_text(std::string_view text) {
  if (text.size() != 3 || text[0] < '1' || text[0] > '5') return 0;
  const int hundreds = (text[0] - '0') * 100;
  const auto rest = text.substr(1);
  if (rest == "xx" || rest == "XX") return hundreds;
  if (!std::ranges::all_of(rest, is_digit)) return 0;
  return hundreds + (rest[0] - '0') * 10 + (rest[1] - '0');
}

int http_status_of(const Labels& labels) {
  for (const std::string_view name : {"http_response_status_code", "http_status_code",
                                      "status_code", "http_status", "status", "code"}) {
    if (const int status = http_status_of_text(labels.get(name)); status != 0) return status;
  }
  return 0;
}

bool is_failed(int http_status, std::string_view error_type) {
  if (http_status >= 400) return http_status >= kServerError;
  const bool client_error =
      error_type.size() == 3 && error_type[0] == '4' && std::ranges::all_of(error_type, is_digit);
  return !error_type.empty() && !client_error;
}

bool is_failed(SpanKind kind, StatusCode status, int http_status) {
  if (kind == SpanKind::server && is_client_error(http_status)) return false;
  if (status != StatusCode::unset) return status == StatusCode::error;
  return kind == SpanKind::server && http_status >= kServerError;
}

bool is_failed(const Span& span) {
  return is_failed(span.kind, span.status, http_status_of(span.attributes));
}

FailedRows::FailedRows(const SpanTable& table) : table_(table) {
  for (std::size_t i = 0; i < table.pairs.size(); ++i) {
    const auto& pair = table.pairs[i];
    const bool is_status =
        std::ranges::find(kStatusNames, table.texts[pair.key]) != kStatusNames.end();
    const int status = is_status ? http_status_of(pair.value) : 0;
    if (status < 400) continue;
    if (bad_status_.empty()) bad_status_.resize(table.pairs.size());
    bad_status_[i] = status;
  }
}

bool FailedRows::has(const SpanTable::Row& row) const {
  int http_status = 0;
  if (!bad_status_.empty() && row.kind == SpanKind::server) {
    for (const auto pair : table_.list(row.attributes)) {
      if (bad_status_[pair] != 0) http_status = bad_status_[pair];
    }
  }
  return is_failed(row.kind, row.status, http_status);
}

} // namespace coalmine
