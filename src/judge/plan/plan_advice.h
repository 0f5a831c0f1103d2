// Steps that decide more at the traffic that there is. Pure; any thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "judge/plan/plan_power.h"

namespace coalmine::judge {

struct PlanAdvice {
  PlanPower now;                  // of the steps asked about
  std::vector<PlannedStep> steps; // that decide more, before all of the traffic; empty: none do
  PlanPower then;                 // of those
};

// Fewer, larger and longer steps: the weights asked about from the first, second … on, 25 % and
// 50 %, or 50 % alone; each step at least as long as it was, and up to kLongestStepMinutes. Never
// more than 50 % before all of the traffic. Of those that meet the wish (meets) the gentlest that
// is at most a tenth longer than the shortest; where none does, the one that comes nearest, if it
// is plainly better than the steps asked about. Nothing is proposed where these meet the wish.
// detectable is set in both powers. Takes a few milliseconds where much has to be tried.
PlanAdvice advise(const PlanQuestion& question);

inline constexpr double kLongestStepMinutes = 240;

} // namespace coalmine::judge
