// The counts of one window as evidence for a judge. Pure; any thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"
#include "cohort/cohorts.h"
#include "judge/judge.h"
#include "rollout/spec.h"

namespace coalmine::rollout {

// What a store's error says of the store, for Evidence::source_error: that it cannot be reached
// goes without saying, every other failure is named.
std::string source_sentence(const Error& error);

// The counts of both cohorts as a judge wants them.
judge::Evidence make_evidence(const RolloutSpec& spec, const Result<cohort::CohortCounts>& canary,
                              const Result<cohort::CohortCounts>& stable, std::int64_t now_ms);

} // namespace coalmine::rollout
