// The demo's scenes, one release after the other.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <string_view>

namespace coalmine::demo {

struct Scene {
  std::string_view name;
  std::string_view fault;    // FAULT of demo/checkout-service.mjs
  std::string_view title;    // "{}" is the version
  std::string_view expected; // phase it must end in
};

inline constexpr std::array kScenes = {
    Scene{"bad-release", "errors", "v{} fails Apple Pay on /api/pay", "rolled_back"},
    Scene{"slow-tail", "slow-tail", "v{} answers one /api/quote in seven 400 ms later",
          "rolled_back"},
    Scene{"good-release", "none", "v{} is a good release", "promoted"},
};

} // namespace coalmine::demo
