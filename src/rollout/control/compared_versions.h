// Which versions an analysis compares, which a start has taken, and what is said of them.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/json.hpp>
#include <optional>
#include <string>

#include "judge/judge.h"
#include "rollout/control/controller.h"
#include "rollout/json.h"

namespace coalmine::rollout {

// The running rollout of a service.
std::optional<RolloutStatus> running_rollout(const Controller& rollouts,
                                             const std::string& service);

// Fills in the versions that the request left open: those of the running rollout, else of each
// track the newest that reports, else the one that reported last. They stay "" (any) where nothing
// is known.
void choose_versions(const RolloutSpec& spec, const std::optional<RolloutStatus>& running,
                     const AskVersions& versions, VerdictContext& context);

// Why the running rollout says something else than an analysis beside it; "" when it does not.
std::string beside_rollout(const RolloutStatus& running, const VerdictContext& context,
                           const judge::Judgement& judgement);

// What a start answers: the versions, when each was last seen, the step and its weight.
boost::json::object start_answer(const RolloutStatus& begun, const RolloutSpec& spec,
                                 const AskVersions& versions, std::int64_t now_ms);

} // namespace coalmine::rollout
