// The word that a mistyped one was meant to be. Pure; any thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace coalmine {

// The candidate that is spelt most like the word; "" when none is near.
std::string did_you_mean(std::string_view word, const std::vector<std::string_view>& candidates);

} // namespace coalmine
