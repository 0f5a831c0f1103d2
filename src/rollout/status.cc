// SPDX-License-Identifier: Apache-2.0
#include "rollout/status.h"

#include <fmt/format.h>

#include <utility>

#include "base/rfc3339.h"

namespace coalmine::rollout {

namespace {

// What stands in the way comes first: nothing else is true of the rollout meanwhile.
void add_condition(const State& state, RolloutStatus& out) {
  const auto& live = state.live;
  if (is_terminal(state.position.phase)) return;
  if (!live.router_error.empty()) {
    out.condition = Condition::router_failing;
    auto text = live.router_error;
    if (text.front() == 't') text.front() = 'T'; // "the …": every sentence of a failure
    text += "; it is tried again until the router does it";
    // Why it waits for a person, or goes back, matters as much.
    const bool alone = state.position.phase == Phase::progressing;
    out.reason = alone ? text : fmt::format("{}. {}", text, out.reason);
    return;
  }
  if (!live.waiting.empty() && state.position.phase != Phase::rolling_back)
    out.condition = Condition::awaits_telemetry;
}

} // namespace

RolloutStatus make_status(const State& state, SharedVector<LogEntry> log) {
  RolloutStatus out;
  out.id = state.plan.id;
  out.service = state.plan.spec->service;
  out.canary_version = state.plan.canary_version;
  out.stable_version = state.plan.stable_version;
  out.phase = state.position.phase;
  out.step = state.position.step;
  out.steps = state.plan.steps;
  out.weight_asked = state.weight.asked;
  out.moves_traffic = route::moves_traffic(state.plan.spec->router);
  // A router that only watches remembers what it was told: that is not a weight that was read back.
  if (out.moves_traffic) out.weight_applied = state.weight.applied;
  // Telemetry told it of the weight that was then: once traffic goes back, or all has gone to the
  // canary, it contradicts where the requests are.
  if (!is_terminal(state.position.phase) && state.position.phase != Phase::rolling_back)
    out.observed_split = state.live.observed_split;
  if (!is_terminal(state.position.phase) && state.position.phase != Phase::rolling_back)
    out.advice = state.live.advice;
  out.observed_valid_ms = state.clock.observed_valid_ms;
  out.judgement = state.live.judgement;
  const bool watching = state.position.phase == Phase::progressing && state.weight.is_confirmed &&
                        state.live.source_down_steady < 0;
  out.reason =
      watching && state.live.judgement ? state.live.judgement->reason : state.position.reason;
  if (watching && state.live.read_until_ms != 0) {
    out.reason = fmt::format(
        "The telemetry of this rollout is read again, up to {} so far; nothing is promoted before "
        "all is read",
        rfc3339_seconds(state.live.read_until_ms));
  }
  if (watching && !state.alarms.silent_instances.empty())
    out.reason += ". " + state.alarms.silent_instances;
  if (state.position.phase == Phase::rolling_back && !state.alarms.kept.empty())
    out.reason = fmt::format("Not at 0% yet: {}. {}", state.alarms.kept, out.reason);
  add_condition(state, out);
  out.started_ms = state.plan.started_ms;
  out.ended_ms = state.end.ended_ms;
  out.time_to_rollback_ms = state.end.time_to_rollback_ms;
  out.log = std::move(log);
  out.actor = state.plan.actor;
  out.judged_from_ms = state.live.judged_from_ms;
  out.judged_ms = state.live.judged_ms;
  return out;
}

} // namespace coalmine::rollout
