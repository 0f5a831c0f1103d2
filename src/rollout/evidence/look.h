// One look of a rollout at the telemetry of both tracks.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "cohort/cohorts.h"
#include "cohort/metric_source.h"
#include "rollout/evidence/evidence_feed.h"
#include "rollout/machine.h"

namespace coalmine::rollout {

// The judge of one step: it asks for as many requests as the step does, and for as long as the step
// lasts.
std::unique_ptr<judge::Judge> make_step_judge(const State& state);

// What a look needs, copied from the state on the control thread so that it can be taken on
// another.
struct LookRequest {
  std::shared_ptr<const RolloutSpec> spec;
  std::string canary_version;
  std::string stable_version;
  effect::TakeLook look;
  FeedView view;
  StepSpec step;
  double next_weight = 1;
  std::int64_t step_started_ms = 0;
  double asked_split = 0; // the canary's share that the router has confirmed; 0: not ours to ask
};
// Whether coalmine moves the traffic of this rollout, and watches that it is split as asked.
bool guards_split(const RolloutSpec& spec);
LookRequest make_look_request(const State& state, const effect::TakeLook& look);

// Blocks as long as the source does. Never fails: a source that does not answer is a result too.
// feed: for a judge that takes cells; null: they come from the window's counts, read in one go each
// time, so only for a fresh judge. metrics: for a judge that takes no cells; those of a feed come
// with its cells.
LookResult take_look(const LookRequest& request, const cohort::CohortSource& cohorts,
                     judge::Judge& judge, EvidenceFeed* feed = nullptr,
                     const cohort::MetricSource* metrics = nullptr);

} // namespace coalmine::rollout
