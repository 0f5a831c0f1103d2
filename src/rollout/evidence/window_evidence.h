// The counts of one window as evidence for a judge. Pure; any thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "base/result.h"
#include "cohort/cohorts.h"
#include "judge/judge.h"
#include "rollout/spec.h"

namespace coalmine::rollout {

// The counts of both cohorts as a judge wants them.
judge::Evidence make_evidence(const RolloutSpec& spec, const Result<cohort::CohortCounts>& canary,
                              const Result<cohort::CohortCounts>& stable, std::int64_t now_ms);

} // namespace coalmine::rollout
