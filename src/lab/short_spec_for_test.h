// A spec whose two steps take a few minutes, so that the tests have little to simulate.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "rollout/spec.h"

namespace coalmine::lab {

inline rollout::RolloutSpec short_spec(std::int64_t first_minutes, std::int64_t second_minutes) {
  auto out = rollout::default_spec("checkout");
  out.judge = "sequential";
  out.signals.clear();
  out.steps = {{.weight = 0.2, .analyze_ms = first_minutes * 60'000},
               {.weight = 0.5, .analyze_ms = second_minutes * 60'000},
               {.weight = 1}};
  return out;
}

} // namespace coalmine::lab
