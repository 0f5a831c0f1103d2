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

LookRequest make_look_request(const State& state, const effect::TakeLook& look) {
  LookRequest out{.spec = state.spec,
                  .canary_version = state.canary_version,
                  .stable_version = state.stable_version,
                  .look = look,
                  .view = feed_view(state, look.to_ms),
                  .step = state.steps[state.step].spec,
                  .next_weight = 1};
  if (state.step + 1 < state.steps.size()) out.next_weight = state.steps[state.step + 1].spec.weight;
  return out;
}

// The cells for a judge that takes them.
Status add_cells(const LookRequest& request, const query::CohortSource& cohorts, EvidenceFeed* feed, judge::Evidence& evidence) {
  const auto& look = request.look;
  if (feed != nullptr) {
    TRY_ASSIGN(evidence.cells, feed->read(request.view, look.to_ms));
  } else {
    TRY_ASSIGN(evidence.cells,
               window_cells(*request.spec, cohorts, cohort_selector(*request.spec, true, request.canary_version),
                            cohort_selector(*request.spec, false, request.stable_version), look.from_ms, look.to_ms));
  }
  evidence.next_weight = request.next_weight;
  evidence.step_minutes = look.age_minutes;
  evidence.step_needed_minutes = static_cast<double>(request.step.analyze_ms) / 60'000.0;
  evidence.step_min_requests = request.step.min_requests;
  evidence.step_requests = evidence.canary.requests;
  return {};
}

LookResult take_look(const LookRequest& request, const query::CohortSource& cohorts, judge::Judge& judge, EvidenceFeed* feed) {
  const auto& spec = request.spec;
  const auto& canary_version = request.canary_version;
  const auto& stable_version = request.stable_version;
  const auto& look = request.look;
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
    if (judge.takes_cells() && evidence.source_error.empty()) {
      if (const auto cells = add_cells(request, cohorts, feed, evidence); !cells)
        out.source_error = evidence.source_error = cells.error().message;
    }
    out.judgement = judge.judge(evidence);
  } catch (const std::exception& e) {
    out.source_error = std::string("the look failed: ") + e.what();
  }
  return out;
}

} // namespace coalmine::rollout
