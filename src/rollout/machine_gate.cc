// What looks lead to: the gate at a step's end, and regressions. And the small words of the
// machine.
// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "rollout/machine_step.h"

namespace coalmine::rollout {

std::string_view to_string(Phase phase) {
  switch (phase) {
    case Phase::progressing: return "progressing";
    case Phase::paused: return "paused";
    case Phase::rolling_back: return "rolling_back";
    case Phase::promoted: return "promoted";
    case Phase::rolled_back: return "rolled_back";
    case Phase::aborted: return "aborted";
    case Phase::abandoned: return "abandoned";
  }
  return "progressing";
}

std::string_view to_string(Condition condition) {
  switch (condition) {
    case Condition::none: return "none";
    case Condition::awaits_telemetry: return "awaits_telemetry";
    case Condition::router_failing: return "router_failing";
  }
  return "none";
}

bool is_terminal(Phase phase) {
  return phase == Phase::promoted || phase == Phase::rolled_back || phase == Phase::aborted ||
         phase == Phase::abandoned;
}

std::string_view to_string(PauseCause cause) {
  switch (cause) {
    case PauseCause::none: return "none";
    case PauseCause::by_hand: return "by_hand";
    case PauseCause::approval: return "approval";
    case PauseCause::undecided: return "undecided";
    case PauseCause::no_data: return "no_data";
    case PauseCause::manual_override: return "manual_override";
    case PauseCause::regression: return "regression";
    case PauseCause::router_refused: return "router_refused";
    case PauseCause::canary_silent: return "canary_silent";
    case PauseCause::old_intent: return "old_intent";
    case PauseCause::unwatched: return "unwatched";
    case PauseCause::same_version: return "same_version";
    case PauseCause::processes_differ: return "processes_differ";
  }
  return "none";
}

std::string_view to_string(RouterOp op) {
  switch (op) {
    case RouterOp::set: return "set";
    case RouterOp::panic: return "panic";
    case RouterOp::read: return "read";
  }
  return "read";
}

bool terminal_or_rolling_back(const State& state) {
  return is_terminal(state.position.phase) || state.position.phase == Phase::rolling_back;
}

std::string percent(double weight) { return fmt::format("{:.4g}%", weight * 100); }

std::string duration_text(std::int64_t ms) {
  if (ms < 1000) return fmt::format("{}ms", std::max<std::int64_t>(0, ms));
  if (ms < 10'000 && ms % 1000 != 0)
    return fmt::format("{:.1f}s", static_cast<double>(ms) / 1000.0);
  const auto seconds = ms / 1000;
  if (seconds < 60) return fmt::format("{}s", seconds);
  if (seconds < 3600)
    return seconds % 60 == 0 ? fmt::format("{}m", seconds / 60)
                             : fmt::format("{}m{}s", seconds / 60, seconds % 60);
  const auto minutes = seconds / 60;
  return minutes % 60 == 0 ? fmt::format("{}h", minutes / 60)
                           : fmt::format("{}h{}m", minutes / 60, minutes % 60);
}

namespace {

Status check_undo(const State& state, const std::string& name) {
  const auto no = [](std::string text) {
    return fail(ErrorCode::failed_precondition, std::move(text));
  };
  if (state.end.is_undo && state.position.phase != Phase::abandoned) return {}; // already so
  const auto phase = state.position.phase;
  if (!is_terminal(phase))
    return no(fmt::format("{} is {}: undo takes back what was promoted; abort ends what runs", name,
                          to_string(phase)));
  if (phase == Phase::abandoned)
    return no(
        fmt::format("{} was abandoned, and where its traffic goes is unknown; see to it in "
                    "the router",
                    name));
  if (phase != Phase::promoted)
    return no(fmt::format("{} was {}: its traffic is back on stable already", name,
                          phase == Phase::aborted ? "aborted" : "rolled back"));
  if (!route::moves_traffic(state.plan.spec->router))
    return no(
        fmt::format("{} moved nothing (router: observe), so there is nothing to take back", name));
  return {};
}

} // namespace

Status check_command(const State& state, Command command, std::string_view reason) {
  const auto no = [](std::string text) {
    return fail(ErrorCode::failed_precondition, std::move(text));
  };
  const auto name = fmt::format("rollout {}", state.plan.id.value);
  if (command == Command::abort &&
      (state.position.phase == Phase::aborted ||
       (state.position.phase == Phase::rolling_back && state.end.phase == Phase::aborted))) {
    return {};
  }
  if (command == Command::abandon && state.position.phase == Phase::abandoned) return {};
  if (command == Command::undo) return check_undo(state, name);
  if (is_terminal(state.position.phase)) {
    const bool undoable = command == Command::abort && state.position.phase == Phase::promoted;
    return no(fmt::format("{} has ended: {}; {}", name, to_string(state.position.phase),
                          undoable ? "undo takes it back" : "start a new one"));
  }
  if (command == Command::abandon) {
    if (!reason.empty()) return {};
    return fail(ErrorCode::invalid_argument,
                "abandon leaves the traffic wherever the router sends it, so it needs a reason; "
                "give one with --reason, or use abort");
  }
  if (state.position.phase == Phase::rolling_back) {
    return no(
        fmt::format("{} is being taken to 0% already; that ends only when the router reads "
                    "back 0%, or with abandon",
                    name));
  }
  const auto cause = state.position.pause_cause;
  if (command == Command::resume &&
      (cause == PauseCause::approval || cause == PauseCause::unwatched)) {
    return no(fmt::format("{} waits for an approval at step {}; use promote or abort", name,
                          state.position.step + 1));
  }
  if (command != Command::promote && command != Command::promote_full) return {};
  if (reason.empty()) {
    return fail(ErrorCode::invalid_argument,
                "promote passes a gate by hand, so it needs a reason; give one with --reason");
  }
  if (command == Command::promote_full && !state.live.router_error.empty())
    return no(
        fmt::format("the router of {} does not do what it is asked, so nothing would "
                    "change: {}; wait until it does, or abort",
                    name, state.live.router_error));
  if (cause == PauseCause::unwatched) return {};
  if (!state.weight.is_confirmed || state.plan.steps[state.position.step].started_ms == 0) {
    return no(
        fmt::format("step {} of {} has not begun: the router has not confirmed {}; wait, or abort",
                    state.position.step + 1, name, percent(state.weight.asked)));
  }
  return {};
}

void MachineStep::on(const event::Looked& looked) {
  const auto& look = looked.look;
  auto& live = s_.live;
  if (!source_answers(look)) return;
  live.waiting = look.waiting;
  if (learn_versions(look)) return;
  live.judgement = look.judgement;
  live.advice = look.advice;
  live.judged_from_ms = look.from_ms;
  live.judged_ms = look.to_ms;
  const double total = look.canary_requests + look.stable_requests;
  live.observed_split = total > 0 ? std::optional(look.canary_requests / total) : std::nullopt;

  live.read_until_ms = look.judgement_incomplete ? look.read_until_ms : 0;
  if (look.read_until_ms != 0) live.next_look = now_.steady_ms; // there is more to read at once

  note_routes(look);
  if (is_heard(look)) {
    note_split(look);
    note_instances(look);
  }
  if (look.judgement->decision == judge::Decision::rollback) regression(look);
  if (look.judgement->decision == judge::Decision::inconclusive) ask_about_processes(look);
  // What is not read yet may be what seems to be missing.
  if (terminal_or_rolling_back(s_) || look.judgement_incomplete || canary_silent(look)) return;
  end_no_data(look);
  if (s_.position.phase != Phase::progressing || !s_.weight.is_confirmed) return;
  // Nothing passes before it is known which versions are watched.
  const bool advanced = look.waiting.empty() && advance_clock(look);
  const bool changed = look.judgement->decision != s_.clock.last_decision;
  const auto own = lines_.size();
  if (advanced || changed) {
    s_.clock.last_decision = look.judgement->decision;
    line("look", changed ? fmt::format("{}: {}", judge::to_string(s_.clock.last_decision),
                                       look.judgement->reason)
                         : std::string());
  }
  if (!advanced && no_data(look)) return;
  if (look.waiting.empty()) gate(look);
  if (lines_.size() > own + 1) lines_[own].text.clear(); // the gate's line says the same and more
}

void MachineStep::regression(const LookResult& look) {
  switch (s_.plan.spec->on_fail) {
    case PolicyAction::rollback:
      s_.position.reason = look.judgement->reason;
      s_.clock.last_decision = look.judgement->decision;
      begin_rollback("rollback", rolling_back_text(look.judgement->reason), Phase::rolled_back,
                     "coalmine");
      return;
    case PolicyAction::pause:
      if (s_.position.phase == Phase::paused) return;
      pause(PauseCause::regression,
            fmt::format("regression, the weight is held: {}", look.judgement->reason));
      return;
    case PolicyAction::notify:
      if (s_.alarms.regression_noticed) return;
      s_.alarms.regression_noticed = true;
      line("regression", look.judgement->reason);
      notice("attention", fmt::format("{} is worse at step {}: {}", named(), s_.position.step + 1,
                                      look.judgement->reason));
      return;
  }
}

// Once a step: who resumes has answered.
void MachineStep::ask_about_processes(const LookResult& look) {
  if (s_.position.phase != Phase::progressing || s_.alarms.asked_about_processes) return;
  s_.alarms.asked_about_processes = true;
  pause(PauseCause::processes_differ,
        fmt::format("please decide (promote, resume or abort), the weight is held: {}",
                    look.judgement->reason));
}

// One line when the split breaks and one when it is as asked again.
void MachineStep::note_split(const LookResult& look) {
  const bool broken = !look.split_problem.empty();
  if (broken == s_.alarms.split_noticed) return;
  s_.alarms.split_noticed = broken;
  if (!broken) {
    line("split", "the traffic split is as asked again; the tracks are compared again");
    return;
  }
  line("split", look.split_problem);
  notice("attention", fmt::format("{}: {}", named(), look.split_problem));
}

// A route that is misspelt in the config is left out of nothing, and critical to nobody.
void MachineStep::note_routes(const LookResult& look) {
  s_.live.routes_checked = s_.live.routes_checked || look.routes_checked;
  if (look.unmatched_routes.empty() || !s_.alarms.unmatched_routes.empty()) return;
  s_.alarms.unmatched_routes = look.unmatched_routes;
  line("warning", look.unmatched_routes);
}

void MachineStep::gate(const LookResult& look) {
  const auto& spec = s_.plan.steps[s_.position.step].spec;
  if (s_.clock.observed_valid_ms < spec.analyze_ms || !s_.weight.applied) return;
  const bool enough = look.canary_requests >= spec.min_requests;
  if (look.judgement->decision == judge::Decision::promote && enough) {
    if (spec.approve_manually) {
      pause(PauseCause::approval,
            fmt::format("step {} of {} passed and waits for an approval: {}", s_.position.step + 1,
                        s_.plan.steps.size(), look.judgement->reason));
      return;
    }
    pass_gate("passed", "passed",
              fmt::format("step {} of {} passed: {}", s_.position.step + 1, s_.plan.steps.size(),
                          look.judgement->reason),
              "coalmine");
    return;
  }
  if (s_.clock.observed_valid_ms >= s_.clock.deadline_ms) undecided(look);
}

void MachineStep::undecided(const LookResult& look) {
  const auto& spec = s_.plan.steps[s_.position.step].spec;
  // Else the judgement says how many are missing, of those that it compares.
  const bool too_few = look.judgement->decision == judge::Decision::promote &&
                       look.canary_requests < spec.min_requests;
  const auto why = too_few ? fmt::format("{:.0f} canary requests of the {:.0f} needed",
                                         std::floor(look.canary_requests), spec.min_requests)
                           : look.judgement->reason;
  if (s_.clock.extends < s_.plan.spec->max_extends) {
    ++s_.clock.extends;
    s_.clock.deadline_ms = s_.clock.observed_valid_ms + extension_ms();
    line("extend",
         fmt::format("not decided after {}, watching up to {} more ({} of {}): {}",
                     duration_text(s_.clock.observed_valid_ms), duration_text(extension_ms()),
                     s_.clock.extends, s_.plan.spec->max_extends, why));
    return;
  }
  pause(PauseCause::undecided,
        fmt::format("not decided after {}, please decide (promote, resume or abort): {}",
                    duration_text(s_.clock.observed_valid_ms), why));
}

void MachineStep::pass_gate(std::string outcome, std::string kind, std::string text,
                            const std::string& actor) {
  auto& current = s_.plan.steps[s_.position.step];
  current.outcome = std::move(outcome);
  current.ended_ms = now_.wall_ms;
  s_.position.phase = Phase::progressing;
  s_.position.pause_cause = PauseCause::none;
  const bool by_hand = kind == "promote";
  line(kind, std::move(text), actor);
  ask(s_.position.step + 1, "");
  s_.weight.intent_by_hand = by_hand;
}

} // namespace coalmine::rollout
