// The steps of a rollout as JSON: in API answers, and in the state that the journal keeps.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/json/array.hpp>
#include <vector>

#include "rollout/rollout.h"

namespace coalmine::rollout {

// Pure; any thread. The journal reads the members back by name, so they are a format on disk.
boost::json::array steps_value(const std::vector<StepState>& steps);

} // namespace coalmine::rollout
