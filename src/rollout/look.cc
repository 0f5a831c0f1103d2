// SPDX-License-Identifier: Apache-2.0
#include "rollout/look.h"

#include <exception>

#include "rollout/one_shot.h"

namespace coalmine::rollout {

std::unique_ptr<judge::Judge> make_step_judge(const State& state) {
  auto spec = *state.spec;
  const auto& step = state.steps[state.step].spec;
  spec.min_analysis_minutes = static_cast<double>(step.analyze_ms) / 60'000.0;
  spec.min_requests = step.min_requests;
  return make_judge(spec);
}

LookResult take_look(const LookRequest& request, const query::CohortSource& cohorts, judge::Judge& judge) {
  const auto& [spec, canary_version, stable_version, look] = request;
  LookResult out;
  out.look = look.look;
  out.step = look.step;
  out.from_ms = look.from_ms;
  out.to_ms = look.to_ms;
  try {
    const auto canary = cohorts.counts(cohort_selector(*spec, true, canary_version), look.from_ms, look.to_ms);
    const auto stable = cohorts.counts(cohort_selector(*spec, false, stable_version), look.from_ms, look.to_ms);
    auto evidence = make_evidence(*spec, canary, stable, look.to_ms);
    out.source_error = evidence.source_error;
    out.canary_requests = evidence.canary.requests;
    out.stable_requests = evidence.stable.requests;
    if (canary) out.canary_last_ms = canary->last_ms;
    if (stable) out.stable_last_ms = stable->last_ms;
    evidence.canary_age_minutes = look.age_minutes; // of the step, not of the version: every step asks for its own time
    out.judgement = judge.judge(evidence);
  } catch (const std::exception& e) {
    out.source_error = std::string("the look failed: ") + e.what();
  }
  return out;
}

} // namespace coalmine::rollout
