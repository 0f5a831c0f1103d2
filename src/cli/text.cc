// SPDX-License-Identifier: Apache-2.0
#include "cli/text.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <ctime>
#include <utility>

#include "base/text.h"

namespace coalmine::cli {
namespace {

std::tm broken_down(std::int64_t unix_ms, bool utc) {
  const std::time_t seconds = static_cast<std::time_t>(unix_ms / 1000);
  std::tm parts{};
  if (utc) {
    gmtime_r(&seconds, &parts);
  } else {
    localtime_r(&seconds, &parts);
  }
  return parts;
}

std::string strftime_text(const char* pattern, std::int64_t unix_ms, bool utc) {
  const std::tm parts = broken_down(unix_ms, utc);
  std::array<char, 64> buffer{};
  const std::size_t size = std::strftime(buffer.data(), buffer.size(), pattern, &parts);
  return {buffer.data(), size};
}

std::string without_trailing_zeros(std::string text) {
  if (text.find('.') == std::string::npos) return text;
  while (text.ends_with('0')) text.pop_back();
  if (text.ends_with('.')) text.pop_back();
  return text;
}

} // namespace

std::string grouped(double count) {
  const std::string digits = fmt::format("{:.0f}", std::fabs(count));
  std::string out;
  if (count <= -0.5) out.push_back('-');
  for (std::size_t i = 0; i < digits.size(); ++i) {
    if (i > 0 && (digits.size() - i) % 3 == 0) out.push_back(',');
    out.push_back(digits[i]);
  }
  return out;
}

std::string ratio_text(double ratio) { return fmt::format("{:.2f}%", ratio * 100); }

std::string millis_text(double ms) {
  if (std::fabs(ms) >= 10'000) return fmt::format("{:.1f} s", ms / 1000);
  if (std::fabs(ms) >= 1000) return fmt::format("{:.2f} s", ms / 1000);
  return std::fabs(ms) < 10 ? fmt::format("{:.1f} ms", ms) : fmt::format("{:.0f} ms", ms);
}

std::string signed_points(double difference) { return fmt::format("{:+.2f}pp", difference * 100); }
std::string signed_percent(double relative) { return fmt::format("{:+.1f}%", relative * 100); }
std::string plain_number(double value) {
  return without_trailing_zeros(fmt::format("{:.3f}", value));
}
std::string share_text(double share) {
  // Little is not nothing.
  if (share > 0 && share < 0.00005) return fmt::format("{:.2g}%", share * 100);
  return without_trailing_zeros(fmt::format("{:.2f}", share * 100)) + "%";
}

std::string minutes_seconds(std::int64_t ms) {
  const std::int64_t seconds = std::max<std::int64_t>(ms, 0) / 1000;
  if (seconds >= 3600)
    return fmt::format("{}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
  return fmt::format("{}:{:02}", seconds / 60, seconds % 60);
}

std::string short_duration(std::int64_t ms) {
  if (ms <= 0) return "0s";
  std::string text;
  constexpr std::array<std::pair<std::string_view, std::int64_t>, 5> kParts{
      {{"d", 24LL * 3600 * 1000}, {"h", 3600 * 1000}, {"m", 60 * 1000}, {"s", 1000}, {"ms", 1}}};
  for (const auto& [name, size] : kParts) {
    if (ms >= size) text += fmt::format("{}{}", ms / size, name);
    ms %= size;
  }
  return text;
}

std::string clock_text(std::int64_t unix_ms, bool utc) {
  return strftime_text("%H:%M:%S", unix_ms, utc);
}
std::string date_text(std::int64_t unix_ms, bool utc) {
  return strftime_text("%Y-%m-%d %H:%M:%S", unix_ms, utc);
}

std::int64_t parse_typed_duration(std::string_view text) {
  constexpr std::array<std::pair<std::string_view, double>, 5> kUnits{
      {{"ms", 1}, {"s", 1e3}, {"m", 60e3}, {"h", 3600e3}, {"d", 86400e3}}};
  double total = 0;
  if (text.empty()) return -1;
  while (!text.empty()) {
    double number = 0;
    const auto [end, error] =
        std::from_chars(text.data(), text.data() + text.size(), number, std::chars_format::fixed);
    if (error != std::errc{} || number < 0) return -1;
    text.remove_prefix(static_cast<std::size_t>(end - text.data()));
    const auto* unit = std::find_if(kUnits.begin(), kUnits.end(),
                                    [&](const auto& u) { return text.starts_with(u.first); });
    if (unit == kUnits.end()) return -1;
    text.remove_prefix(unit->first.size());
    total += number * unit->second;
  }
  return total > 1e13 ? -1 : static_cast<std::int64_t>(std::llround(total));
}

std::string harmless(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    const auto following = i + 1 < text.size() ? static_cast<unsigned char>(text[i + 1]) : 0;
    if (byte == 0xc2 && following >= 0x80 &&
        following <= 0x9f) { // the 8-bit control characters, as UTF-8
      out += '?';
      ++i;
    } else {
      out += byte == '\n' || byte == '\t' ? ' ' : (byte < 0x20 || byte == 0x7f) ? '?' : text[i];
    }
  }
  return out;
}

std::string table(const std::vector<Column>& columns,
                  const std::vector<std::vector<std::string>>& rows) {
  std::vector<std::size_t> widths;
  for (std::size_t c = 0; c < columns.size(); ++c) {
    std::size_t widest = width(columns[c].title);
    for (const auto& row : rows) widest = std::max(widest, width(row[c]));
    widths.push_back(widest);
  }
  std::string out;
  const auto add = [&](const auto& cell_of) {
    std::string line;
    for (std::size_t c = 0; c < columns.size(); ++c) {
      if (c > 0) line += "  ";
      const std::string cell = cell_of(c);
      line += columns[c].align == Align::left ? pad(cell, widths[c]) : pad_left(cell, widths[c]);
    }
    while (line.ends_with(' ')) line.pop_back();
    out += line + "\n";
  };
  add([&](std::size_t c) { return columns[c].title; });
  for (const auto& row : rows) add([&](std::size_t c) { return row[c]; });
  return out;
}

} // namespace coalmine::cli
