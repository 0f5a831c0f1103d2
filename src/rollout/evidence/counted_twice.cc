// SPDX-License-Identifier: Apache-2.0
#include "rollout/evidence/counted_twice.h"

namespace coalmine::rollout {

std::string explain_counted_twice(const cohort::CohortSelector& canary,
                                  const cohort::CohortSelector& stable, std::int64_t to_ms,
                                  const cohort::CohortSource& cohorts) {
  const auto of_canary = cohorts.counted_twice(canary, to_ms);
  const auto of_stable = cohorts.counted_twice(stable, to_ms);
  if (of_canary.empty() && of_stable.empty()) return "";
  if (of_canary == of_stable) return "both tracks: " + of_canary;
  return of_canary.empty() ? "stable: " + of_stable : "canary: " + of_canary;
}

} // namespace coalmine::rollout
