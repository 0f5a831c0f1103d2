// Numbers, times and columns as the terminal shows them. Pure.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace coalmine::cli {

std::string grouped(double count);            // 40,660
std::string ratio_text(double ratio);         // 9.70%
std::string millis_text(double ms);           // 190 ms, 1.2 s
std::string signed_points(double difference); // +8.90pp
std::string signed_percent(double relative);  // +4.4%
std::string plain_number(double value);       // shortest, at most three decimals: 212, 212.5
std::string minutes_seconds(std::int64_t ms); // 3:10, 1:02:03
std::string short_duration(std::int64_t ms);  // 10m, 1h30m, 45s, 500ms
std::string share_text(double share);         // 5%, 12.5%

// 14:03:15 and 2026-11-22 14:03:15, in local time or UTC.
std::string clock_text(std::int64_t unix_ms, bool utc);
std::string date_text(std::int64_t unix_ms, bool utc);

// A duration a user typed (10m, 1h30m, 90s, 500ms); -1 for any other text.
std::int64_t parse_typed_duration(std::string_view text);

// The text with control characters (escape sequences of telemetry) made harmless.
std::string harmless(std::string_view text);

enum class Align { left, right };
struct Column {
  std::string title;
  Align align = Align::left;
};
// Rows under titles, two spaces between columns; no trailing spaces.
std::string table(const std::vector<Column>& columns,
                  const std::vector<std::vector<std::string>>& rows);

} // namespace coalmine::cli
