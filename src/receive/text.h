// Text from the wire made safe: valid UTF-8, bounded; and JSON text. Pure; any thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace coalmine::receive {

// Valid UTF-8 of at most limit bytes: invalid bytes become U+FFFD, a cut never splits a character.
// cut is set when text was longer.
std::string safe_text(std::string_view text, std::size_t limit, bool& cut);

// "text" in quotes, with everything escaped that JSON asks for. text is valid UTF-8.
void append_json_string(std::string& out, std::string_view text);

// Writes one JSON value of about limit bytes at most: strings are cut to the space left, and a
// caller asks full() before each element. The output is always valid JSON.
class BoundedJson {
 public:
  explicit BoundedJson(std::size_t limit) : limit_(limit) {}
  bool full() const { return out_.size() >= limit_; }
  bool cut() const { return cut_; }
  void set_cut() { cut_ = true; }
  std::string take() { return std::move(out_); }

  void raw(std::string_view text) { out_ += text; }
  void string(std::string_view text);
  void boolean(bool value) { out_ += value ? "true" : "false"; }
  void integer(std::int64_t value);
  void number(double value); // NaN and infinities, which JSON lacks: null

 private:
  std::string out_;
  std::size_t limit_;
  bool cut_ = false;
};

} // namespace coalmine::receive
