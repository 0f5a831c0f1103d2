// SPDX-License-Identifier: Apache-2.0
#include "rollout/evidence/one_shot.h"

#include <exception>
#include <memory>

#include "rollout/evidence/absent_track.h"
#include "rollout/evidence/cohort_selector.h"
#include "rollout/evidence/counted_twice.h"
#include "rollout/evidence/evidence_feed.h"
#include "rollout/evidence/metric_reader.h"
#include "rollout/evidence/spec_judge.h"
#include "rollout/evidence/window_evidence.h"

namespace coalmine::rollout {
namespace {

// The window's cells as if it were a rollout of one step.
Result<std::vector<CountCell>> analysis_cells(const RolloutSpec& spec,
                                              const AnalyzeRequest& request,
                                              const cohort::CohortSource& cohorts,
                                              const cohort::CountFeedSource* feeds,
                                              const cohort::MetricSource* metrics) {
  if (feeds == nullptr) {
    return window_cells(spec, cohorts, cohort_selector(spec, Track::canary, request.canary_version),
                        cohort_selector(spec, Track::stable, request.stable_version),
                        request.from_ms, request.to_ms);
  }
  const auto shared = std::make_shared<const RolloutSpec>(spec);
  auto feed = make_grid_feed(*feeds, {.spec = shared,
                                      .canary_version = request.canary_version,
                                      .stable_version = request.stable_version,
                                      .started_ms = request.from_ms});
  if (!spec.metrics.empty() && metrics != nullptr) {
    feed = make_metric_feed(std::move(feed), *metrics,
                            {shared, request.canary_version, request.stable_version});
  }
  return read_everything(
      *feed, {.changes = {{request.from_ms, request.from_ms, 1}}, .until_ms = request.to_ms},
      request.to_ms);
}

} // namespace

judge::Judgement analyze(const RolloutSpec& spec, const AnalyzeRequest& request,
                         const cohort::CohortSource& cohorts, const cohort::CountFeedSource* feeds,
                         const cohort::MetricSource* metrics) {
  const auto counts = [&](Track track, const std::string& version) -> Result<cohort::CohortCounts> {
    try {
      return cohorts.counts(cohort_selector(spec, track, version), request.from_ms, request.to_ms);
    } catch (const std::exception& e) {
      return fail(ErrorCode::unavailable, std::string("the telemetry store failed: ") + e.what());
    }
  };
  const auto canary = counts(Track::canary, request.canary_version);
  const auto stable = counts(Track::stable, request.stable_version);
  auto evidence = make_evidence(spec, canary, stable, request.to_ms);
  // What the window holds is all the traffic there will be: what it cannot decide is not waited
  // for.
  auto window = spec;
  const double requests = evidence.canary.requests + evidence.stable.requests;
  window.steps = {{.weight = requests > 0 ? evidence.canary.requests / requests : 0,
                   .analyze_ms = request.to_ms - request.from_ms}};
  const auto judge = make_judge(window);
  if (judge->takes_cells() && evidence.source_error.empty()) {
    try {
      auto cells = analysis_cells(spec, request, cohorts, feeds, metrics);
      if (!cells) evidence.source_error = source_sentence(cells.error());
      if (cells) evidence.cells = std::move(*cells);
    } catch (const std::exception& e) {
      evidence.source_error = std::string("the telemetry store failed: ") + e.what();
    }
    // Outside a rollout the next weight is all of the traffic: what passes is within the margin
    // itself.
    evidence.step_minutes = evidence.canary_age_minutes;
    evidence.step_needed_minutes = spec.min_analysis_minutes;
    evidence.step_min_requests = spec.min_requests;
    evidence.step_requests = evidence.canary.requests;
  }
  if (!judge->takes_cells() && metrics != nullptr && evidence.source_error.empty()) {
    MetricReader reader(*metrics, {std::make_shared<const RolloutSpec>(spec),
                                   request.canary_version, request.stable_version});
    evidence.metrics = reader.read_window(request.from_ms, request.to_ms, request.to_ms);
  }
  auto judgement = judge->judge(evidence);
  if (evidence.source_error.empty() &&
      !(evidence.canary.requests > 0 && evidence.stable.requests > 0)) {
    add_absence(
        explain_absence(
            spec, {request.canary_version, request.stable_version, request.from_ms, request.to_ms},
            cohorts),
        judgement.reason);
  } else if (evidence.source_error.empty()) {
    add_absence(explain_counted_twice(cohort_selector(spec, Track::canary, request.canary_version),
                                      cohort_selector(spec, Track::stable, request.stable_version),
                                      request.to_ms, cohorts),
                judgement.reason);
  }
  return judgement;
}

} // namespace coalmine::rollout
