// The built page (web/dist), inside the binary.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string_view>

namespace coalmine::serve {

// One file of web/dist. The views live as long as the program.
struct Asset {
  std::string_view path; // "/assets/index-abc.js"
  std::string_view content;
  std::string_view etag; // quoted SHA-256
};

// Generated at configure time from web/dist; empty when the page was not built.
std::span<const Asset> assets();

// By file ending.
std::string_view content_type(std::string_view path);

} // namespace coalmine::serve
