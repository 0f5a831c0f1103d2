// What a spec must satisfy before a rollout of it may start.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "rollout/spec.h"

namespace coalmine::rollout {

// invalid_argument with the step and the value seen.
Status validate_spec(const RolloutSpec& spec);

} // namespace coalmine::rollout
