// SPDX-License-Identifier: Apache-2.0
#include "rollout/look.h"

#include <algorithm>
#include <exception>

#include "rollout/metric_reader.h"
#include "rollout/one_shot.h"
#include "rollout/split_guard.h"

namespace coalmine::rollout {

std::unique_ptr<judge::Judge> make_step_judge(const State& state) {
  auto spec = *state.spec;
  const auto& step = state.steps[state.step].spec;
  spec.min_analysis_minutes = static_cast<double>(step.analyze_ms) / 60'000.0;
  spec.min_requests = step.min_requests;
  return make_judge(spec);
}

bool guards_split(const RolloutSpec& spec) { return spec.guard_split && spec.router.kind != RouterSpec::Kind::observe; }

LookRequest make_look_request(const State& state, const effect::TakeLook& look) {
  LookRequest out{.spec = state.spec,
                  .canary_version = state.canary_version,
                  .stable_version = state.stable_version,
                  .look = look,
                  .view = feed_view(state, look.to_ms),
                  .step = state.steps[state.step].spec,
                  .next_weight = 1,
                  .step_started_ms = state.steps[state.step].started_ms,
                  .asked_split = 0};
  if (guards_split(*state.spec) && state.confirmed) out.asked_split = state.weight_confirmed;
  if (state.step + 1 < state.steps.size()) out.next_weight = state.steps[state.step + 1].spec.weight;
  return out;
}

namespace {

// Suspends the comparison: evidence goes on being gathered, and decides nothing.
void guard_split(const LookRequest& request, const EvidenceFeed& feed, LookResult& out) {
  if (!(request.asked_split > 0) || request.step_started_ms == 0) return;
  const auto totals = feed.totals_since(request.step_started_ms);
  const auto check = check_split(totals.canary, totals.stable, request.asked_split);
  if (!check.broken) return;
  out.split_problem = check.sentence;
  out.judgement.decision = judge::Decision::keep_watching;
  out.judgement.reason = check.sentence;
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

} // namespace

LookResult take_look(const LookRequest& request, const query::CohortSource& cohorts, judge::Judge& judge, EvidenceFeed* feed,
                     const query::MetricSource* metrics) {
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
    out.stable_rps = evidence.stable.requests * 1000 / static_cast<double>(std::max<std::int64_t>(1, look.to_ms - look.from_ms));
    evidence.canary_age_minutes = look.age_minutes; // of the step, not of the version: every step asks for its own time
    if (judge.takes_cells() && evidence.source_error.empty()) {
      if (const auto cells = add_cells(request, cohorts, feed, evidence); !cells)
        out.source_error = evidence.source_error = cells.error().message;
    }
    // A judge that takes no cells has them read for the guard of the split alone.
    if (!judge.takes_cells() && feed != nullptr && evidence.source_error.empty()) {
      if (const auto cells = feed->read(request.view, look.to_ms); !cells) out.source_error = evidence.source_error = cells.error().message;
    }
    if (!judge.takes_cells() && metrics != nullptr && evidence.source_error.empty()) {
      auto numbers = read_window_metrics(*metrics, {spec, canary_version, stable_version}, look.from_ms, look.to_ms);
      if (!numbers) out.source_error = evidence.source_error = numbers.error().message;
      if (numbers) evidence.metrics = std::move(*numbers);
    }
    out.judgement = judge.judge(evidence);
    if (feed != nullptr && out.source_error.empty()) guard_split(request, *feed, out);
  } catch (const std::exception& e) {
    out.source_error = std::string("the look failed: ") + e.what();
  }
  return out;
}

} // namespace coalmine::rollout
