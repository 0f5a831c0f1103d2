// Moving the weight: what is asked of the router, what it answers, and the way back to 0.
// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "rollout/machine_step.h"
#include "rollout/validate.h"

namespace coalmine::rollout {

void MachineStep::ask(std::size_t index, std::string text) {
  s_.position.step = index;
  s_.weight.asked = s_.plan.steps[index].spec.weight;
  s_.weight.intent_by_hand = false;
  if (text.empty())
    text = fmt::format("step {} of {}: {} {}", index + 1, s_.plan.steps.size(),
                       moves_traffic() ? "moving to" : "watching what is planned for",
                       percent(s_.weight.asked));
  s_.position.reason = text;
  line("step", std::move(text));
  intend();
}

// What was just recorded is an intent: the router hears it when the journal has it.
void MachineStep::intend() {
  s_.weight.is_confirmed = false;
  s_.weight.intent_sequence = s_.sequence;
  s_.weight.intent_ms = now_.wall_ms;
  s_.weight.may_be_raised = true;
  s_.live.reassert = false;
  s_.live.router_failures = 0;
  s_.live.retry_at = 0;
  ++s_.live.epoch;
}

void MachineStep::on(const event::RouterDone& done) {
  switch (done.op) {
    case RouterOp::set: set_done(done); return;
    case RouterOp::panic: panic_done(done); return;
    case RouterOp::read: read_done(done); return;
  }
}

std::string MachineStep::failure_of(RouterOp op) const {
  switch (op) {
    case RouterOp::set:
      return fmt::format("the canary could not be set to {}", percent(s_.weight.asked));
    case RouterOp::panic: return "the canary could not be set to 0%";
    case RouterOp::read: break;
  }
  return "the weight could not be read";
}

void MachineStep::router_failed(const event::RouterDone& done) {
  auto& live = s_.live;
  live.retry_at =
      now_.steady_ms + std::min(kMaxRetryMs, kRetryMs << std::min(live.router_failures, 4));
  ++live.router_failures;
  if (s_.position.phase == Phase::rolling_back) live.retry_at = now_.steady_ms + kRetryMs;
  const auto why = done.error ? done.error->message : std::string("no answer");
  live.router_error = fmt::format("{}: {}", failure_of(done.op), why);
  if (s_.live.router_down_steady < 0) {
    s_.live.router_down_steady = now_.steady_ms;
    s_.weight.applied.reset();
    line("router_error", live.router_error + "; trying again");
    return;
  }
  const auto patience =
      s_.position.phase == Phase::rolling_back ? kRollbackAlarmMs : s_.plan.spec->no_data_grace_ms;
  if (s_.alarms.router_noticed || now_.steady_ms - s_.live.router_down_steady < patience) return;
  s_.alarms.router_noticed = true;
  auto text = fmt::format(
      "{}: the router has not answered for {} while the canary {}: {}; trying again until it does",
      named(), duration_text(now_.steady_ms - s_.live.router_down_steady),
      s_.position.phase == Phase::rolling_back
          ? "must go to 0%"
          : fmt::format("waits for {}", percent(s_.weight.asked)),
      why);
  line("router_error", text);
  notice("attention", std::move(text));
}

void MachineStep::router_answers() {
  s_.live.router_failures = 0;
  s_.live.retry_at = 0;
  s_.live.router_error.clear();
  if (s_.live.router_down_steady < 0) return;
  line("router_back", fmt::format("the router answers again after {}",
                                  duration_text(now_.steady_ms - s_.live.router_down_steady)));
  s_.live.router_down_steady = -1;
  s_.alarms.router_noticed = false;
}

void MachineStep::set_done(const event::RouterDone& done) {
  if (done.error) {
    const auto code = done.error->code;
    const bool hopeless = code == ErrorCode::failed_precondition ||
                          code == ErrorCode::invalid_argument || code == ErrorCode::unimplemented ||
                          code == ErrorCode::not_found;
    if (hopeless && !s_.live.reassert) {
      if (never_raised(done)) s_.weight.may_be_raised = false;
      pause(PauseCause::router_refused, fmt::format("the router cannot be set to {}: {}",
                                                    percent(s_.weight.asked), done.error->message));
      return;
    }
    router_failed(done);
    return;
  }
  const auto allowed = std::max(2 * drift_of(s_.weight.asked),
                                route::tolerance(s_.plan.spec->router, s_.weight.asked));
  if (std::abs(done.applied - s_.weight.asked) > allowed) {
    auto wrong = done;
    wrong.error =
        Error{ErrorCode::internal, fmt::format("it reads back {} after {} was set",
                                               percent(done.applied), percent(s_.weight.asked))};
    router_failed(wrong);
    return;
  }
  router_answers();
  confirm(done);
}

void MachineStep::confirm(const event::RouterDone& done) {
  s_.live.reassert = false;
  s_.live.next_read = now_.steady_ms + kReadEveryMs;
  s_.weight.applied = done.applied;
  s_.weight.confirmed = done.applied;
  const bool again = s_.weight.is_confirmed;
  s_.weight.is_confirmed = true;
  auto& current = s_.plan.steps[s_.position.step];
  line("weight_set",
       moves_traffic()
           ? fmt::format("{}: the router reads back {}{}{}", again ? "set again" : "confirmed",
                         percent(done.applied), done.detail.empty() ? "" : ": ", done.detail)
           : std::string(kNothingMoved));
  note_split_cause(done);
  if (current.started_ms == 0) s_.clock.observed_valid_ms = 0;
  restart_clock();
  if (current.started_ms != 0) return;
  current.started_ms = now_.wall_ms;
  s_.clock.extends = 0;
  s_.clock.deadline_ms = current.spec.analyze_ms;
  s_.alarms.regression_noticed = false;
  s_.alarms.asked_about_processes = false;
  s_.clock.last_decision = judge::Decision::keep_watching;
  s_.live.next_look = now_.steady_ms + s_.plan.spec->look_interval_ms;
  s_.live.judgement.reset();
  s_.live.observed_split.reset();
  if (!last_step()) {
    s_.position.reason =
        fmt::format("Step {} of {}: {} of the traffic{}, watching for {}.", s_.position.step + 1,
                    s_.plan.steps.size(), percent(current.spec.weight),
                    moves_traffic() ? "" : " is planned and " + std::string(kNothingMoved),
                    duration_text(current.spec.analyze_ms));
    return;
  }
  current.ended_ms = now_.wall_ms;
  current.outcome = "passed";
  s_.position.phase = Phase::promoted;
  s_.position.pause_cause = PauseCause::none;
  s_.end.ended_ms = now_.wall_ms;
  s_.position.reason =
      fmt::format("{} {}{}.", named(), how_promoted(),
                  moves_traffic() ? " and has all the traffic" : "; " + std::string(kNothingMoved));
  line("promoted", s_.position.reason);
  notice("promoted", s_.position.reason);
}

std::string MachineStep::how_promoted() const {
  if (!watches_something(*s_.plan.spec)) return "was promoted by hand, nothing was watched";
  std::string skipped;
  int count = 0;
  for (std::size_t i = 0; i < s_.plan.steps.size(); ++i) {
    if (s_.plan.steps[i].outcome != "skipped") continue;
    skipped += fmt::format("{}{}", skipped.empty() ? "" : ", ", i + 1);
    ++count;
  }
  if (count == 0) return "passed every step";
  return fmt::format("was promoted by hand (step{} {} of {} skipped)", count == 1 ? "" : "s",
                     skipped, s_.plan.steps.size());
}

// The router knows why the requests are not split by the weights: told when it begins and when it
// ends, and in the sentence of a split that is broken by it.
void MachineStep::note_split_cause(const event::RouterDone& done) {
  const bool splits = s_.weight.confirmed > 0 && s_.weight.confirmed < 1;
  const auto cause = splits ? done.split_cause : std::string();
  if (cause == s_.alarms.split_cause) return;
  s_.alarms.split_cause = cause;
  line("split", cause.empty() ? std::string("the router splits the requests by the weights again")
                              : "the requests may not be split as asked: " + cause);
  // The log is enough for health that comes and goes; what is so from the start needs a person.
  if (!cause.empty() && done.op == RouterOp::set)
    notice("attention",
           fmt::format("{}: the requests may not be split as asked: {}", named(), cause));
}

bool MachineStep::is_lowered() const {
  return s_.weight.is_confirmed && s_.weight.applied &&
         *s_.weight.applied < s_.weight.confirmed - drift_of(s_.weight.confirmed);
}

void MachineStep::pause_for_lower_weight(double applied) {
  pause(
      PauseCause::manual_override,
      fmt::format("manual override: the router has {} though {} was set; the lower weight is kept "
                  "until someone resumes or aborts",
                  percent(applied), percent(s_.weight.confirmed)));
}

void MachineStep::panic_done(const event::RouterDone& done) {
  if (!done.error && done.applied <= 1e-9) {
    router_answers();
    finish_rollback(done.split_cause);
    return;
  }
  if (never_raised(done)) {
    finish_never_raised();
    return;
  }
  if (!done.error && !done.kept.empty()) {
    keep_serving(done);
    return;
  }
  auto failed = done;
  if (!failed.error)
    failed.error =
        Error{ErrorCode::internal, fmt::format("it reads back {}, not 0%", percent(done.applied))};
  router_failed(failed);
}

// Paused on the way up. The last set may have reached the router before we were stopped; and
// somebody else's hand is seen in a pause like at any other time.
void MachineStep::read_unconfirmed(const event::RouterDone& done) {
  if (std::abs(done.applied - s_.weight.asked) <= drift_of(s_.weight.asked)) {
    // What nobody approved is not done because the router happens to be so.
    if (s_.position.pause_cause != PauseCause::unwatched) confirm(done);
    return;
  }
  const double most = std::max(s_.weight.asked, s_.weight.confirmed);
  const auto known = s_.weight.applied.value_or(0);
  const bool raised = done.applied > most + drift_of(most);
  const bool was_raised = known > most + drift_of(most);
  if (raised == was_raised && (!raised || std::abs(done.applied - known) <= drift_of(known)))
    return;
  s_.weight.applied = done.applied;
  if (!raised) {
    line("weight_read", fmt::format("the router has {}", percent(done.applied)));
    return;
  }
  // What the router refuses cannot be set again: a person must.
  const bool can_set = s_.position.pause_cause != PauseCause::router_refused;
  s_.live.reassert = can_set;
  ++s_.live.epoch;
  const auto text = fmt::format("the router has {} though no more than {} was asked for; {}",
                                percent(done.applied), percent(most),
                                can_set ? "setting " + percent(s_.weight.asked)
                                        : std::string("it must be lowered by hand, or with abort"));
  line("weight_drift", text);
  notice("attention", fmt::format("{}: {}", named(), text));
}

void MachineStep::read_done(const event::RouterDone& done) {
  s_.live.next_read = now_.steady_ms + kReadEveryMs;
  if (done.error) {
    router_failed(done);
    return;
  }
  const bool was_unknown = !s_.weight.applied;
  const double before = s_.weight.applied.value_or(s_.weight.confirmed);
  router_answers();
  if (!s_.weight.is_confirmed) {
    read_unconfirmed(done);
    return;
  }
  const double drift = drift_of(s_.weight.confirmed);
  if (done.applied > s_.weight.confirmed + drift) {
    if (s_.live.reassert) return;
    s_.live.reassert = true;
    ++s_.live.epoch;
    s_.weight.applied = done.applied;
    line("weight_drift", fmt::format("the router has {} though {} was set; setting it again",
                                     percent(done.applied), percent(s_.weight.confirmed)));
    return;
  }
  note_split_cause(done);
  if (done.applied < s_.weight.confirmed - drift && s_.position.phase == Phase::progressing) {
    s_.weight.applied = done.applied;
    pause_for_lower_weight(done.applied);
    return;
  }
  if (std::abs(done.applied - before) <= drift && !was_unknown) return;
  s_.weight.applied = done.applied;
  line("weight_read", fmt::format("the router has {}", percent(done.applied)));
}

std::string MachineStep::rolling_back_text(std::string_view why) const {
  return moves_traffic() ? fmt::format("rolling back: {}", why)
                         : fmt::format("decided to roll back; {}: {}", kNothingMoved, why);
}

void MachineStep::begin_rollback(std::string_view kind, std::string text, Phase end,
                                 const std::string& actor) {
  s_.position.phase = Phase::rolling_back;
  s_.end.phase = end;
  s_.position.pause_cause = PauseCause::none;
  s_.weight.asked = 0;
  s_.weight.is_confirmed = false;
  s_.end.decided_ms = now_.wall_ms;
  s_.live.decided_steady = now_.steady_ms;
  s_.alarms.router_noticed = false;
  if (s_.live.router_down_steady >= 0) s_.live.router_down_steady = now_.steady_ms;
  if (!s_.end.is_undo) { // its steps are over
    auto& current = s_.plan.steps[s_.position.step];
    current.outcome = end == Phase::rolled_back ? "failed" : "skipped";
    current.ended_ms = now_.wall_ms;
  }
  ++s_.live.epoch;
  s_.live.reassert = false;
  s_.live.router_failures = 0;
  s_.live.retry_at = 0;
  line(kind, std::move(text), actor);
}

// The weight of a canary that alone answers stays, by policy, and is tried again: the rollback ends
// when stable is back. A person is called at once, since nobody else brings it back.
void MachineStep::keep_serving(const event::RouterDone& done) {
  router_answers();
  s_.live.retry_at = now_.steady_ms + kRetryMs;
  if (s_.alarms.kept == done.kept) return;
  s_.alarms.kept = done.kept;
  s_.weight.applied = done.applied;
  line("stable_down", fmt::format("the canary is not set to 0%: {}", done.kept));
  notice("attention", fmt::format("{} is not set to 0%: {}", named(), done.kept));
}

void MachineStep::finish_rollback(std::string_view but) {
  s_.position.phase = s_.end.phase;
  s_.end.ended_ms = now_.wall_ms;
  s_.weight.applied = 0;
  s_.weight.confirmed = 0;
  s_.weight.is_confirmed = true;
  s_.alarms.kept.clear();
  if (!moves_traffic()) return finish_unmoved();
  s_.end.time_to_rollback_ms = static_cast<double>(
      s_.live.decided_steady >= 0 ? now_.steady_ms - s_.live.decided_steady
                                  : std::max<std::int64_t>(0, now_.wall_ms - s_.end.decided_ms));
  const auto word = s_.position.phase == Phase::aborted ? "aborted" : "rolled back";
  const auto note = but.empty() ? std::string() : fmt::format("; but {}", but);
  line(to_string(s_.position.phase),
       fmt::format("{} {}: the router reads back 0%, {} after the decision{}", named(), word,
                   duration_text(static_cast<std::int64_t>(s_.end.time_to_rollback_ms)), note));
  notice(
      to_string(s_.position.phase),
      fmt::format("{} {} at step {} ({}): {}{}", named(), word, s_.position.step + 1,
                  percent(s_.plan.steps[s_.position.step].spec.weight), s_.position.reason, note));
}

// Known for certain: of this process from its router, of earlier ones from the journal.
bool MachineStep::never_raised(const event::RouterDone& done) const {
  return done.never_raised && !s_.live.raised_before && !s_.live.set_in_flight;
}

// A way back that nothing went up before ends without the router, be it gone or named wrongly.
void MachineStep::finish_never_raised() {
  s_.position.phase = s_.end.phase;
  s_.end.ended_ms = now_.wall_ms;
  s_.weight.may_be_raised = false;
  s_.weight.applied.reset();
  const auto text =
      fmt::format("{} {}: no weight was ever set, so there was nothing to take back", named(),
                  s_.position.phase == Phase::aborted ? "aborted" : "rolled back");
  line(to_string(s_.position.phase), text);
  notice(to_string(s_.position.phase), fmt::format("{}: {}", text, s_.position.reason));
}

// The decision is all there is: no time to 0% was measured and no traffic went back.
void MachineStep::finish_unmoved() {
  const auto decided =
      fmt::format("decided to {}; {}", s_.position.phase == Phase::aborted ? "abort" : "roll back",
                  kNothingMoved);
  line(to_string(s_.position.phase), fmt::format("{}: {}", named(), decided));
  notice(to_string(s_.position.phase),
         fmt::format("{} at step {} ({}): {}: {}", named(), s_.position.step + 1,
                     percent(s_.plan.steps[s_.position.step].spec.weight), decided,
                     s_.position.reason));
}

void MachineStep::call_router(RouterOp op, double weight) {
  auto& live = s_.live;
  if (op != RouterOp::read) ++live.epoch;
  (op == RouterOp::set     ? live.set_in_flight
   : op == RouterOp::panic ? live.panic_in_flight
                           : live.read_in_flight) = true;
  calls_.emplace_back(effect::CallRouter{op, weight, live.epoch});
}

void MachineStep::drive_router() {
  auto& live = s_.live;
  const auto now = now_.steady_ms;
  const auto wait_until = [&](std::int64_t when) { live.due = std::min(live.due, when); };
  if (s_.position.phase == Phase::rolling_back) {
    if (live.panic_in_flight) return;
    if (now < live.retry_at) return wait_until(live.retry_at);
    return call_router(RouterOp::panic, 0);
  }
  if (live.set_in_flight) return;
  const bool up = s_.position.phase == Phase::progressing && !s_.weight.is_confirmed &&
                  live.synced_sequence >= s_.weight.intent_sequence;
  // Nothing that the journal does not have is sent, not even as a repetition.
  const bool again = live.reassert &&
                     (s_.weight.is_confirmed || live.synced_sequence >= s_.weight.intent_sequence);
  if (up || again) {
    if (now < live.retry_at) return wait_until(live.retry_at);
    return call_router(RouterOp::set, s_.weight.asked);
  }
  if ((!s_.weight.is_confirmed && s_.position.phase != Phase::paused) || live.read_in_flight)
    return;
  if (now < live.next_read) return wait_until(live.next_read);
  call_router(RouterOp::read, 0);
}

} // namespace coalmine::rollout
