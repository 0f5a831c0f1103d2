// SPDX-License-Identifier: Apache-2.0
#include "receive/text.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/text.h"

namespace coalmine::receive {
namespace {

bool is_ascii(std::string_view text) {
  std::size_t i = 0;
  for (; i + 8 <= text.size(); i += 8) {
    std::uint64_t word = 0;
    std::memcpy(&word, text.data() + i, 8);
    if ((word & 0x8080808080808080u) != 0) return false;
  }
  for (; i < text.size(); ++i) {
    if ((static_cast<unsigned char>(text[i]) & 0x80u) != 0) return false;
  }
  return true;
}

} // namespace

std::string safe_text(std::string_view text, std::size_t limit, bool& cut) {
  if (text.size() <= limit && is_ascii(text)) return std::string(text);
  std::string out;
  out.reserve(std::min(text.size(), limit));
  while (!text.empty()) {
    const std::size_t size = utf8_length(text);
    const std::string_view next = size == 0 ? kReplacementCharacter : text.substr(0, size);
    if (out.size() + next.size() > limit) {
      cut = true;
      break;
    }
    out += next;
    text.remove_prefix(size == 0 ? 1 : size);
  }
  return out;
}

void append_json_string(std::string& out, std::string_view text) {
  out += '"';
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      fmt::format_to(std::back_inserter(out), "\\u{:04x}", static_cast<unsigned>(c));
    } else {
      out += c;
    }
  }
  out += '"';
}

void BoundedJson::string(std::string_view text) {
  const std::size_t left = limit_ > out_.size() ? limit_ - out_.size() : 0;
  append_json_string(out_, safe_text(text, left, cut_));
}

void BoundedJson::integer(std::int64_t value) {
  fmt::format_to(std::back_inserter(out_), "{}", value);
}

void BoundedJson::number(double value) {
  if (std::isfinite(value)) {
    fmt::format_to(std::back_inserter(out_), "{}", value);
  } else {
    out_ += "null";
  }
}

} // namespace coalmine::receive
