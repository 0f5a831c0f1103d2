// SPDX-License-Identifier: Apache-2.0
#include "rollout/core.h"

#include <fmt/format.h>

#include <algorithm>

#include "rollout/codec.h"
#include "rollout/notify.h"
#include "rollout/status.h"

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
  const bool watching = state.phase == Phase::progressing && state.confirmed && state.source_down_steady < 0;
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

void Core::restore(StoredRollout stored) {
  auto& rollout = rollouts_[stored.state.id.value];
  rollout.state = std::move(stored.state);
  rollout.log = std::move(stored.log);
  run(rollout, event::Recovered{});
  sink_.changed(rollout.state, rollout.log);
}

void Core::start(event::Start start) {
  auto& rollout = rollouts_[start.id.value];
  run(rollout, std::move(start));
}

Status Core::command(RolloutId id, const event::Commanded& command) {
  const auto it = rollouts_.find(id.value);
  if (it == rollouts_.end()) return fail(ErrorCode::not_found, fmt::format("there is no rollout {}; see rollout list", id.value));
  TRY(check_command(it->second.state, command.command, command.reason));
  run(it->second, command);
  return {};
}

void Core::deliver(RolloutId id, const Event& event) {
  const auto it = rollouts_.find(id.value);
  if (it != rollouts_.end()) run(it->second, event);
}

void Core::tick() {
  const auto steady = clock_.steady_ms();
  for (auto& [id, rollout] : rollouts_) {
    if (is_terminal(rollout.state.phase)) continue;
    const auto& live = rollout.state.live;
    if (live.look_in_flight && steady - live.look_started >= kLookTimeoutMs) {
      LookResult none;
      none.look = live.look;
      none.step = rollout.state.step;
      none.source_error = fmt::format("no answer within {} s", kLookTimeoutMs / 1000);
      run(rollout, event::Looked{std::move(none)});
    } else if (steady >= live.due) {
      run(rollout, event::Tick{});
    }
  }
}

void Core::arrived(std::string_view service, std::int64_t look_cost_us) {
  std::int64_t looking = 0;
  for (const auto& [id, rollout] : rollouts_) looking += is_terminal(rollout.state.phase) ? 0 : 1;
  const auto gap_ms = std::max(kLeastGapMs, look_cost_us * looking * kGapPerCost / 1000);
  for (auto& [id, rollout] : rollouts_) {
    if (!is_terminal(rollout.state.phase) && rollout.state.spec->service == service) run(rollout, event::Arrived{gap_ms});
  }
}

std::int64_t Core::due() const {
  std::int64_t due = INT64_MAX;
  for (const auto& [id, rollout] : rollouts_) {
    if (is_terminal(rollout.state.phase)) continue;
    const auto& live = rollout.state.live;
    due = std::min(due, live.due);
    if (live.look_in_flight) due = std::min(due, live.look_started + kLookTimeoutMs);
  }
  return due;
}

const State* Core::find(RolloutId id) const {
  const auto it = rollouts_.find(id.value);
  return it == rollouts_.end() ? nullptr : &it->second.state;
}

const std::vector<LogEntry>* Core::log(RolloutId id) const {
  const auto it = rollouts_.find(id.value);
  return it == rollouts_.end() ? nullptr : &it->second.log;
}

const State* Core::running(std::string_view service) const {
  for (const auto& [id, rollout] : rollouts_) {
    if (!is_terminal(rollout.state.phase) && rollout.state.spec->service == service) return &rollout.state;
  }
  return nullptr;
}

void Core::run(Rollout& rollout, const Event& event) {
  const auto moment = now();
  auto [state, effects] = step(rollout.state, event, moment);
  rollout.state = std::move(state);
  for (auto& each : effects) {
    if (auto* record = std::get_if<effect::Record>(&each)) {
      for (const auto& line : record->lines) {
        if (!line.text.empty()) rollout.log.push_back(line);
      }
      if (rollout.log.size() > kMaxLogLines) {
        rollout.log.erase(rollout.log.begin(), rollout.log.end() - static_cast<std::ptrdiff_t>(kMaxLogLines));
      }
      sink_.record(make_record(rollout.state, event, moment, std::move(*record)));
    } else if (const auto* call = std::get_if<effect::CallRouter>(&each)) {
      sink_.call_router(rollout.state, *call);
    } else if (const auto* look = std::get_if<effect::TakeLook>(&each)) {
      sink_.take_look(rollout.state, *look);
    }
  }
  const bool quiet = std::holds_alternative<event::Tick>(event) || std::holds_alternative<event::Arrived>(event) ||
                     std::holds_alternative<event::JournalSynced>(event);
  if (!quiet || !effects.empty()) sink_.changed(rollout.state, rollout.log);
}

JournalRecord Core::make_record(const State& state, const Event& event, Moment moment, effect::Record record) const {
  JournalRecord out;
  out.id = state.id;
  out.event_json = encode_event(event, moment);
  out.state_json = encode_state(state);
  if (std::holds_alternative<event::Start>(event)) out.spec_json = encode_spec(*state.spec);
  out.service = state.spec->service;
  out.canary_version = state.canary_version;
  out.stable_version = state.stable_version;
  out.phase = to_string(state.phase);
  out.step = state.step;
  out.weight_asked = state.weight_asked;
  out.reason = state.reason;
  out.started_ms = state.started_ms;
  out.ended_ms = state.ended_ms;
  if (!record.notices.empty()) {
    out.outbox = make_outbox(make_status(state, {}), *state.spec, record.notices, record.lines.back().sequence, moment.wall_ms);
  }
  out.lines = std::move(record.lines);
  return out;
}

} // namespace coalmine::rollout
