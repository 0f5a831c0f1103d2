// Reads and writes numbers, strings and durations like the Go programs around Prometheus.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace coalmine::promql {

// Shortest decimal without exponent: 0.005, 10000, +Inf, -Inf, NaN. Used for le labels and
// count_values.
std::string format_decimal(double value);
// Go's %g: shortest, with an exponent below 1e-4 and from 1e6.
std::string format_general(double value);

// Go's strconv.Quote, and the same without the quotes.
std::string go_quote(std::string_view text);
std::string go_quote_inner(std::string_view text, char quote);

// One escape sequence at the start of text (which starts with a backslash), inside the given
// quotes.
struct EscapeResult {
  std::size_t length = 0;
  std::string bytes; // the bytes of the escaped character
  std::string error; // "" when it is valid
};
EscapeResult check_escape(std::string_view text, char quote);
// The content of a quoted literal that the lexer accepted; nullopt when it is malformed.
std::optional<std::string> unquote(std::string_view literal);

// 1h30m in milliseconds; units y w d h m s ms, each once, longest first. 0 is "0s".
Result<std::int64_t> parse_prometheus_duration(std::string_view text);
std::string format_prometheus_duration(std::int64_t ms);

// A number as PromQL writes it: decimal, 0x, leading-0 octal, exponent, _ between digits, Inf, NaN.
std::optional<double> parse_promql_number(std::string_view text);

} // namespace coalmine::promql
