// SPDX-License-Identifier: Apache-2.0
#include "base/json_string.h"

#include <array>

#include "base/text.h"

namespace coalmine {
namespace {

// Bytes that stand for themselves inside a JSON string.
constexpr std::array<bool, 256> kPlain = [] {
  std::array<bool, 256> plain{};
  for (std::size_t c = 0x20; c < 0x80; ++c) plain[c] = c != '"' && c != '\\';
  return plain;
}();

void append_escaped(std::string& out, char c) {
  static constexpr char kHex[] = "0123456789abcdef";
  switch (c) {
    case '"': out += "\\\""; break;
    case '\\': out += "\\\\"; break;
    case '\n': out += "\\n"; break;
    case '\r': out += "\\r"; break;
    case '\t': out += "\\t"; break;
    default:
      out += "\\u00";
      out += kHex[static_cast<unsigned char>(c) >> 4];
      out += kHex[static_cast<unsigned char>(c) & 15];
  }
}

} // namespace

void append_json_string(std::string& out, std::string_view text) {
  out += '"';
  std::size_t at = 0;
  while (at < text.size()) {
    auto end = at;
    while (end < text.size() && kPlain[static_cast<unsigned char>(text[end])]) ++end;
    out.append(text, at, end - at);
    if (end == text.size()) break;
    at = end;
    if (static_cast<unsigned char>(text[at]) < 0x80) {
      append_escaped(out, text[at++]);
    } else if (const auto length = utf8_length(text.substr(at)); length > 0) {
      out.append(text, at, length);
      at += length;
    } else {
      out += kReplacementCharacter;
      ++at;
    }
  }
  out += '"';
}

std::string with_valid_utf8(std::string json) {
  if (is_utf8(json)) return json;
  std::string out;
  out.reserve(json.size() + 16);
  for (std::string_view rest = json; !rest.empty();) {
    const auto length = utf8_length(rest);
    out += length > 0 ? rest.substr(0, length) : kReplacementCharacter;
    rest.remove_prefix(length > 0 ? length : 1);
  }
  return out;
}

} // namespace coalmine
