// JSON strings as the answers written by hand need them, without a tree of values. Pure; any
// thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

namespace coalmine {

// Appends text, quoted and escaped. Bytes that are not UTF-8 become U+FFFD, since JSON has no other
// form for them.
void append_json_string(std::string& out, std::string_view text);

// A whole JSON document with the same done to the bytes inside its strings (JSON is ASCII outside
// of them).
std::string with_valid_utf8(std::string json);

} // namespace coalmine
