// SPDX-License-Identifier: Apache-2.0
#include "rollout/spec_fields.h"

#include <array>

namespace coalmine::rollout {
namespace {

constexpr double kMinute = 60'000;
constexpr double kDay = 24 * 60 * kMinute;
constexpr double kMostRequests = 1e12;

constexpr FieldWord of(std::string_view word, PolicyAction action) {
  return {word, static_cast<int>(action)};
}

constexpr std::array kFailWords = {of("rollback", PolicyAction::rollback),
                                   of("pause", PolicyAction::pause),
                                   of("notify", PolicyAction::notify)};
constexpr std::array kSilentWords = {of("rollback", PolicyAction::rollback),
                                     of("pause", PolicyAction::pause)};
constexpr std::array kSplitWords = {FieldWord{"suspend", 1}, FieldWord{"ignore", 0}};
constexpr std::array kPodsWords = {FieldWord{"ask", 1}, FieldWord{"trust", 0}};
constexpr std::array kStableDownWords = {FieldWord{"keep", 1}, FieldWord{"rollback", 0}};
constexpr std::array kResumeWords = {FieldWord{"auto", 1}, FieldWord{"manual", 0}};
constexpr std::array kApproveWords = {FieldWord{"auto", 0}, FieldWord{"manual", 1}};

constexpr SpecField<RolloutSpec> kRolloutFields[] = {
    {.block = "judge",
     .key = "false_rollback_budget",
     .json = "false_rollback_budget",
     .member = &RolloutSpec::false_rollback_budget,
     .low = 0.0001,
     .high = 0.5,
     .scale = Scale::percent,
     .meaning = "chance of rolling back a canary that is no worse, over the whole rollout",
     .in_list = true},
    {.block = "judge",
     .key = "confidence",
     .json = "false_promote_risk",
     .member = &RolloutSpec::false_promote_risk,
     .low = 0.5,
     .high = 0.9999,
     .scale = Scale::complement,
     .meaning = "how sure a promotion is that the canary is within its margins",
     .in_list = true},
    {.block = "judge",
     .key = "strict",
     .json = "strict",
     .member = &RolloutSpec::strict,
     .meaning = "roll back only what is proven to be beyond the margin"},
    {.block = "analysis",
     .key = "min_analysis_minutes",
     .json = "min_analysis_minutes",
     .member = &RolloutSpec::min_analysis_minutes,
     .low = 0,
     .high = 43200,
     .meaning = "least age of a canary, in minutes, that `coalmine analyze` promotes"},
    {.block = "analysis",
     .key = "min_requests",
     .json = "min_requests",
     .member = &RolloutSpec::min_requests,
     .low = 1,
     .high = kMostRequests,
     .meaning = "requests of the canary before `coalmine analyze` decides"},
    {.block = "routes",
     .key = "min_requests",
     .json = "min_route_requests",
     .member = &RolloutSpec::min_route_requests,
     .low = 1,
     .high = kMostRequests,
     .meaning = "requests of the canary to a route before the route is judged"},
    {.block = "analysis",
     .key = "analysis_window",
     .json = "analysis_window_ms",
     .member = &RolloutSpec::analysis_window_ms,
     .low = 1000,
     .high = 30 * kDay,
     .meaning = "how far `coalmine analyze` looks back"},
    {.block = "",
     .key = "interval",
     .json = "look_interval_ms",
     .member = &RolloutSpec::look_interval_ms,
     .low = 100,
     .high = 10 * kMinute,
     .meaning = "longest time between two looks",
     .in_list = true},
    {.block = "policy",
     .key = "fail",
     .json = "on_fail",
     .member = &RolloutSpec::on_fail,
     .words = kFailWords,
     .meaning = "what happens when the canary is worse than allowed"},
    {.block = "policy.no_data",
     .key = "grace",
     .json = "no_data_grace_ms",
     .member = &RolloutSpec::no_data_grace_ms,
     .low = 1000,
     .high = kDay,
     .meaning = "time without telemetry before the rollout is paused"},
    {.block = "policy.no_data",
     .key = "resume",
     .json = "resume_after_no_data",
     .member = &RolloutSpec::resume_after_no_data,
     .words = kResumeWords,
     .meaning = "`auto`: the rollout goes on when both tracks report again; `manual`: a person "
                "resumes it"},
    {.block = "policy.canary_silent",
     .key = "then",
     .json = "on_canary_silent",
     .member = &RolloutSpec::on_canary_silent,
     .words = kSilentWords,
     .meaning = "what happens when only the canary reports nothing"},
    {.block = "policy.canary_silent",
     .key = "grace",
     .json = "canary_silent_grace_ms",
     .member = &RolloutSpec::canary_silent_grace_ms,
     .low = 1000,
     .high = kDay,
     .meaning = "how long only the canary may report nothing"},
    {.block = "policy",
     .key = "split",
     .json = "guard_split",
     .member = &RolloutSpec::guard_split,
     .words = kSplitWords,
     .meaning = "what happens when the traffic is not split as asked",
     .in_list = true},
    {.block = "policy",
     .key = "pods",
     .json = "ask_about_pods",
     .member = &RolloutSpec::ask_about_pods,
     .words = kPodsWords,
     .meaning = "a canary that is worse by no more than one of stable's instances may lastingly be "
                "than another: `ask` pauses and asks a person, `trust` rolls back"},
    {.block = "policy",
     .key = "stable_down",
     .json = "keep_when_stable_down",
     .member = &RolloutSpec::keep_when_stable_down,
     .words = kStableDownWords,
     .meaning = "a rollback while every stable server is DOWN: `keep` the canary serving until one "
                "is up, or `rollback` all the same"},
    {.block = "policy.inconclusive",
     .key = "extend",
     .json = "extend_ms",
     .member = &RolloutSpec::extend_ms,
     .low = 1,
     .high = 30 * kDay,
     .special_default = "the step's own time",
     .meaning = "time that an undecided gate waits in addition"},
    {.block = "policy.inconclusive",
     .key = "max_extends",
     .json = "max_extends",
     .member = &RolloutSpec::max_extends,
     .low = 0,
     .high = 1000,
     .meaning = "how often an undecided gate waits before the rollout is paused"},
};

constexpr SpecField<StepSpec> kStepFields[] = {
    {.block = "steps",
     .key = "weight",
     .json = "weight",
     .member = &StepSpec::weight,
     .low = 0,
     .high = 1,
     .scale = Scale::percent,
     .special_default = "required",
     .meaning = "share of the traffic that the canary gets"},
    {.block = "steps",
     .key = "analyze",
     .json = "analyze_ms",
     .member = &StepSpec::analyze_ms,
     .low = 1,
     .high = 30 * kDay,
     .special_default = "required, except at 100%",
     .meaning = "time before the gate may open"},
    {.block = "steps",
     .key = "min_requests",
     .json = "min_requests",
     .member = &StepSpec::min_requests,
     .low = 1,
     .high = kMostRequests,
     .meaning =
         "requests of the canary that must have been compared in the step before the gate may "
         "open"},
    {.block = "steps",
     .key = "approve",
     .json = "approve_manually",
     .member = &StepSpec::approve_manually,
     .words = kApproveWords,
     .meaning = "`manual`: the gate also waits for `coalmine rollout promote`"},
};

constexpr SpecField<RankSpec> kRankFields[] = {
    {.block = "judge",
     .key = "pass",
     .json = "pass",
     .member = &RankSpec::pass,
     .low = 0,
     .high = 100,
     .meaning = "score of `mann_whitney` from which a canary passes"},
    {.block = "judge",
     .key = "marginal",
     .json = "marginal",
     .member = &RankSpec::marginal,
     .low = 0,
     .high = 100,
     .meaning = "score of `mann_whitney` up to which a canary fails at once"},
    {.block = "judge",
     .key = "interval",
     .json = "interval",
     .member = &RankSpec::interval,
     .low = 2,
     .high = 1000,
     .meaning = "cells of telemetry between two judgements of `mann_whitney`"},
};

} // namespace

std::span<const SpecField<RolloutSpec>> rollout_fields() { return kRolloutFields; }
std::span<const SpecField<StepSpec>> step_fields() { return kStepFields; }
std::span<const SpecField<RankSpec>> rank_fields() { return kRankFields; }

} // namespace coalmine::rollout
