// SPDX-License-Identifier: Apache-2.0
#include "rollout/control/core.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include "judge/reason.h"
#include "rollout/control/outbox.h"
#include "rollout/journal/codec.h"
#include "rollout/status.h"
#include "route/shared_traffic.h"

namespace coalmine::rollout {

void Core::restore(StoredRollout stored) {
  auto& rollout = rollouts_[stored.state.plan.id.value];
  rollout.state = std::move(stored.state);
  rollout.log = std::move(stored.log);
  run(rollout, event::Recovered{});
}

void Core::start(event::Start start) {
  auto& rollout = rollouts_[start.id.value];
  run(rollout, std::move(start));
}

Status Core::command(RolloutId id, const event::Commanded& command) {
  const auto it = rollouts_.find(id.value);
  if (it == rollouts_.end())
    return fail(ErrorCode::not_found,
                fmt::format("there is no rollout {}, or it ended too long ago to be kept; see "
                            "rollout list",
                            id.value));
  TRY(check_command(it->second.state, command.command, command.reason));
  run(it->second, command);
  return {};
}

void Core::deliver(RolloutId id, const Event& event) {
  const auto it = rollouts_.find(id.value);
  if (it != rollouts_.end()) run(it->second, event);
}

void Core::drop(RolloutId id) {
  const auto it = rollouts_.find(id.value);
  if (it == rollouts_.end()) return;
  forget(it->second);
  rollouts_.erase(it);
}

void Core::tick() {
  const auto steady = clock_.steady_ms();
  std::vector<std::uint64_t> due;
  for (const auto& [deadline, id] : deadlines_) {
    if (deadline > steady) break;
    due.push_back(id);
  }
  std::ranges::sort(due);
  for (const auto id : due) {
    auto& rollout = rollouts_.at(id);
    const auto& live = rollout.state.live;
    if (live.look_in_flight && steady >= live.look_overdue) {
      LookResult none;
      none.look = live.look;
      none.step = rollout.state.position.step;
      none.under_way = true;
      none.source_error = fmt::format("{}has not answered a look for {} s", judge::kStoreSentence,
                                      (steady - live.look_started) / 1000);
      run(rollout, event::Looked{std::move(none)});
    } else {
      run(rollout, event::Tick{});
    }
  }
}

void Core::arrived(std::string_view service, std::int64_t look_cost_us) {
  const auto it = running_.find(service);
  if (it == running_.end()) return;
  const auto looking = static_cast<std::int64_t>(deadlines_.size());
  const auto gap_ms = std::max(kLeastGapMs, look_cost_us * looking * kGapPerCost / 1000);
  const auto ids = it->second; // one that ends leaves the original
  for (const auto id : ids) run(rollouts_.at(id), event::Arrived{gap_ms});
}

std::int64_t Core::due() const {
  return deadlines_.empty() ? INT64_MAX : deadlines_.begin()->first;
}

void Core::forget(Rollout& rollout) {
  if (!rollout.runs) return;
  rollout.runs = false;
  const auto id = rollout.state.plan.id.value;
  deadlines_.erase({rollout.deadline, id});
  const auto it = running_.find(rollout.state.plan.spec->service);
  it->second.erase(id);
  if (it->second.empty()) running_.erase(it);
}

void Core::keep_ended(const Rollout& rollout) {
  const auto id = rollout.state.plan.id.value;
  ended_.push_back(id);
  last_ended_[rollout.state.plan.spec->service] = id;
}

// One that has just ended is the last of its service, so it is never the one that goes.
void Core::forget_oldest_ended() {
  if (ended_.size() <= ended_kept_) return;
  const auto oldest = std::ranges::find_if(ended_, [&](std::uint64_t id) {
    return last_ended_.at(rollouts_.at(id).state.plan.spec->service) != id;
  });
  if (oldest == ended_.end()) return;
  const RolloutId id{*oldest};
  ended_.erase(oldest);
  rollouts_.erase(id.value);
  sink_.forgotten(id);
}

void Core::note(Rollout& rollout) {
  const auto& state = rollout.state;
  if (is_terminal(state.position.phase)) {
    if (!std::exchange(rollout.is_listed_ended, true)) keep_ended(rollout);
    return forget(rollout);
  }
  if (std::exchange(rollout.is_listed_ended, false)) ended_.remove(state.plan.id.value); // undone
  const auto& live = state.live;
  const auto deadline = live.look_in_flight ? std::min(live.due, live.look_overdue) : live.due;
  if (rollout.runs && deadline == rollout.deadline) return;
  if (rollout.runs) deadlines_.erase({rollout.deadline, state.plan.id.value});
  rollout.runs = true;
  rollout.deadline = deadline;
  deadlines_.insert({deadline, state.plan.id.value});
  running_[state.plan.spec->service].insert(state.plan.id.value);
}

const State* Core::find(RolloutId id) const {
  const auto it = rollouts_.find(id.value);
  return it == rollouts_.end() ? nullptr : &it->second.state;
}

const SharedVector<LogEntry>* Core::log(RolloutId id) const {
  const auto it = rollouts_.find(id.value);
  return it == rollouts_.end() ? nullptr : &it->second.log;
}

const State* Core::running_on(std::string_view traffic) const {
  for (const auto& [service, ids] : running_) {
    for (const auto id : ids) {
      const auto& state = rollouts_.at(id).state;
      if (route::traffic_of(state.plan.spec->router) == traffic) return &state;
    }
  }
  return nullptr;
}

const State* Core::running(std::string_view service) const {
  const auto it = running_.find(service);
  return it == running_.end() ? nullptr : &rollouts_.at(*it->second.begin()).state;
}

void Core::run(Rollout& rollout, const Event& event) {
  const auto moment = now();
  auto [state, effects] = step(rollout.state, event, moment);
  rollout.state = std::move(state);
  note(rollout);
  for (auto& each : effects) {
    if (auto* record = std::get_if<effect::Record>(&each)) {
      add_lines(rollout, record->lines);
      sink_.record(make_record(rollout.state, event, moment, std::move(*record)));
    } else if (const auto* call = std::get_if<effect::CallRouter>(&each)) {
      sink_.call_router(rollout.state, *call);
    } else if (const auto* look = std::get_if<effect::TakeLook>(&each)) {
      sink_.take_look(rollout.state, *look);
    }
  }
  const bool quiet = std::holds_alternative<event::Tick>(event) ||
                     std::holds_alternative<event::Arrived>(event) ||
                     std::holds_alternative<event::JournalSynced>(event);
  if (!quiet || !effects.empty()) sink_.changed(rollout.state, rollout.log);
  forget_oldest_ended();
}

// Whoever shows a rollout shares its log: only a new line copies it.
void Core::add_lines(Rollout& rollout, const std::vector<LogEntry>& lines) {
  const auto has_text = [](const LogEntry& line) { return !line.text.empty(); };
  if (std::ranges::none_of(lines, has_text)) return;
  auto log = *rollout.log;
  std::ranges::copy_if(lines, std::back_inserter(log), has_text);
  if (log.size() > kMaxLogLines)
    log.erase(log.begin(), log.end() - static_cast<std::ptrdiff_t>(kMaxLogLines));
  rollout.log = std::move(log);
}

JournalRecord Core::make_record(const State& state, const Event& event, Moment moment,
                                effect::Record record) const {
  JournalRecord out;
  out.id = state.plan.id;
  out.event_json = encode_event(event, moment);
  out.state_json = encode_state(state);
  if (std::holds_alternative<event::Start>(event)) out.spec_json = encode_spec(*state.plan.spec);
  out.service = state.plan.spec->service;
  out.canary_version = state.plan.canary_version;
  out.stable_version = state.plan.stable_version;
  out.phase = to_string(state.position.phase);
  out.step = state.position.step;
  out.weight_asked = state.weight.asked;
  out.reason = state.position.reason;
  out.started_ms = state.plan.started_ms;
  out.ended_ms = state.end.ended_ms;
  if (!record.notices.empty()) {
    out.outbox = make_outbox(make_status(state, {}), *state.plan.spec, record.notices,
                             record.lines.back().sequence, moment.wall_ms);
  }
  out.lines = std::move(record.lines);
  return out;
}

} // namespace coalmine::rollout
