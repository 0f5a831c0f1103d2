// SPDX-License-Identifier: Apache-2.0
#include "config/config_values.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <utility>

namespace coalmine::config {
namespace {

constexpr double kLongestMs = 3660.0 * 24 * 3600 * 1000; // ten years

struct UnitMs {
  std::string_view name;
  double ms;
};
// "ms" before "m": the longer name is tried first.
constexpr std::array<UnitMs, 5> kUnits{
    {{"ms", 1}, {"s", 1000}, {"m", 60e3}, {"h", 3600e3}, {"d", 24 * 3600e3}}};

// Takes digits[.digits] off the front.
std::optional<double> take_number(std::string_view& text) {
  if (text.empty() || text[0] < '0' || text[0] > '9') return std::nullopt;
  double value = 0;
  const auto [end, error] =
      std::from_chars(text.data(), text.data() + text.size(), value, std::chars_format::fixed);
  if (error != std::errc{}) return std::nullopt;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  return value;
}

void skip_spaces(std::string_view& text) {
  while (!text.empty() && text[0] == ' ') text.remove_prefix(1);
}

std::string short_number(double value) {
  std::string text = fmt::format("{:.4f}", value);
  while (text.ends_with('0')) text.pop_back();
  if (text.ends_with('.')) text.pop_back();
  return text;
}

} // namespace

std::optional<std::int64_t> parse_duration(std::string_view text) {
  double total = 0;
  bool any = false;
  while (!text.empty()) {
    const auto number = take_number(text);
    if (!number) return std::nullopt;
    const auto* unit = std::find_if(kUnits.begin(), kUnits.end(),
                                    [&](const UnitMs& u) { return text.starts_with(u.name); });
    if (unit == kUnits.end()) return std::nullopt;
    text.remove_prefix(unit->name.size());
    total += *number * unit->ms;
    any = true;
    if (total > kLongestMs) return std::nullopt;
    const bool spaced = text.starts_with(' ');
    skip_spaces(text);
    if (spaced && text.empty()) return std::nullopt;
  }
  if (!any) return std::nullopt;
  return static_cast<std::int64_t>(std::llround(total));
}

std::optional<double> parse_percent(std::string_view text) {
  const auto number = take_number(text);
  if (!number || text != "%") return std::nullopt;
  return *number / 100;
}

std::optional<std::uint64_t> parse_bytes(std::string_view text) {
  const auto number = take_number(text);
  if (!number) return std::nullopt;
  skip_spaces(text);
  constexpr std::array<std::pair<std::string_view, double>, 10> kSizes{{{"", 1},
                                                                        {"B", 1},
                                                                        {"KB", 1e3},
                                                                        {"MB", 1e6},
                                                                        {"GB", 1e9},
                                                                        {"TB", 1e12},
                                                                        {"KiB", 1024.0},
                                                                        {"MiB", 1048576.0},
                                                                        {"GiB", 1073741824.0},
                                                                        {"TiB", 1099511627776.0}}};
  for (const auto& [name, factor] : kSizes) {
    if (text == name && *number * factor < 9e18)
      return static_cast<std::uint64_t>(*number * factor);
  }
  return std::nullopt;
}

std::optional<double> parse_number(std::string_view text) {
  const bool negative = text.starts_with('-');
  if (negative || text.starts_with('+')) text.remove_prefix(1);
  if (text.starts_with('.')) return std::nullopt;
  const auto number = take_number(text);
  if (!number || !text.empty()) return std::nullopt;
  return negative ? -*number : *number;
}

std::optional<MarginText> parse_margin(std::string_view text, MarginProblem& problem) {
  problem = {};
  if (const auto bare = parse_number(text)) {
    problem = {MarginProblem::Kind::bare_number, std::fabs(*bare)};
    return std::nullopt;
  }
  MarginText margin;
  const bool has_sign = text.starts_with('+') || text.starts_with('-');
  margin.worse_is_up = !text.starts_with('-');
  if (has_sign) text.remove_prefix(1);
  const auto number = take_number(text);
  constexpr std::array<std::string_view, 8> kMarginUnits{"pp", "%",  "ms", "s",
                                                         "B",  "KB", "MB", "/s"};
  if (!number || std::find(kMarginUnits.begin(), kMarginUnits.end(), text) == kMarginUnits.end())
    return std::nullopt;
  if (!has_sign) {
    problem = {MarginProblem::Kind::no_sign, *number};
    return std::nullopt;
  }
  margin.amount = *number;
  margin.unit = std::string(text);
  return margin;
}

std::string duration_text(std::int64_t ms) {
  if (ms == 0) return "0s";
  std::string text;
  constexpr std::array<std::pair<std::string_view, std::int64_t>, 5> kParts{
      {{"d", 24LL * 3600 * 1000}, {"h", 3600 * 1000}, {"m", 60 * 1000}, {"s", 1000}, {"ms", 1}}};
  for (const auto& [name, size] : kParts) {
    if (ms >= size) text += fmt::format("{}{}", ms / size, name);
    ms %= size;
  }
  return text;
}

std::string percent_text(double share) { return short_number(share * 100) + "%"; }

} // namespace coalmine::config
