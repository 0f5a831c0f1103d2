// The judge that a spec asks for.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "judge/judge.h"
#include "rollout/spec.h"

namespace coalmine::rollout {

// Pure; any thread. The judge keeps nothing of the spec.
std::unique_ptr<judge::Judge> make_judge(const RolloutSpec& spec);

// Of a spec with judge: sequential.
judge::SequentialOptions sequential_options(const RolloutSpec& spec);

} // namespace coalmine::rollout
