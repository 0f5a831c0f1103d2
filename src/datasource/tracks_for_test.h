// Test support: moments, and the tracks of one service.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <cstdint>

#include "cohort/cohorts.h"

namespace coalmine::datasource {

inline constexpr std::int64_t kOrigin = 1'700'000'000'000;
inline std::int64_t at(double seconds) { return kOrigin + std::llround(seconds * 1000); }

inline cohort::CohortSelector track(const char* name) {
  return {{{"service_name", Matcher::Op::equal, "checkout"},
           {"deployment_track", Matcher::Op::equal, name}}};
}

} // namespace coalmine::datasource
