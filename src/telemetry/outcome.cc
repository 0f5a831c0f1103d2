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

bool is_failed(SpanKind kind, StatusCode status, int http_status) {
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
    if (!is_status || http_status_of(pair.value) < kServerError) continue;
    if (server_errors_.empty()) server_errors_.resize(table.pairs.size());
    server_errors_[i] = true;
  }
}

bool FailedRows::has(const SpanTable::Row& row) const {
  if (server_errors_.empty() || row.status != StatusCode::unset || row.kind != SpanKind::server)
    return row.status == StatusCode::error;
  return std::ranges::any_of(table_.list(row.attributes),
                             [&](std::uint32_t pair) { return server_errors_[pair]; });
}

} // namespace coalmine
