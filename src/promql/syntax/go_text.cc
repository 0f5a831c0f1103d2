// SPDX-License-Identifier: Apache-2.0
#include "promql/syntax/go_text.h"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <limits>

#include "base/hex.h"
#include "base/text.h"

namespace coalmine::promql {
namespace {

const char* special(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "+Inf" : "-Inf";
  return nullptr;
}

void append_utf8(std::string& out, std::uint32_t rune) {
  if (rune < 0x80) {
    out += static_cast<char>(rune);
  } else if (rune < 0x800) {
    out += static_cast<char>(0xc0 | (rune >> 6));
    out += static_cast<char>(0x80 | (rune & 0x3f));
  } else if (rune < 0x10000) {
    out += static_cast<char>(0xe0 | (rune >> 12));
    out += static_cast<char>(0x80 | ((rune >> 6) & 0x3f));
    out += static_cast<char>(0x80 | (rune & 0x3f));
  } else {
    out += static_cast<char>(0xf0 | (rune >> 18));
    out += static_cast<char>(0x80 | ((rune >> 12) & 0x3f));
    out += static_cast<char>(0x80 | ((rune >> 6) & 0x3f));
    out += static_cast<char>(0x80 | (rune & 0x3f));
  }
}

int escape_code(char c) { return static_cast<int>(static_cast<unsigned char>(c)); }

EscapeResult escape_error(std::string message) { return EscapeResult{0, {}, std::move(message)}; }

// \ooo, \xhh, \uhhhh and \Uhhhhhhhh.
EscapeResult numeric_escape(std::string_view text) {
  const char kind = text[1];
  const bool octal = kind >= '0' && kind <= '7';
  const std::size_t first = octal ? 1 : 2;
  const std::size_t count = octal ? 3 : kind == 'x' ? 2 : kind == 'u' ? 4 : 8;
  const std::uint32_t base = octal ? 8 : 16;
  std::uint32_t value = 0;
  for (std::size_t i = first; i < first + count; ++i) {
    if (i >= text.size()) return escape_error("escape sequence not terminated");
    const auto digit = static_cast<std::uint32_t>(hex_digit(text[i]));
    if (digit >= base) {
      return escape_error(fmt::format("illegal character U+{:04X} '{}' in escape sequence",
                                      escape_code(text[i]), text[i]));
    }
    value = value * base + digit;
  }
  const bool rune = kind == 'u' || kind == 'U';
  if ((rune ? value > 0x10ffff : value > 255) || (rune && value >= 0xd800 && value < 0xe000)) {
    return escape_error("escape sequence is an invalid Unicode code point");
  }
  EscapeResult out{.length = first + count, .bytes = {}, .error = {}};
  if (rune) {
    append_utf8(out.bytes, value);
  } else {
    out.bytes += static_cast<char>(value);
  }
  return out;
}

struct Unit {
  std::string_view name;
  std::int64_t ms;
};
constexpr std::array<Unit, 7> kUnits = {{{"y", 365LL * 86'400'000},
                                         {"w", 7LL * 86'400'000},
                                         {"d", 86'400'000},
                                         {"h", 3'600'000},
                                         {"m", 60'000},
                                         {"s", 1000},
                                         {"ms", 1}}};

} // namespace

std::string format_decimal(double value) {
  if (const char* text = special(value)) return text;
  std::array<char, 400> buffer;
  // From 2^53 on all numbers are whole, and fixed notation would write digits where the shortest
  // form has zeros.
  const bool padded = std::abs(value) >= 9007199254740992.0;
  const auto format = padded ? std::chars_format::scientific : std::chars_format::fixed;
  const auto result = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value, format);
  const std::string text(buffer.data(), result.ptr);
  if (!padded) return text;
  // -1.25e+17: the digits, then zeros up to the exponent.
  const auto e = text.find('e');
  const auto wanted = static_cast<std::size_t>(std::atoi(text.c_str() + e + 1)) + 1;
  std::string out;
  for (const char c : text.substr(0, e)) {
    if (c != '.') out += c;
  }
  const std::size_t digits = out.size() - (value < 0 ? 1 : 0);
  return out.append(wanted - std::min(wanted, digits), '0');
}

std::string format_general(double value) {
  if (const char* text = special(value)) return text;
  std::array<char, 400> buffer;
  auto result = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value,
                              std::chars_format::scientific);
  const std::string scientific(buffer.data(), result.ptr);
  const int exponent = std::atoi(scientific.c_str() + scientific.find('e') + 1);
  if (value == 0 || (exponent >= -4 && exponent < 6)) {
    result = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value,
                           std::chars_format::fixed);
    return {buffer.data(), result.ptr};
  }
  return scientific;
}

std::string go_quote_inner(std::string_view text, char quote) {
  std::string out;
  while (!text.empty()) {
    const std::size_t length = utf8_length(text);
    const char c = text[0];
    if (length == 0) {
      out += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
      text.remove_prefix(1);
      continue;
    }
    constexpr std::string_view kFrom = "\a\b\f\n\r\t\v\\";
    constexpr std::string_view kTo = "abfnrtv\\";
    if (const auto at = kFrom.find(c); length == 1 && at != std::string_view::npos) {
      out += '\\';
      out += kTo[at];
    } else if (c == quote) {
      out += '\\';
      out += c;
    } else if (length == 1 && (static_cast<unsigned char>(c) < ' ' || c == 0x7f)) {
      out += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
    } else {
      out += text.substr(0, length);
    }
    text.remove_prefix(length);
  }
  return out;
}

std::string go_quote(std::string_view text) { return '"' + go_quote_inner(text, '"') + '"'; }

EscapeResult check_escape(std::string_view text, char quote) {
  if (text.size() < 2) return escape_error("escape sequence not terminated");
  const char c = text[1];
  constexpr std::string_view kFrom = "abfnrtv\\";
  constexpr std::string_view kTo = "\a\b\f\n\r\t\v\\";
  if (const auto at = kFrom.find(c); at != std::string_view::npos)
    return {.length = 2, .bytes = std::string(1, kTo[at]), .error = {}};
  if (c == quote) return {.length = 2, .bytes = std::string(1, c), .error = {}};
  if ((c >= '0' && c <= '7') || c == 'x' || c == 'u' || c == 'U') return numeric_escape(text);
  return escape_error(fmt::format("unknown escape sequence U+{:04X} '{}'", escape_code(c), c));
}

std::optional<std::string> unquote(std::string_view literal) {
  if (literal.size() < 2 || literal.front() != literal.back()) return std::nullopt;
  const char quote = literal.front();
  std::string_view text = literal.substr(1, literal.size() - 2);
  if (quote == '`') return std::string(text);
  if (quote != '"' && quote != '\'') return std::nullopt;
  std::string out;
  while (!text.empty()) {
    if (text[0] == '\\') {
      const EscapeResult escape = check_escape(text, quote);
      if (!escape.error.empty()) return std::nullopt;
      out += escape.bytes;
      text.remove_prefix(escape.length);
      continue;
    }
    if (text[0] == quote || text[0] == '\n') return std::nullopt;
    out += text[0];
    text.remove_prefix(1);
  }
  return out;
}

Result<std::int64_t> parse_prometheus_duration(std::string_view text) {
  if (text == "0") return 0;
  if (text.empty()) return fail(ErrorCode::invalid_argument, "empty duration string");
  const auto bad = [&] {
    return fail(ErrorCode::invalid_argument, "not a valid duration string: " + go_quote(text));
  };
  std::int64_t total = 0;
  std::size_t next_unit = 0;
  std::string_view rest = text;
  while (!rest.empty()) {
    std::int64_t value = 0;
    const auto number = std::from_chars(rest.data(), rest.data() + rest.size(), value);
    if (number.ec == std::errc::result_out_of_range)
      return fail(ErrorCode::invalid_argument, "duration out of range");
    if (number.ec != std::errc() || rest[0] == '-') return bad();
    rest.remove_prefix(static_cast<std::size_t>(number.ptr - rest.data()));
    std::size_t letters = 0;
    while (letters < rest.size() && rest[letters] >= 'a' && rest[letters] <= 'z') ++letters;
    while (next_unit < kUnits.size() && kUnits[next_unit].name != rest.substr(0, letters))
      ++next_unit;
    if (next_unit == kUnits.size()) return bad();
    std::int64_t part = 0;
    // Go counts nanoseconds in an int64.
    constexpr std::int64_t kLimit = std::numeric_limits<std::int64_t>::max() / 1'000'000;
    if (__builtin_mul_overflow(value, kUnits[next_unit].ms, &part) ||
        __builtin_add_overflow(total, part, &total) || total > kLimit) {
      return fail(ErrorCode::invalid_argument, "duration out of range");
    }
    ++next_unit;
    rest.remove_prefix(letters);
  }
  return total;
}

std::string format_prometheus_duration(std::int64_t ms) {
  if (ms == 0) return "0s";
  std::string out;
  std::uint64_t rest = static_cast<std::uint64_t>(ms);
  if (ms < 0) {
    out = "-";
    rest = 0 - rest;
  }
  for (const Unit& unit : kUnits) {
    const auto size = static_cast<std::uint64_t>(unit.ms);
    const bool only_whole = unit.name == "y" || unit.name == "w"; // 90d reads better than 12w6d
    if (only_whole && rest % size != 0) continue;
    if (rest >= size) out += fmt::format("{}{}", rest / size, unit.name);
    rest %= size;
  }
  return out;
}

std::optional<double> parse_promql_number(std::string_view text) {
  std::string digits;
  for (const char c : text) {
    if (c != '_') digits += c;
  }
  if (digits.size() > 1 && digits[0] == '0') {
    const bool hexadecimal = digits[1] == 'x' || digits[1] == 'X';
    const char* first = digits.data() + (hexadecimal ? 2 : 1);
    const char* last = digits.data() + digits.size();
    std::int64_t value = 0;
    const auto result = std::from_chars(first, last, value, hexadecimal ? 16 : 8);
    if (result.ec == std::errc() && result.ptr == last) return static_cast<double>(value);
  }
  char* end = nullptr;
  const double value = std::strtod(digits.c_str(), &end);
  if (digits.empty() || end != digits.c_str() + digits.size()) return std::nullopt;
  return value;
}

} // namespace coalmine::promql
