// Small questions about text that every room asks. Pure; any thread. Text is bytes, in UTF-8 unless
// it came from outside.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <initializer_list>
#include <string>
#include <string_view>

namespace coalmine {

// Without the given characters at both ends. A view into text.
std::string_view trimmed(std::string_view text, std::string_view blanks = " \t\r\n");

// ASCII letters in lower case; other bytes stay.
constexpr bool is_digit(char c) { return c >= '0' && c <= '9'; }
constexpr char ascii_lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}
std::string ascii_lower(std::string_view text);

// Bytes of the UTF-8 character at the start of text; 0 when text is empty or not UTF-8 there
// (RFC 3629: no overlong forms, no surrogates, at most U+10FFFF).
std::size_t utf8_length(std::string_view text);
bool is_utf8(std::string_view text);
// What stands for bytes that are not UTF-8: U+FFFD.
inline constexpr std::string_view kReplacementCharacter = "\xEF\xBF\xBD";

// Columns that a terminal needs for UTF-8 text of our own (no wide characters).
std::size_t width(std::string_view text);
// Filled up to `columns` with spaces; wider text stays as it is.
std::string pad(std::string_view text, std::size_t columns);      // left aligned
std::string pad_left(std::string_view text, std::size_t columns); // right aligned

// text with each of the characters replaced by what stands for it in some language.
struct Escape {
  char character;
  std::string_view stands_for;
};
std::string escaped(std::string_view text, std::initializer_list<Escape> escapes);

// A regular expression (RE2 syntax) that matches just this text.
std::string regexp_of(std::string_view text);

} // namespace coalmine
