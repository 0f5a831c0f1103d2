// The small values of the config file: durations, shares and margins. Pure; any thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace coalmine::config {

// duration = part *( [space] part )   part = number ("ms" | "s" | "m" | "h" | "d")      10m, 1h30m,
// 1h 30m, 1.5h At most ten years. Empty: not a duration.
std::optional<std::int64_t> parse_duration(std::string_view text);

// percent = number "%"      5%, 0.5%; the share, 0.05. Negative numbers are not percents.
std::optional<double> parse_percent(std::string_view text);

// bytes = number [ "B" | "KB" | "MB" | "GB" | "TB" | "KiB" | "MiB" | "GiB" | "TiB" ]
std::optional<std::uint64_t> parse_bytes(std::string_view text);

// margin = ("+" | "-") number ("pp" | "%" | "ms" | "s" | "B" | "KB" | "MB" | "/s")
struct MarginText {
  bool worse_is_up = true; // the sign
  double amount = 0;       // as written, not negative
  std::string unit;
};
struct MarginProblem {
  enum class Kind { bare_number, no_sign, malformed } kind = Kind::malformed;
  double number = 0; // bare_number, no_sign: what was written
};
// The margin, or what is wrong with it in problem.
std::optional<MarginText> parse_margin(std::string_view text, MarginProblem& problem);

// A plain decimal number ("0.10", "-3"), all of the text.
std::optional<double> parse_number(std::string_view text);

// 1h30m, 10m, 500ms: the shortest form parse_duration reads back.
std::string duration_text(std::int64_t ms);
// 5%, 0.5%: at most four decimals.
std::string percent_text(double share);

} // namespace coalmine::config
