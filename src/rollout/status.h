// A rollout's state as pages, the CLI and JSON see it.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "rollout/machine.h"

namespace coalmine::rollout {

RolloutStatus make_status(const State& state, SharedVector<LogEntry> log);

} // namespace coalmine::rollout
