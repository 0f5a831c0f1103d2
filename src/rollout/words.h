// How weights and durations are written in sentences. Pure; any thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

namespace coalmine::rollout {

std::string percent(double weight);         // "5%"
std::string duration_text(std::int64_t ms); // "10m", "1h5m", "40s", "250ms"

} // namespace coalmine::rollout
