// Whether requests may be counted twice: two servers that collected the same processes.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

#include "cohort/cohorts.h"

namespace coalmine::rollout {

// How it looks so, in words, with the tracks that it holds for; "" when it does not. Blocks as long
// as the source does; never fails.
std::string explain_counted_twice(const cohort::CohortSelector& canary,
                                  const cohort::CohortSelector& stable, std::int64_t to_ms,
                                  const cohort::CohortSource& cohorts);

} // namespace coalmine::rollout
