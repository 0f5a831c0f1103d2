// Text comparison and percent decoding shared by the servers.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

namespace coalmine::net {

// Free of what would end a line of HTTP early.
inline bool one_line(std::string_view text) {
  return text.find_first_of(std::string_view("\r\n\0", 3)) == std::string_view::npos;
}

// Equal without regard to ASCII case.
bool same_text(std::string_view a, std::string_view b);

// In a form '+' is a space, in a path it stands for itself.
enum class Plus { space, plus };

// Decodes %XX and '+' into out. False when a percent sign is not followed by two hex
// digits; it then stays as it is.
bool percent_decode(std::string_view text, Plus plus, std::string& out);

} // namespace coalmine::net
