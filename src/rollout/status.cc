// SPDX-License-Identifier: Apache-2.0
#include "rollout/status.h"

#include <utility>

namespace coalmine::rollout {

RolloutStatus make_status(const State& state, std::vector<LogEntry> log) {
  RolloutStatus out;
  out.id = state.id;
  out.service = state.spec->service;
  out.canary_version = state.canary_version;
  out.stable_version = state.stable_version;
  out.phase = state.phase;
  out.step = state.step;
  out.steps = state.steps;
  out.weight_asked = state.weight_asked;
  out.weight_applied = state.weight_applied;
  out.observed_split = state.live.observed_split;
  out.observed_valid_ms = state.observed_valid_ms;
  out.judgement = state.live.judgement;
  const bool watching =
      state.phase == Phase::progressing && state.confirmed && state.source_down_steady < 0;
  out.reason = watching && state.live.judgement ? state.live.judgement->reason : state.reason;
  out.started_ms = state.started_ms;
  out.ended_ms = state.ended_ms;
  out.time_to_rollback_ms = state.time_to_rollback_ms;
  out.log = std::move(log);
  out.actor = state.actor;
  out.judged_from_ms = state.live.judged_from_ms;
  out.judged_ms = state.live.judged_ms;
  return out;
}

} // namespace coalmine::rollout
