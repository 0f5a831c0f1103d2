// Base64 (RFC 4648). Pure; any thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace coalmine {

enum class Base64Padding { with, without };

// Standard alphabet. Padded with '=' as HTTP and JSON ask for; gRPC's "-bin" headers go without.
std::string base64(std::string_view bytes, Base64Padding padding = Base64Padding::with);

// Standard or URL-safe alphabet, padding optional; nullopt when text is not base64.
std::optional<std::string> decode_base64(std::string_view text);

} // namespace coalmine
