// Predicts what a rollout's judge can decide at some traffic, before there is a rollout.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>

#include "rollout/spec.h"

namespace coalmine::lab {

// Simulated releases through the spec's own steps, signals and judge: rps requests a second of both
// tracks, error_rate on stable (0..1). A few sentences, each ending with a line break;
// deterministic. Takes seconds.
std::string traffic_outlook(const rollout::RolloutSpec& spec, double rps, double error_rate,
                            std::size_t runs = 200);

} // namespace coalmine::lab
