// The demo's scenes, one release after the other.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <string_view>

namespace coalmine::demo {

struct Scene {
  std::string_view name;
  std::string_view config;   // of the server, a file of demo/
  std::string_view fault;    // FAULT of demo/checkout-service.mjs
  std::string_view title;    // "{}" is the version
  std::string_view expected; // phase it must end in
};

inline constexpr std::array kScenes = {
    Scene{"bad-release", "coalmine.yaml", "errors", "v{} fails Apple Pay on /api/pay",
          "rolled_back"},
    Scene{"good-release", "coalmine.yaml", "none", "v{} is a good release", "promoted"},
    Scene{"slow-tail", "threshold.yaml", "slow-tail",
          "v{} answers one /api/quote in seven 400 ms later (judged by fixed thresholds)",
          "rolled_back"},
};

} // namespace coalmine::demo
