// What a spec must satisfy before a rollout of it may start.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "rollout/spec.h"

namespace coalmine::rollout {

// invalid_argument with the step and the value seen.
Status validate_spec(const RolloutSpec& spec);

// False: the first step is 100 %, so that no verdict comes before it.
bool watches_something(const RolloutSpec& spec);

} // namespace coalmine::rollout
