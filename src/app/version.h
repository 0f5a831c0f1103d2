// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

namespace coalmine::app {

inline constexpr std::string_view kVersion =
    "0.1.0"; // the project's version in CMakeLists.txt; a test compares them

} // namespace coalmine::app
