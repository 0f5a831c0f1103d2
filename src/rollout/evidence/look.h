// One look of a rollout at the telemetry of both tracks.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "cohort/cohorts.h"
#include "rollout/evidence/evidence_feed.h"
#include "rollout/evidence/metric_reader.h"
#include "rollout/machine.h"
#include "rollout/seen_versions.h"

namespace coalmine::rollout {

// The judge of one step: it asks for as many requests as the step does, and for as long as the step
// lasts.
std::unique_ptr<judge::Judge> make_step_judge(const State& state);

// The versions to filter by: one that is open is any, so that its first telemetry is seen.
struct WatchedVersions {
  std::string canary;
  std::string stable;
};
WatchedVersions watched_versions(const Plan& plan);

// What a look needs, copied from the state on the control thread so that it can be taken on
// another.
struct LookRequest {
  std::shared_ptr<const RolloutSpec> spec;
  std::string canary_version; // "" any, also while it is open
  std::string stable_version;
  bool canary_open = false; // Plan's
  bool stable_open = false;
  effect::TakeLook look;
  FeedView view;
  StepSpec step;
  double next_weight = 1;
  std::int64_t step_started_ms = 0;
  std::int64_t watched_since_ms = 0; // since the first step began: the whole rollout
  std::int64_t watched_from_ms = 0;  // silence before is none: nothing was watched then
  double asked_split = 0;  // the canary's share that the router has confirmed; 0: not ours to ask
  std::string split_cause; // what the router knows to spoil it
};
// Whether coalmine moves the traffic of this rollout, and watches that it is split as asked.
bool guards_split(const RolloutSpec& spec);
LookRequest make_look_request(const State& state, const effect::TakeLook& look);

// Whom a look asks. cohorts outlives the look, and so do the others where they are given.
struct LookSources {
  const cohort::CohortSource& cohorts;
  // For a judge that takes cells, and for what is heard of both tracks; null: cells come from the
  // window's counts, read in one go each time, so only for a fresh judge, and nothing is heard.
  EvidenceFeed* feed = nullptr;
  // For a judge that takes no cells; those of a feed come with its cells.
  MetricReader* metrics = nullptr;
  AskVersions versions{}; // ControllerDeps::versions
};

// Blocks as long as the sources do. Never fails: a source that does not answer is a result too.
LookResult take_look(const LookRequest& request, judge::Judge& judge, const LookSources& sources);

} // namespace coalmine::rollout
