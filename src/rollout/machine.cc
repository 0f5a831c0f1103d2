// SPDX-License-Identifier: Apache-2.0
#include "rollout/machine.h"

#include <fmt/format.h>

#include <algorithm>

#include "rollout/machine_step.h"
#include "rollout/validate.h"

namespace coalmine::rollout {

void MachineStep::line(std::string_view kind, std::string text, std::string_view actor) {
  ++s_.sequence;
  lines_.push_back(
      {s_.sequence, now_.wall_ms, std::string(kind), std::move(text), std::string(actor)});
}

std::string MachineStep::named() const {
  return s_.plan.canary_version.empty() ? s_.plan.spec->service
                                        : s_.plan.spec->service + " " + s_.plan.canary_version;
}

bool MachineStep::admit(const Event& event) {
  if (const auto* done = std::get_if<event::RouterDone>(&event)) {
    auto& live = s_.live;
    switch (done->op) {
      case RouterOp::set:
        live.set_in_flight = false;
        // A set that comes back during a rollback may have overtaken a panic: only a panic begun
        // from here on counts.
        if (s_.position.phase == Phase::rolling_back) {
          ++live.epoch;
          live.retry_at = 0;
        }
        return done->epoch == live.epoch && !terminal_or_rolling_back(s_);
      case RouterOp::panic:
        live.panic_in_flight = false;
        if (s_.position.phase != Phase::rolling_back) return false;
        if (live.set_in_flight) live.retry_at = now_.steady_ms + kRetryMs / 10;
        return done->epoch == live.epoch && !live.set_in_flight;
      case RouterOp::read:
        live.read_in_flight = false;
        if (live.await_look && s_.weight.is_confirmed && !done->error &&
            done->applied < s_.weight.confirmed - drift_of(s_.weight.confirmed)) {
          live.next_read = now_.steady_ms + kRetryMs;
          return false;
        }
        return done->epoch == live.epoch && !live.set_in_flight && !terminal_or_rolling_back(s_);
    }
  }
  if (const auto* looked = std::get_if<event::Looked>(&event)) {
    if (looked->look.look != s_.live.look || !s_.live.look_in_flight) return false;
    if (looked->look.under_way) {
      s_.live.look_overdue = now_.steady_ms + kLookOverdueMs;
    } else {
      s_.live.look_in_flight = false;
      if (looked->look.source_error.empty() && !looked->look.judgement_incomplete)
        s_.live.await_look = false;
    }
    return looked->look.step == s_.position.step && !terminal_or_rolling_back(s_);
  }
  if (const auto* command = std::get_if<event::Commanded>(&event)) {
    if (!check_command(s_, command->command, command->reason)) return false;
    if (command->command == Command::undo) return s_.position.phase == Phase::promoted;
    if (is_terminal(s_.position.phase)) return false; // already so
    if (command->command == Command::abandon) return true;
    if (s_.position.phase == Phase::rolling_back) return false; // already so
    if (command->command == Command::pause) return s_.position.phase != Phase::paused;
    if (command->command == Command::resume) return s_.position.phase == Phase::paused;
    return true;
  }
  if (std::holds_alternative<event::Start>(event)) return s_.sequence == 0;
  if (std::holds_alternative<event::Recovered>(event)) return !is_terminal(s_.position.phase);
  return true;
}

void MachineStep::apply(const Event& event) {
  std::visit([this](const auto& e) { on(e); }, event);
}

void MachineStep::on(const event::Start& start) {
  s_.plan.id = start.id;
  s_.plan.spec = start.spec;
  s_.plan.canary_version = start.canary_version;
  s_.plan.stable_version = start.stable_version;
  s_.plan.canary_open = start.canary_open;
  s_.plan.stable_open = start.stable_open;
  s_.plan.actor = start.actor;
  s_.plan.started_ms = now_.wall_ms;
  for (const auto& spec : start.spec->steps)
    s_.plan.steps.push_back({.spec = spec, .started_ms = 0, .ended_ms = 0, .outcome = ""});
  const auto against = start.stable_version.empty() ? std::string("stable") : start.stable_version;
  line("started", fmt::format("{} against {}, {} steps", named(), against, s_.plan.steps.size()),
       start.actor);
  ask(0, "");
  if (watches_something(*start.spec)) return;
  pause(PauseCause::unwatched,
        "nothing is watched before the canary gets 100%, so a person decides: promote sends it "
        "all the traffic, abort ends the rollout; a step before it, such as 5% 10m, would watch");
}

// Before this the telemetry of an open track has brought nothing, so nothing was judged of it.
bool MachineStep::learn_versions(const LookResult& look) {
  auto& plan = s_.plan;
  const auto learn = [&](std::string_view track, const TrackHeard& heard, bool& open,
                         std::string& version) {
    if (!open || !heard.first_version) return false;
    open = false;
    const auto& found = *heard.first_version;
    if (found != version || version.empty()) {
      line("version",
           found.empty()
               ? fmt::format(
                     "the telemetry of {} cannot be told apart by version: all of it is taken",
                     track)
           : version.empty()
               ? fmt::format("{} reports as version {}", track, found)
               : fmt::format("{} reports as version {}, no longer {}", track, found, version));
    } else {
      line("version", ""); // as it was taken at the start
    }
    version = found;
    return true;
  };
  const bool canary = learn("canary", look.canary, plan.canary_open, plan.canary_version);
  const bool stable = learn("stable", look.stable, plan.stable_open, plan.stable_version);
  if (!canary && !stable) return false;
  s_.live.judgement.reset();
  s_.live.next_look = now_.steady_ms;
  if (s_.position.phase == Phase::progressing && !plan.canary_version.empty() &&
      plan.canary_version == plan.stable_version) {
    pause(PauseCause::same_version,
          fmt::format("canary and stable both report as version {}: there is nothing to compare; "
                      "deploy the new version as the canary and start again after abort, or resume "
                      "to compare them all the same",
                      plan.canary_version));
  }
  return true;
}

void MachineStep::pause(PauseCause cause, std::string text, const std::string& actor) {
  s_.position.phase = Phase::paused;
  s_.position.pause_cause = cause;
  s_.position.reason = text;
  s_.position.paused_ms = now_.wall_ms;
  line("pause", text, actor);
  notice("paused", fmt::format("{} is paused at step {}: {}", named(), s_.position.step + 1, text));
}

void MachineStep::on(const event::Commanded& command) {
  const auto because = command.reason.empty() ? std::string() : ": " + command.reason;
  switch (command.command) {
    case Command::pause:
      pause(PauseCause::by_hand, fmt::format("paused by {}{}", command.actor, because),
            command.actor);
      return;
    case Command::resume: resume(command); return;
    case Command::promote: {
      if (s_.position.pause_cause == PauseCause::unwatched) return send_unwatched(command);
      const bool judged = s_.position.pause_cause == PauseCause::approval;
      pass_gate(judged ? "passed" : "skipped", "promote",
                fmt::format("step {} of {} passed by {}{}", s_.position.step + 1,
                            s_.plan.steps.size(), command.actor, because),
                command.actor);
      return;
    }
    case Command::promote_full: promote_full(command); return;
    case Command::abort:
      s_.position.reason = fmt::format("Aborted by {}{}", command.actor, because);
      begin_rollback("abort",
                     fmt::format("{}; {}", s_.position.reason,
                                 moves_traffic() ? "taking the canary to 0%" : kNothingMoved),
                     Phase::aborted, command.actor);
      return;
    case Command::abandon: abandon(command); return;
    case Command::undo: undo(command); return;
  }
}

void MachineStep::promote_full(const event::Commanded& command) {
  if (s_.position.pause_cause == PauseCause::unwatched) return send_unwatched(command);
  const auto first = s_.position.step;
  auto& steps = s_.plan.steps;
  for (auto i = first; i + 1 < steps.size(); ++i) {
    const bool judged = i == first && s_.position.pause_cause == PauseCause::approval;
    steps[i].outcome = judged ? "passed" : "skipped";
    steps[i].ended_ms = now_.wall_ms;
  }
  s_.position.phase = Phase::progressing;
  s_.position.pause_cause = PauseCause::none;
  line("promote",
       fmt::format("to {} at once from step {} of {}, by {}: {}", percent(steps.back().spec.weight),
                   first + 1, steps.size(), command.actor, command.reason),
       command.actor);
  ask(steps.size() - 1, "");
  s_.weight.intent_by_hand = true;
}

// The way back after the end. What the router was sent before is known to have raised the weight.
void MachineStep::undo(const event::Commanded& command) {
  s_.position.reason = fmt::format("Taken back by {} after its promotion{}{}", command.actor,
                                   command.reason.empty() ? "" : ": ", command.reason);
  s_.end.is_undo = true;
  s_.end.ended_ms = 0;
  s_.live.raised_before = true;
  begin_rollback("undo", fmt::format("{}; taking the canary to 0%", s_.position.reason),
                 Phase::rolled_back, command.actor);
}

void MachineStep::send_unwatched(const event::Commanded& command) {
  s_.position.phase = Phase::progressing;
  s_.position.pause_cause = PauseCause::none;
  s_.position.reason =
      fmt::format("{} to 100% without watching, by {}: {}", named(), command.actor, command.reason);
  line("promote", s_.position.reason, command.actor);
  intend();
  s_.weight.intent_by_hand = true;
}

// The end without the router: it may be gone for good, and a rollback must not wait for ever.
// Nothing is sent to it from here on, so nothing is claimed about the traffic.
void MachineStep::abandon(const event::Commanded& command) {
  const auto known =
      s_.weight.confirmed > 0
          ? fmt::format("the weight it last confirmed is {}", percent(s_.weight.confirmed))
          : std::string("it confirmed no weight of this rollout");
  s_.position.phase = Phase::abandoned;
  s_.end.phase = Phase::abandoned;
  s_.position.pause_cause = PauseCause::none;
  s_.position.reason = fmt::format(
      "Abandoned by {}: {}. {}", command.actor, command.reason,
      moves_traffic()
          ? fmt::format("The router is not asked any more, so where the traffic goes is unknown "
                        "({}); see to it by hand",
                        known)
          : fmt::format("It ends here; {}", kNothingMoved));
  s_.end.ended_ms = now_.wall_ms;
  s_.weight.applied.reset();
  auto& current = s_.plan.steps[s_.position.step];
  if (current.outcome.empty()) current.outcome = "skipped";
  if (current.ended_ms == 0) current.ended_ms = now_.wall_ms;
  ++s_.live.epoch;
  s_.live.reassert = false;
  line("abandoned", s_.position.reason, command.actor);
  notice("abandoned",
         fmt::format("{} at step {}: {}", named(), s_.position.step + 1, s_.position.reason));
}

void MachineStep::resume(const event::Commanded& command) {
  const auto cause = s_.position.pause_cause;
  s_.position.phase = Phase::progressing;
  s_.position.pause_cause = PauseCause::none;
  s_.alarms.regression_noticed = false;
  s_.position.reason = fmt::format("Resumed by {}{}{}", command.actor,
                                   command.reason.empty() ? "" : ": ", command.reason);
  line("resume", s_.position.reason, command.actor);
  restart_clock();
  if (cause == PauseCause::undecided) {
    s_.clock.extends = 0;
    s_.clock.deadline_ms = s_.clock.observed_valid_ms + extension_ms();
  }
  if (!s_.weight.is_confirmed || is_lowered()) intend();
}

void MachineStep::on(const event::JournalSynced& synced) {
  s_.live.synced_sequence = std::max(s_.live.synced_sequence, synced.sequence);
}

void MachineStep::on(const event::Recovered&) {
  Live fresh;
  fresh.epoch = s_.live.epoch + 1;
  fresh.synced_sequence = s_.sequence; // a state that was read from the journal is in the journal
  fresh.judgement = std::move(s_.live.judgement);
  fresh.observed_split = s_.live.observed_split;
  fresh.judged_from_ms = s_.live.judged_from_ms;
  fresh.judged_ms = s_.live.judged_ms;
  fresh.reassert =
      s_.weight.is_confirmed && !route::moves_traffic(s_.plan.spec->router); // it remembers nothing
  fresh.await_look = true;
  fresh.raised_before = s_.weight.may_be_raised;
  s_.live = std::move(fresh);
  s_.weight.applied.reset(); // until it is read: no gate opens before
  s_.alarms.source_noticed = false;
  s_.alarms.router_noticed = false;
  restart_clock();
  line("recovered", fmt::format("coalmine started again; going on at step {}, {}",
                                s_.position.step + 1, to_string(s_.position.phase)));

  const bool on_the_way_up = s_.position.phase == Phase::progressing && !s_.weight.is_confirmed &&
                             s_.plan.steps[s_.position.step].started_ms == 0;
  if (!on_the_way_up || s_.weight.intent_by_hand ||
      now_.wall_ms - s_.weight.intent_ms <= kIntentFreshMs)
    return;
  const auto decided = fmt::format("the decision to go to {} is {} old", percent(s_.weight.asked),
                                   duration_text(now_.wall_ms - s_.weight.intent_ms));
  if (s_.position.step == 0) {
    pause(PauseCause::old_intent,
          decided +
              " and the router had not confirmed it when coalmine stopped: resume carries it "
              "out, abort ends the rollout");
    return;
  }
  auto& before = s_.plan.steps[s_.position.step - 1];
  before.outcome.clear();
  before.ended_ms = 0;
  ask(s_.position.step - 1, fmt::format("{}: back at {} until a new look confirms it", decided,
                                        percent(before.spec.weight)));
}

void MachineStep::on(const event::Arrived& arrived) {
  auto& live = s_.live;
  live.next_look =
      std::min(live.next_look, std::max(now_.steady_ms, live.look_started + arrived.gap_ms));
}

// Once, in the second half of the first step: routes that are seldom asked for have come by then,
// and nothing has been promoted.
bool MachineStep::routes_are_due() const {
  const auto& spec = *s_.plan.spec;
  const bool names_some = !spec.critical_routes.empty() || !spec.ignore_routes.empty();
  return names_some && s_.position.step == 0 && !s_.live.routes_checked &&
         s_.alarms.unmatched_routes.empty() &&
         s_.clock.observed_valid_ms >= s_.plan.steps[0].spec.analyze_ms / 2;
}

// A look's window is the step so far, so that no early evidence is lost; a step that lasts longer
// than it was meant to (paused, blind) is seen through a window as long as the step was meant to
// be, so that new trouble does not drown in old quiet.
void MachineStep::drive_look() {
  auto& live = s_.live;
  if (s_.position.phase == Phase::rolling_back || live.look_in_flight) return;
  // Still on the way up, maybe past steps that never began: the old weight is watched on.
  std::int64_t since = 0;
  for (auto i = s_.position.step + 1; since == 0 && i > 0; --i)
    since = s_.plan.steps[i - 1].started_ms;
  if (since == 0) return;
  if (now_.steady_ms < live.next_look) {
    live.due = std::min(live.due, live.next_look);
    return;
  }
  live.look_in_flight = true;
  live.look_started = now_.steady_ms;
  live.look_overdue = now_.steady_ms + kLookOverdueMs;
  live.next_look = now_.steady_ms + s_.plan.spec->look_interval_ms;
  ++live.look;
  const auto width = std::max(s_.plan.spec->analysis_window_ms, s_.clock.deadline_ms);
  const auto age = std::max(now_.wall_ms - since, s_.clock.observed_valid_ms +
                                                      (now_.steady_ms - s_.live.watermark_steady));
  calls_.emplace_back(effect::TakeLook{.look = live.look,
                                       .step = s_.position.step,
                                       .from_ms = std::max(since, now_.wall_ms - width),
                                       .to_ms = now_.wall_ms,
                                       .age_minutes = static_cast<double>(age) / 60'000.0,
                                       .check_routes = routes_are_due()});
}

StepOutcome MachineStep::drive() && {
  s_.live.due = INT64_MAX;
  if (!is_terminal(s_.position.phase) && s_.plan.spec != nullptr) {
    drive_router();
    drive_look();
  }
  StepOutcome out;
  // A rollback calls the router first. Everything else is recorded first, and an upward call waits
  // for the sync.
  if (s_.position.phase == Phase::rolling_back) out.effects = std::move(calls_);
  if (!lines_.empty())
    out.effects.emplace_back(effect::Record{std::move(lines_), std::move(notices_)});
  if (s_.position.phase != Phase::rolling_back)
    std::ranges::move(calls_, std::back_inserter(out.effects));
  out.state = std::move(s_);
  return out;
}

StepOutcome step(const State& state, const Event& event, Moment now) {
  MachineStep work(state, now);
  if (work.admit(event)) work.apply(event);
  return std::move(work).drive();
}

State fold(const State& state, const Event& event, Moment now) {
  MachineStep work(state, now);
  work.apply(event);
  return std::move(work).take_state();
}

} // namespace coalmine::rollout
