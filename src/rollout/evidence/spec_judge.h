// The judge that a spec asks for.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "judge/judge.h"
#include "rollout/spec.h"

namespace coalmine::rollout {

// Whether a sequential judge tries stable as its own canary when the canary begins
// (judge::SequentialOptions::try_stable). It only makes the judge wait longer, and costs as much as
// many rollouts: releases that are made up by the hundred do without.
enum class TryStable { yes, no };

// Pure; any thread. The judge keeps nothing of the spec.
std::unique_ptr<judge::Judge> make_judge(const RolloutSpec& spec,
                                         TryStable try_stable = TryStable::yes);

// Of a spec with judge: sequential.
judge::SequentialOptions sequential_options(const RolloutSpec& spec);

} // namespace coalmine::rollout
