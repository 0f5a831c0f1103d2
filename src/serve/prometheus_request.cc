// SPDX-License-Identifier: Apache-2.0
#include "serve/prometheus_request.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <optional>

#include "promql/syntax/go_text.h"
#include "promql/syntax/series_matcher.h"

namespace coalmine::serve {
namespace {

constexpr std::int64_t kMaxPoints = 11'000;
// Beyond the year 30,000 either way: sums of times, ranges and offsets stay far from the ends of an
// int64.
constexpr std::int64_t kFarthestMs = 900'000'000'000'000;

std::optional<std::int64_t> parsed_number(std::string_view text) {
  std::int64_t value = 0;
  if (text.starts_with('+')) text.remove_prefix(1);
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

Checked<std::int64_t> required_time(const Parameters& parameters, std::string_view name) {
  const auto time = promql::parse_time_ms(parameters.get(name));
  if (!time) return std::unexpected(invalid_parameter(name, time.error().message));
  return std::clamp(*time, -kFarthestMs, kFarthestMs);
}

// UTF-8 of one code point; "" when there is no such.
std::string utf8_of(std::uint32_t code) {
  const auto tail = [&](int shift) { return static_cast<char>(0x80 | (code >> shift & 0x3f)); };
  if (code < 0x80) return {static_cast<char>(code)};
  if (code < 0x800) return {static_cast<char>(0xc0 | code >> 6), tail(0)};
  if (code >= 0xd800 && code < 0xe000) return {};
  if (code < 0x10000) return {static_cast<char>(0xe0 | code >> 12), tail(6), tail(0)};
  if (code < 0x110000) return {static_cast<char>(0xf0 | code >> 18), tail(12), tail(6), tail(0)};
  return {};
}

} // namespace

std::string invalid_parameter(std::string_view name, std::string_view why) {
  return fmt::format("invalid parameter \"{}\": {}", name, why);
}

Checked<std::int64_t> time_of(const Parameters& parameters, std::string_view name,
                              std::int64_t fallback) {
  const auto text = parameters.get(name);
  if (text.empty()) return fallback;
  const auto time = promql::parse_time_ms(text);
  if (!time)
    return std::unexpected(invalid_parameter(
        name, fmt::format("invalid time value for '{}': {}", name, time.error().message)));
  return std::clamp(*time, -kFarthestMs, kFarthestMs);
}

Checked<std::size_t> limit_of(const Parameters& parameters) {
  const auto text = parameters.get("limit");
  if (text.empty()) return 0;
  const auto value = parsed_number(text);
  if (!value)
    return std::unexpected(invalid_parameter(
        "limit", fmt::format("strconv.Atoi: parsing {}: invalid syntax", promql::go_quote(text))));
  if (*value < 0) return std::unexpected(invalid_parameter("limit", "limit must be non-negative"));
  return static_cast<std::size_t>(*value);
}

Checked<RangeTimes> range_times(const Parameters& parameters) {
  const auto start = required_time(parameters, "start");
  if (!start) return std::unexpected(start.error());
  const auto end = required_time(parameters, "end");
  if (!end) return std::unexpected(end.error());
  if (*end < *start)
    return std::unexpected(invalid_parameter("end", "end timestamp must not be before start time"));
  const auto step = promql::parse_duration_ms(parameters.get("step"));
  if (!step) return std::unexpected(invalid_parameter("step", step.error().message));
  if (*step <= 0) {
    return std::unexpected(invalid_parameter(
        "step",
        "zero or negative query resolution step widths are not accepted. Try a positive integer"));
  }
  if ((*end - *start) / *step > kMaxPoints) {
    return std::unexpected(
        "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query "
        "resolution (?step=XX)");
  }
  return RangeTimes{*start, *end, *step};
}

Checked<promql::EvalOptions> eval_options(const Parameters& parameters, std::int64_t timeout_ms,
                                          const Clock& clock) {
  promql::EvalOptions out;
  if (const auto text = parameters.get("timeout"); !text.empty()) {
    const auto asked = promql::parse_duration_ms(text);
    if (!asked) return std::unexpected(invalid_parameter("timeout", asked.error().message));
    timeout_ms = std::clamp<std::int64_t>(*asked, 0, timeout_ms);
  }
  if (const auto text = parameters.get("lookback_delta"); !text.empty()) {
    const auto back = promql::parse_duration_ms(text);
    if (!back)
      return std::unexpected("error parsing lookback delta duration: " + back.error().message);
    if (*back > 0) out.lookback_ms = std::min(*back, kFarthestMs);
  }
  out.column_plans = parameters.get("column_plans") != "off";
  out.deadline_steady_ms = clock.steady_ms() + timeout_ms;
  return out;
}

Checked<std::vector<promql::Selection>> selections(const Parameters& parameters) {
  const auto from = time_of(parameters, "start", -kFarthestMs);
  if (!from) return std::unexpected(from.error());
  const auto to = time_of(parameters, "end", kFarthestMs);
  if (!to) return std::unexpected(to.error());
  std::vector<promql::Selection> out;
  for (const auto& text : parameters.all("match[]")) {
    auto matchers = promql::parse_selector(text);
    if (!matchers) return std::unexpected(invalid_parameter("match[]", matchers.error().message));
    if (std::ranges::all_of(*matchers, promql::SeriesMatcher::matches_empty)) {
      return std::unexpected(
          invalid_parameter("match[]", "match[] must contain at least one non-empty matcher"));
    }
    out.push_back({.matchers = std::move(*matchers), .from_ms = *from, .to_ms = *to});
  }
  if (out.empty()) out.push_back({.matchers = {}, .from_ms = *from, .to_ms = *to});
  return out;
}

// Escaped: letters, digits, "__" for an underscore, "_hex_" for any other code point.
std::string unescaped_label_name(std::string_view name) {
  if (!name.starts_with("U__")) return std::string(name);
  std::string out;
  for (auto rest = name.substr(3); !rest.empty();) {
    if (rest[0] != '_') {
      out += rest[0];
      rest.remove_prefix(1);
      continue;
    }
    const auto end = rest.find('_', 1);
    if (end == std::string_view::npos) return std::string(name);
    const auto hex = rest.substr(1, end - 1);
    rest.remove_prefix(end + 1);
    if (hex.empty()) {
      out += '_';
      continue;
    }
    std::uint32_t code = 0;
    const auto [at, error] = std::from_chars(hex.data(), hex.data() + hex.size(), code, 16);
    const auto letter = utf8_of(code);
    if (error != std::errc() || at != hex.data() + hex.size() || letter.empty())
      return std::string(name);
    out += letter;
  }
  return out;
}

} // namespace coalmine::serve
