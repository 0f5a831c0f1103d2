// SPDX-License-Identifier: Apache-2.0
#include "rollout/evidence/look.h"

#include <algorithm>
#include <exception>

#include "rollout/evidence/absent_track.h"
#include "rollout/evidence/cohort_selector.h"
#include "rollout/evidence/metric_reader.h"
#include "rollout/evidence/spec_judge.h"
#include "rollout/evidence/split_guard.h"
#include "rollout/evidence/window_evidence.h"

namespace coalmine::rollout {

std::unique_ptr<judge::Judge> make_step_judge(const State& state) {
  auto spec = *state.plan.spec;
  const auto& step = state.plan.steps[state.position.step].spec;
  spec.min_analysis_minutes = static_cast<double>(step.analyze_ms) / 60'000.0;
  spec.min_requests = step.min_requests;
  return make_judge(spec);
}

bool guards_split(const RolloutSpec& spec) {
  return spec.guard_split && route::moves_traffic(spec.router);
}

LookRequest make_look_request(const State& state, const effect::TakeLook& look) {
  LookRequest out{.spec = state.plan.spec,
                  .canary_version = state.plan.canary_version,
                  .stable_version = state.plan.stable_version,
                  .look = look,
                  .view = feed_view(state, look.to_ms),
                  .step = state.plan.steps[state.position.step].spec,
                  .next_weight = 1,
                  .step_started_ms = state.plan.steps[state.position.step].started_ms,
                  .asked_split = 0};
  if (guards_split(*state.plan.spec) && state.weight.is_confirmed)
    out.asked_split = state.weight.confirmed;
  if (state.position.step + 1 < state.plan.steps.size())
    out.next_weight = state.plan.steps[state.position.step + 1].spec.weight;
  return out;
}

namespace {

// Suspends the comparison: evidence goes on being gathered, and decides nothing.
void guard_split(const LookRequest& request, const EvidenceFeed& feed, judge::Judgement& judgement,
                 LookResult& out) {
  if (!(request.asked_split > 0) || request.step_started_ms == 0) return;
  const auto totals = feed.totals_since(request.step_started_ms);
  const auto check = check_split(totals.canary, totals.stable, request.asked_split);
  if (!check.broken) return;
  out.split_problem = check.sentence;
  judgement.decision = judge::Decision::keep_watching;
  judgement.reason = check.sentence;
}

// Where the rollout stands, for judges that take cells.
void add_standing(const LookRequest& request, judge::Evidence& evidence) {
  evidence.next_weight = request.next_weight;
  evidence.step_minutes = request.look.age_minutes;
  evidence.step_needed_minutes = static_cast<double>(request.step.analyze_ms) / 60'000.0;
  evidence.step_min_requests = request.step.min_requests;
  evidence.step_requests = evidence.canary.requests;
}

// What a look knows of one track.
struct TrackStanding {
  TrackCounts& numbers;
  std::int64_t& last_ms;
};

// Only what is new is read; the totals are those of the cells so far and of what waits behind them.
Status read_feed(const LookRequest& request, EvidenceFeed& feed, judge::Evidence& evidence,
                 LookResult& out) {
  const auto& look = request.look;
  TRY_ASSIGN(evidence.cells, feed.read(request.view, look.to_ms));
  const auto totals = feed.totals_since(look.from_ms);
  const auto fill = [&](Track which, TrackStanding track) {
    const auto progress = feed.progress(which);
    track.numbers.requests =
        (which == Track::canary ? totals.canary : totals.stable) + progress.waiting;
    if (progress.newest_ms > look.from_ms) track.last_ms = progress.newest_ms;
    track.numbers.has_data = track.last_ms != 0;
  };
  fill(Track::canary, {evidence.canary, out.canary_last_ms});
  fill(Track::stable, {evidence.stable, out.stable_last_ms});
  return {};
}

// The window's counts; for a judge that takes cells they are made of parts of it.
void read_window(const LookRequest& request, const cohort::CohortSource& cohorts,
                 const judge::Judge& judge, judge::Evidence& evidence, LookResult& out) {
  const auto& look = request.look;
  const auto canary_cohort = cohort_selector(*request.spec, Track::canary, request.canary_version);
  const auto stable_cohort = cohort_selector(*request.spec, Track::stable, request.stable_version);
  const auto canary = cohorts.counts(canary_cohort, look.from_ms, look.to_ms);
  const auto stable = cohorts.counts(stable_cohort, look.from_ms, look.to_ms);
  evidence = make_evidence(*request.spec, canary, stable, look.to_ms);
  if (canary) out.canary_last_ms = canary->last_ms;
  if (stable) out.stable_last_ms = stable->last_ms;
  if (!judge.takes_cells() || !evidence.source_error.empty()) return;
  auto cells =
      window_cells(*request.spec, cohorts, canary_cohort, stable_cohort, look.from_ms, look.to_ms);
  if (!cells) evidence.source_error = cells.error().message;
  if (cells) evidence.cells = std::move(*cells);
}

} // namespace

LookResult take_look(const LookRequest& request, const cohort::CohortSource& cohorts,
                     judge::Judge& judge, EvidenceFeed* feed, const cohort::MetricSource* metrics) {
  const auto& look = request.look;
  LookResult out;
  out.look = look.look;
  out.step = look.step;
  out.from_ms = look.from_ms;
  out.to_ms = look.to_ms;
  try {
    judge::Evidence evidence;
    const auto note = [&](const Status& status) {
      if (!status) evidence.source_error = status.error().message;
    };
    if (judge.takes_cells() && feed != nullptr) {
      note(read_feed(request, *feed, evidence, out));
    } else {
      read_window(request, cohorts, judge, evidence, out);
      // A judge that takes no cells has them read for the guard of the split alone.
      if (feed != nullptr && evidence.source_error.empty()) {
        if (const auto cells = feed->read(request.view, look.to_ms); !cells)
          evidence.source_error = cells.error().message;
      }
    }
    if (!judge.takes_cells() && metrics != nullptr && evidence.source_error.empty()) {
      auto numbers = read_window_metrics(
          *metrics, {request.spec, request.canary_version, request.stable_version}, look.from_ms,
          look.to_ms);
      if (!numbers) evidence.source_error = numbers.error().message;
      if (numbers) evidence.metrics = std::move(*numbers);
    }
    out.source_error = evidence.source_error;
    out.canary_requests = evidence.canary.requests;
    out.stable_requests = evidence.stable.requests;
    out.stable_rps = evidence.stable.requests * 1000 /
                     static_cast<double>(std::max<std::int64_t>(1, look.to_ms - look.from_ms));
    evidence.canary_age_minutes =
        look.age_minutes; // of the step, not of the version: every step asks for its own time
    if (judge.takes_cells()) add_standing(request, evidence);
    auto judgement = judge.judge(evidence);
    const bool both = out.canary_requests > 0 && out.stable_requests > 0;
    if (!both && out.source_error.empty()) {
      add_absence(
          explain_absence(
              *request.spec,
              {request.canary_version, request.stable_version, look.from_ms, look.to_ms}, cohorts),
          judgement.reason);
    }
    if (feed != nullptr && out.source_error.empty()) guard_split(request, *feed, judgement, out);
    out.judgement = std::make_shared<const judge::Judgement>(std::move(judgement));
  } catch (const std::exception& e) {
    out.source_error = std::string("the look failed: ") + e.what();
  }
  return out;
}

} // namespace coalmine::rollout
