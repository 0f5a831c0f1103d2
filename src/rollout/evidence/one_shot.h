// One analysis outside any rollout: the seed's analyze(service, canary_version, stable_version).
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "cohort/cohorts.h"
#include "cohort/count_feed.h"
#include "cohort/metric_source.h"
#include "judge/judge.h"
#include "rollout/spec.h"

namespace coalmine::rollout {

struct AnalyzeRequest {
  std::string canary_version; // "" any
  std::string stable_version; // "" any
  std::int64_t from_ms = 0;
  std::int64_t to_ms = 0;
};

// Counts both cohorts and judges them once. Never fails: an unreachable source is a judgement too.
// feeds: for judges that take cells; without it they are made of counts of parts of the window.
// metrics: for the spec's own metrics.
judge::Judgement analyze(const RolloutSpec& spec, const AnalyzeRequest& request,
                         const cohort::CohortSource& cohorts,
                         const cohort::CountFeedSource* feeds = nullptr,
                         const cohort::MetricSource* metrics = nullptr);

} // namespace coalmine::rollout
