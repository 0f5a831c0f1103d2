// What a rollout has to say, as messages for its targets.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "notify/outbox.h"
#include "rollout/machine.h"

namespace coalmine::rollout {

// One entry for each target that wants the event. attention (a person is needed) goes to every
// target. sequence: of the newest line; now_ms: Unix milliseconds. Pure.
std::vector<notify::OutboxEntry> make_outbox(const RolloutStatus& status, const RolloutSpec& spec,
                                             const std::vector<Notice>& notices,
                                             std::uint64_t sequence, std::int64_t now_ms);

} // namespace coalmine::rollout
