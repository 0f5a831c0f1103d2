// Whether the traffic of a rollout is enough for its steps, and which steps decide more. Pure; any
// thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "judge/judge.h"
#include "judge/plan/plan_advice.h"
#include "rollout/rollout.h"

namespace coalmine::rollout {

// The spec as planning sees it. Absent: another judge than sequential, no error rate that gates, or
// nothing is watched before all of the traffic.
std::optional<judge::PlanQuestion> question_of(const RolloutSpec& spec,
                                               const judge::PlanTraffic& traffic);

// Planned steps as steps of the spec, with its last one. Each asks for as many requests, and for an
// approval, as the spec's step of the same weight; one of a new weight as the last watched one.
std::vector<StepSpec> spec_steps(const RolloutSpec& spec,
                                 const std::vector<judge::PlannedStep>& planned);
// As a config file has them: "[25% 1h, 50% 1h, 100%]".
std::string steps_text(const std::vector<StepSpec>& steps);

// "+7.5pp".
std::string points_text(double excess);

// Of a running rollout. totals: of the cells that were compared so far. Absent: the traffic is
// enough, or it is too early to say: before kLeastAdviceMinutes, unless the step is over, and in
// the first minute in any case. Only a plan that would more often fail than not is spoken of:
// traffic comes and goes.
std::optional<StepAdvice> step_advice(const RolloutSpec& spec, const judge::Judgement& judgement,
                                      const judge::TrackTotals& totals, bool step_is_over);

inline constexpr double kLeastAdviceMinutes = 5;

} // namespace coalmine::rollout
