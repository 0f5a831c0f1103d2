// What is missing: telemetry that stops, a canary that is silent, instances that are, a store that
// does not answer. And what ends such a wait.
// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>

#include "base/rfc3339.h"
#include "judge/reason.h"
#include "rollout/machine_step.h"

namespace coalmine::rollout {
namespace {

// Fewer may just not have come: at this many, none at all is one chance in twenty thousand.
constexpr double kSilentRequests = 10;

constexpr std::string_view kBackByHand =
    "Telemetry of both tracks comes again. The rollout was paused for no data and goes on when "
    "someone resumes it (policy.no_data.resume is manual)";

std::int64_t heard_of(const TrackHeard& track) { return std::max(track.heard_ms, track.last_ms); }

} // namespace

std::int64_t grace_for(std::int64_t grace_ms, std::int64_t interval_ms) {
  return std::max(grace_ms, interval_ms + interval_ms / 2 + 1'000);
}

std::int64_t watched_from_ms(const State& state) {
  const auto& steps = state.plan.steps;
  const auto at = state.position.step;
  auto started = steps[at].started_ms;
  if (started == 0 && at > 0) started = steps[at - 1].started_ms; // the old weight is watched on
  return started == 0 ? 0 : std::max(started, state.clock.watermark_ms);
}

// False: the store did not answer. The weight is held and the step's clock stands still, for as
// long as it takes. What a pause waits for stays its reason.
bool MachineStep::source_answers(const LookResult& look) {
  const bool progressing = s_.position.phase == Phase::progressing;
  if (look.source_error.empty()) {
    if (s_.live.source_down_steady < 0) return true;
    const auto text = fmt::format("the telemetry store answers again after {}",
                                  duration_text(now_.steady_ms - s_.live.source_down_steady));
    line("source_back", text);
    if (progressing) s_.position.reason = text;
    s_.live.source_down_steady = -1;
    s_.alarms.source_noticed = false;
    restart_clock();
    return true;
  }
  const bool says_all = look.source_error.starts_with(judge::kStoreSentence);
  if (s_.live.source_down_steady < 0) {
    s_.live.source_down_steady = now_.steady_ms;
    const auto text =
        says_all ? fmt::format("{}; the weight is held", look.source_error)
                 : fmt::format("The telemetry store cannot be reached, the weight is held: {}",
                               look.source_error);
    if (progressing) s_.position.reason = text;
    line("source_error", text);
  } else if (!s_.alarms.source_noticed &&
             now_.steady_ms - s_.live.source_down_steady >= s_.plan.spec->no_data_grace_ms) {
    s_.alarms.source_noticed = true;
    auto text = fmt::format(
        "{}: no look has been answered by the telemetry store for {}, the weight is held: {}",
        named(), duration_text(now_.steady_ms - s_.live.source_down_steady), look.source_error);
    line("source_error", text);
    notice("attention", std::move(text));
  }
  return false;
}

void MachineStep::note_instances(const LookResult& look) {
  if (look.silent_instances == s_.alarms.silent_instances) return;
  s_.alarms.silent_instances = look.silent_instances;
  if (look.silent_instances.empty()) {
    line("instances", "no instance of the canary is missing any more");
    return;
  }
  line("instances", look.silent_instances);
  notice("attention", fmt::format("{}: {}", named(), look.silent_instances));
}

// A canary that is sent requests and reports nothing while stable reports is a failure of its own
// kind: it may well be down, whether the rollout is watched or paused. Measured by what came of
// stable meanwhile, so that neither an outage of all telemetry nor a clock that is off counts. True
// when it has been acted upon.
bool MachineStep::canary_silent(const LookResult& look) {
  const auto& spec = *s_.plan.spec;
  const auto weight = s_.weight.applied.value_or(0);
  if (!route::moves_traffic(spec.router) || !(weight > 0) || !is_heard(look)) return false;
  const auto since = std::max(look.silent_since_ms, watched_from_ms(s_));
  if (look.stable.heard_ms - since <
      grace_for(spec.canary_silent_grace_ms, look.export_interval_ms))
    return false;
  // What it must have been sent meanwhile, by what stable served and the weight.
  const double missed = weight < 1 ? look.stable_since * weight / (1 - weight) : 0;
  if (missed < kSilentRequests) return false;
  const bool paused = s_.position.phase == Phase::paused;
  const auto time = rfc3339_seconds(since);
  const auto& other = look.canary.other_version;
  if (!other.empty() && look.canary_other_requests * 2 >= missed) {
    // It lives, and is not what this rollout watches.
    if (paused && s_.position.pause_cause == PauseCause::no_data) return false;
    pause(PauseCause::no_data,
          fmt::format("the canary has reported no requests as version {} since {}: it reports as "
                      "version {}, which this rollout does not watch",
                      s_.plan.canary_version, time, other));
    return true;
  }
  const bool hold = spec.on_canary_silent != PolicyAction::rollback;
  if (paused && hold && s_.position.pause_cause == PauseCause::canary_silent) return false;
  auto text = fmt::format(
      "The canary has reported no requests since {} while stable does; by its weight of {} about "
      "{:.0f} requests were due to it",
      time, percent(weight), missed);
  if (!other.empty()) {
    text +=
        fmt::format(" (watched is version {}; some telemetry of the canary comes as version {})",
                    s_.plan.canary_version, other);
  }
  if (!look.absence.empty()) text += fmt::format(" ({})", look.absence);
  if (hold) {
    pause(PauseCause::canary_silent, std::move(text));
    return true;
  }
  s_.position.reason = text;
  begin_rollback("rollback", rolling_back_text(text), Phase::rolled_back, "coalmine");
  return true;
}

std::string MachineStep::no_data_text(const LookResult& look) const {
  if (!look.waiting.empty()) return look.waiting;
  const auto began = s_.plan.steps[s_.position.step].started_ms;
  const auto track = [&](std::string_view name, const TrackHeard& heard,
                         const std::string& version) {
    const auto last = heard_of(heard);
    auto text = last < began ? fmt::format("no {} requests in this step", name)
                             : fmt::format("newest {} requests of {}", name, rfc3339_seconds(last));
    if (!heard.other_version.empty()) {
      text +=
          fmt::format(" as version {}: it reports as version {} now", version, heard.other_version);
    }
    return text;
  };
  const auto both = std::min(heard_of(look.canary), heard_of(look.stable));
  return fmt::format("no new data since {} ({}; {}{}): nothing is decided without data",
                     rfc3339_seconds(std::max(s_.clock.watermark_ms, both)),
                     track("canary", look.canary, s_.plan.canary_version),
                     track("stable", look.stable, s_.plan.stable_version),
                     look.absence.empty() ? "" : "; " + look.absence);
}

// True: telemetry of both tracks has not advanced for so long that the rollout is paused.
bool MachineStep::no_data(const LookResult& look) {
  const auto grace = grace_for(s_.plan.spec->no_data_grace_ms, look.export_interval_ms);
  if (now_.steady_ms - s_.live.watermark_steady < grace) return false;
  // Telemetry that comes is no lack of it, however old it says it is.
  const auto heard = std::min(look.canary.heard_ms, look.stable.heard_ms);
  if (is_heard(look) && now_.wall_ms - heard < grace) return false;
  pause(PauseCause::no_data, no_data_text(look));
  return true;
}

// A pause for no data ends when both tracks report again: nobody is needed for that, unless the
// policy says so.
void MachineStep::end_no_data(const LookResult& look) {
  if (s_.position.phase != Phase::paused || s_.position.pause_cause != PauseCause::no_data) return;
  const auto heard = std::min(heard_of(look.canary), heard_of(look.stable));
  const auto grace = grace_for(s_.plan.spec->no_data_grace_ms, look.export_interval_ms);
  const bool back = heard > std::max(s_.position.paused_ms, s_.clock.watermark_ms) &&
                    now_.wall_ms - heard < grace;
  if (!back) {
    if (s_.position.reason != kBackByHand) return;
    s_.position.reason = no_data_text(look);
    line("no_data", s_.position.reason);
    return;
  }
  if (!s_.plan.spec->resume_after_no_data) {
    if (s_.position.reason == kBackByHand) return;
    s_.position.reason = kBackByHand;
    line("telemetry_back", s_.position.reason);
    return;
  }
  if (is_lowered()) {
    pause_for_lower_weight(*s_.weight.applied);
    return;
  }
  s_.position.phase = Phase::progressing;
  s_.position.pause_cause = PauseCause::none;
  s_.position.reason = "Telemetry of both tracks comes again; watching goes on";
  line("resume", s_.position.reason);
  notice("attention",
         fmt::format("{}: telemetry of both tracks comes again; the rollout goes on at "
                     "step {}",
                     named(), s_.position.step + 1));
  restart_clock();
}

} // namespace coalmine::rollout
