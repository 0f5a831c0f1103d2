// Bytes as hexadecimal text and back. Pure; any thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace coalmine {

// Two lower-case digits a byte.
std::string to_hex(std::span<const std::uint8_t> bytes);

// Fills out from twice as many digits of either case. False, with out partly written, when text has
// another length or is not hexadecimal.
[[nodiscard]] bool parse_hex(std::string_view text, std::span<std::uint8_t> out);

// The value of one digit; -1 when c is none.
constexpr int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

} // namespace coalmine
