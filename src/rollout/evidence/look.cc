// SPDX-License-Identifier: Apache-2.0
#include "rollout/evidence/look.h"

#include <fmt/format.h>

#include <algorithm>
#include <exception>

#include "rollout/evidence/absent_track.h"
#include "rollout/evidence/cohort_selector.h"
#include "rollout/evidence/counted_twice.h"
#include "rollout/evidence/silence.h"
#include "rollout/evidence/spec_judge.h"
#include "rollout/evidence/split_guard.h"
#include "rollout/evidence/step_advice.h"
#include "rollout/evidence/unmatched_routes.h"
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

WatchedVersions watched_versions(const Plan& plan) {
  return {plan.canary_open ? "" : plan.canary_version, plan.stable_open ? "" : plan.stable_version};
}

LookRequest make_look_request(const State& state, const effect::TakeLook& look) {
  const auto watched = watched_versions(state.plan);
  LookRequest out{.spec = state.plan.spec,
                  .canary_version = watched.canary,
                  .stable_version = watched.stable,
                  .canary_open = state.plan.canary_open,
                  .stable_open = state.plan.stable_open,
                  .look = look,
                  .view = feed_view(state, look.to_ms),
                  .step = state.plan.steps[state.position.step].spec,
                  .next_weight = 1,
                  .step_started_ms = state.plan.steps[state.position.step].started_ms,
                  .watched_since_ms = state.plan.steps.front().started_ms,
                  .watched_from_ms = watched_from_ms(state),
                  .asked_split = 0,
                  .split_cause = state.alarms.split_cause};
  if (guards_split(*state.plan.spec) && state.weight.is_confirmed)
    out.asked_split = state.weight.confirmed;
  if (state.position.step + 1 < state.plan.steps.size())
    out.next_weight = state.plan.steps[state.position.step + 1].spec.weight;
  return out;
}

namespace {

// Suspends the comparison where the split is not as asked; limits and gross harm are judged on.
void guard_split(const LookRequest& request, const EvidenceFeed& feed, judge::Evidence& evidence,
                 LookResult& out) {
  if (!(request.asked_split > 0) || request.step_started_ms == 0) return;
  const auto totals = feed.totals_since(request.step_started_ms);
  const auto check = check_split(totals.canary_requests, totals.stable_requests,
                                 request.asked_split, request.split_cause);
  if (!check.broken) return;
  out.split_problem = check.sentence;
  auto& suspension = evidence.comparison_suspended;
  suspension.why = check.sentence;
  suspension.asked_share = request.asked_split;
  suspension.recent.push_back(totals);
  for (const std::int64_t minutes : {15, 5, 1}) {
    const auto from = request.look.to_ms - minutes * 60'000;
    if (from > request.step_started_ms) suspension.recent.push_back(feed.totals_since(from));
  }
}

// Where the rollout stands, for judges that take cells.
void add_standing(const LookRequest& request, const EvidenceFeed* feed, judge::Evidence& evidence) {
  evidence.next_weight = request.next_weight;
  evidence.step_minutes = request.look.age_minutes;
  evidence.step_needed_minutes = static_cast<double>(request.step.analyze_ms) / 60'000.0;
  evidence.step_min_requests = request.step.min_requests;
  evidence.step_requests = evidence.canary.requests;
  if (feed == nullptr) return;
  // Of the step, not of the window, which is shorter when the step lasts.
  const auto from_ms = request.step_started_ms > 0 ? request.step_started_ms : request.look.from_ms;
  evidence.step_requests = feed->totals_since(from_ms).canary_requests;
  evidence.step_awaited = feed->awaited_since(from_ms);
}

void add_progress(const LookRequest& request, const EvidenceFeed& feed, LookResult& out) {
  const auto fill = [&](Track track, TrackHeard& heard) {
    const auto newest = feed.progress(track).newest_ms;
    heard.last_ms = newest > request.look.from_ms ? newest : 0;
  };
  fill(Track::canary, out.canary);
  fill(Track::stable, out.stable);
}

// A window that has just begun holds no export yet of a track that exports each minute.
void add_due(const LookRequest& request, const EvidenceFeed& feed, const LookResult& heard,
             judge::Evidence& evidence) {
  constexpr std::int64_t kUnknownIntervalMs = 60'000;
  const auto due = [&](Track track, const TrackHeard& in_window) {
    const auto known = feed.progress(track);
    const auto usual = known.interval_ms > 0 ? known.interval_ms : kUnknownIntervalMs;
    return in_window.last_ms == 0 && known.newest_ms > 0 &&
           request.look.to_ms - known.newest_ms < grace_for(0, usual);
  };
  evidence.export_due = due(Track::canary, heard.canary) || due(Track::stable, heard.stable);
  evidence.export_interval_seconds =
      static_cast<double>(std::max(feed.progress(Track::canary).interval_ms,
                                   feed.progress(Track::stable).interval_ms)) /
      1000;
}

// Only what is new is read; the counts are those of the cells so far and of what waits behind them.
Status read_feed(const LookRequest& request, EvidenceFeed& feed, judge::Evidence& evidence,
                 LookResult& out) {
  const auto& look = request.look;
  TRY_ASSIGN(evidence.cells, feed.read(request.view, look.to_ms));
  add_progress(request, feed, out);
  const auto fill = [&](Track which, TrackCounts& numbers, const TrackHeard& heard) {
    numbers.requests = feed.requests_since(which, look.from_ms);
    numbers.has_data = heard.last_ms != 0;
  };
  fill(Track::canary, evidence.canary, out.canary);
  fill(Track::stable, evidence.stable, out.stable);
  add_due(request, feed, out, evidence);
  return {};
}

// The window's counts; for a judge that takes cells they are made of parts of it. A track whose
// clock is known to be off is asked for the window by its own clock.
void look_at_window(const LookRequest& request, const LookSources& sources,
                    const judge::Judge& judge, judge::Evidence& evidence, LookResult& out) {
  const auto& look = request.look;
  const auto& cohorts = sources.cohorts;
  const auto counts = [&](Track track, const cohort::CohortSelector& cohort, TrackHeard& heard) {
    const auto offset = sources.feed == nullptr ? 0 : sources.feed->progress(track).clock_offset_ms;
    auto found = cohorts.counts(cohort, look.from_ms - offset, look.to_ms - offset);
    if (found && found->last_ms != 0) heard.last_ms = found->last_ms + offset;
    return found;
  };
  const auto canary_cohort = cohort_selector(*request.spec, Track::canary, request.canary_version);
  const auto stable_cohort = cohort_selector(*request.spec, Track::stable, request.stable_version);
  const auto canary = counts(Track::canary, canary_cohort, out.canary);
  const auto stable = counts(Track::stable, stable_cohort, out.stable);
  evidence = make_evidence(*request.spec, canary, stable, look.to_ms);
  if (!judge.takes_cells() || !evidence.source_error.empty()) return;
  auto cells =
      window_cells(*request.spec, cohorts, canary_cohort, stable_cohort, look.from_ms, look.to_ms);
  if (!cells) evidence.source_error = source_sentence(cells.error());
  if (cells) evidence.cells = std::move(*cells);
}

// How the traffic was split is not known: a judge that takes no cells sees its window all the same.
void suspend_unknown_split(const LookRequest& request, const std::string& why,
                           judge::Evidence& evidence) {
  if (!(request.asked_split > 0)) return;
  evidence.comparison_suspended.why =
      "The tracks are not compared until it is known how the traffic is split: " + why;
}

// Reads what the judge wants and what the feed hears.
judge::Evidence read_evidence(const LookRequest& request, const judge::Judge& judge,
                              const LookSources& sources, LookResult& out) {
  judge::Evidence evidence;
  auto* feed = sources.feed;
  if (judge.takes_cells() && feed != nullptr) {
    if (const auto read = read_feed(request, *feed, evidence, out); !read) {
      evidence.source_error = source_sentence(read.error());
      return evidence;
    }
  } else {
    const auto read = feed == nullptr ? Result<std::vector<CountCell>>()
                                      : feed->read(request.view, request.look.to_ms);
    look_at_window(request, sources, judge, evidence, out);
    if (!evidence.source_error.empty()) return evidence;
    if (sources.metrics != nullptr) {
      evidence.metrics = sources.metrics->read_window(request.look.from_ms, request.look.to_ms,
                                                      request.look.to_ms);
    }
    if (!read) {
      suspend_unknown_split(request, source_sentence(read.error()), evidence);
      return evidence;
    }
    if (feed != nullptr && feed->caught_up()) {
      add_progress(request, *feed, out);
      add_due(request, *feed, out, evidence);
    }
  }
  if (feed == nullptr) return evidence;
  if (!feed->caught_up()) {
    out.read_until_ms = feed->read_until_ms();
    out.judgement_incomplete = judge.takes_cells() || request.asked_split > 0;
    if (!judge.takes_cells())
      suspend_unknown_split(request, "earlier telemetry is being read again", evidence);
    return evidence;
  }
  add_silence(request, sources, out);
  guard_split(request, *feed, evidence, out);
  return evidence;
}

// A source that does not answer now is asked again at the next look.
void check_routes(const LookRequest& request, const LookSources& sources, LookResult& out) {
  if (!request.look.check_routes || !out.source_error.empty() || out.judgement_incomplete) return;
  const auto& look = request.look;
  const auto counts = [&](Track track, const std::string& version) {
    return sources.cohorts.counts(cohort_selector(*request.spec, track, version),
                                  look.from_ms - kBaselineMs, look.to_ms);
  };
  const auto canary = counts(Track::canary, request.canary_version);
  const auto stable = counts(Track::stable, request.stable_version);
  if (!canary || !stable) return;
  out.routes_checked = true;
  out.unmatched_routes = unmatched_routes(*request.spec, *canary, *stable);
}

// Where the weights are not ours to set, and while the split is not as asked, the plan says nothing
// of the traffic that there is.
void add_advice(const LookRequest& request, const EvidenceFeed* feed,
                const judge::Judgement& judgement, LookResult& out) {
  if (feed == nullptr || !out.source_error.empty() || out.judgement_incomplete ||
      !out.waiting.empty() || !out.split_problem.empty())
    return;
  if (!route::moves_traffic(request.spec->router) || request.step.analyze_ms <= 0 ||
      request.watched_since_ms == 0)
    return;
  const bool step_is_over =
      request.look.age_minutes * 60'000 >= static_cast<double>(request.step.analyze_ms);
  out.advice = step_advice(*request.spec, judgement, feed->totals_since(request.watched_since_ms),
                           step_is_over);
}

// A look that finds out about versions judges nothing: what it would read is not filtered by them.
void nothing_judged_yet(LookResult& out) {
  out.waiting.clear();
  judge::Judgement judgement;
  judgement.reason = "The version of a track is known now; the next look goes by it";
  out.judgement = std::make_shared<const judge::Judgement>(std::move(judgement));
  out.judgement_incomplete = true;
}

// The version of each open track, from its first telemetry in the rollout. A process without
// requests sends nothing, and one that has just gone may have been the newest at the start: only
// what comes after the weight was set says who is there. True: one is known now.
bool find_versions(const LookRequest& request, const LookSources& sources, LookResult& out) {
  bool found = false;
  const auto find = [&](std::string_view name, Track track, bool open, TrackHeard& heard) {
    if (!open || !sources.versions) return;
    const auto seen = sources.versions(*request.spec, track);
    if (!seen) return;
    heard.first_version = newest_since(*seen, request.watched_since_ms);
    found = found || heard.first_version.has_value();
    if (heard.first_version || !out.waiting.empty()) return;
    // What came before is not denied.
    const auto whose = std::string(name) + (seen->empty() ? "" : " since the weight was set");
    out.waiting = fmt::format("Waiting for the first telemetry of {}; versions seen: {}", whose,
                              seen_text(*seen, request.look.to_ms));
  };
  find("the canary", Track::canary, request.canary_open, out.canary);
  find("stable", Track::stable, request.stable_open, out.stable);
  if (found) nothing_judged_yet(out);
  return found;
}

// The store counts requests of an open track that no version was ever seen of: its telemetry cannot
// be told apart by version, so all of it is the track's. True: so it is.
bool find_unversioned(const LookRequest& request, const LookSources& sources,
                      const judge::Evidence& evidence, LookResult& out) {
  bool found = false;
  const auto find = [&](Track track, bool open, const TrackCounts& counts, TrackHeard& heard) {
    if (!open || !sources.versions || !(counts.requests > 0)) return;
    const auto seen = sources.versions(*request.spec, track);
    if (!seen || !seen->empty()) return;
    heard.first_version = "";
    found = true;
  };
  find(Track::canary, request.canary_open, evidence.canary, out.canary);
  find(Track::stable, request.stable_open, evidence.stable, out.stable);
  if (found) nothing_judged_yet(out);
  return found;
}

} // namespace

LookResult take_look(const LookRequest& request, judge::Judge& judge, const LookSources& sources) {
  const auto& look = request.look;
  LookResult out;
  out.look = look.look;
  out.step = look.step;
  out.from_ms = look.from_ms;
  out.to_ms = look.to_ms;
  try {
    if (find_versions(request, sources, out)) return out;
    auto evidence = read_evidence(request, judge, sources, out);
    if (find_unversioned(request, sources, evidence, out)) return out;
    out.source_error = evidence.source_error;
    out.canary_requests = evidence.canary.requests;
    out.stable_requests = evidence.stable.requests;
    evidence.canary_age_minutes =
        look.age_minutes; // of the step, not of the version: every step asks for its own time
    if (judge.takes_cells()) add_standing(request, sources.feed, evidence);
    auto judgement = judge.judge(evidence);
    const bool both = out.canary_requests > 0 && out.stable_requests > 0;
    if (!both && out.source_error.empty()) {
      out.absence = explain_absence(
          *request.spec, {request.canary_version, request.stable_version, look.from_ms, look.to_ms},
          sources.cohorts);
      add_absence(out.absence, judgement.reason);
    }
    if (both && out.source_error.empty()) {
      add_absence(explain_counted_twice(
                      cohort_selector(*request.spec, Track::canary, request.canary_version),
                      cohort_selector(*request.spec, Track::stable, request.stable_version),
                      look.to_ms, sources.cohorts),
                  judgement.reason);
    }
    if (!out.waiting.empty()) judgement.reason = out.waiting;
    add_advice(request, sources.feed, judgement, out);
    out.judgement = std::make_shared<const judge::Judgement>(std::move(judgement));
    check_routes(request, sources, out);
  } catch (const std::exception& e) {
    out.source_error = std::string("the look failed: ") + e.what();
  }
  return out;
}

} // namespace coalmine::rollout
