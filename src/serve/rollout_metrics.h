// The rollouts as metrics of this server at /metrics.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/self_metrics.h"
#include "rollout/control/controller.h"

namespace coalmine::serve {

// coalmine_rollout_info, coalmine_rollout_step, coalmine_rollout_weight_ratio: of every rollout
// that runs, and of each service's newest. rollouts must live as long as metrics is rendered.
void register_rollout_metrics(SelfMetrics& metrics, const rollout::Controller& rollouts);

} // namespace coalmine::serve
