// SPDX-License-Identifier: Apache-2.0
#include "rollout/evidence/one_shot.h"

#include <algorithm>
#include <exception>
#include <map>
#include <memory>

#include "rollout/evidence/evidence_feed.h"
#include "rollout/evidence/metric_reader.h"
#include "telemetry/resource.h"

namespace coalmine::rollout {
namespace {

constexpr double kMsPerMinute = 60'000.0;

// The value as a regular expression that matches just it (RE2 syntax).
std::string quoted(std::string_view value) {
  std::string out;
  for (const char c : value) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '_' || (static_cast<unsigned char>(c) & 0x80) != 0;
    if (!plain) out += '\\';
    out += c;
  }
  return out;
}

judge::TrackNumbers numbers(double requests, double errors, const ClassicHistogram& histogram) {
  judge::TrackNumbers out;
  out.has_data = true;
  out.requests = requests;
  out.errors = errors;
  if (histogram.bounds == nullptr || histogram.bounds->empty()) return out;
  out.bounds_ms = *histogram.bounds;
  out.bucket_counts.reserve(histogram.counts.size());
  for (const auto count : histogram.counts) out.bucket_counts.push_back(static_cast<double>(count));
  return out;
}

bool ignored(const RolloutSpec& spec, const std::string& route) {
  return std::ranges::find(spec.ignore_routes, route) != spec.ignore_routes.end();
}

// One cohort without the ignored routes: in all, and by route.
struct Track {
  judge::TrackNumbers all;
  std::map<std::string, judge::TrackNumbers> routes;
};

Track read_track(const RolloutSpec& spec, const cohort::CohortCounts& counts) {
  Track out;
  double requests = 0;
  double errors = 0;
  ClassicHistogram total;
  for (const auto& route : counts.routes) {
    if (ignored(spec, route.route)) continue;
    requests += route.requests;
    errors += route.errors;
    const bool measured = route.duration_ms.bounds != nullptr && !route.duration_ms.bounds->empty();
    if (measured && total.bounds == nullptr) {
      total = route.duration_ms;
    } else if (measured) {
      add(total, route.duration_ms);
    }
    // Requests without a route belong to the whole, but "no route" is not an endpoint to compare.
    if (!route.route.empty())
      out.routes[route.route] = numbers(route.requests, route.errors, route.duration_ms);
  }
  out.all = numbers(requests, errors, total);
  out.all.has_data = counts.any_series && (counts.last_ms != 0 || requests > 0);
  return out;
}

} // namespace

cohort::CohortSelector cohort_selector(const RolloutSpec& spec, bool canary,
                                       const std::string& version) {
  cohort::CohortSelector out;
  const auto equal = [&](std::string name, std::string value) {
    out.matchers.push_back({std::move(name), Matcher::Op::equal, std::move(value)});
  };
  equal("service_name", spec.service);
  bool version_named = false;
  for (const auto& [name, value] : canary ? spec.canary : spec.stable) {
    auto label = label_name(name);
    version_named = version_named || label == "service_version";
    equal(std::move(label), value);
  }
  if (!spec.environment.empty()) {
    // Old and new name of the attribute. Matchers are all to hold, so each of the two is to be this
    // environment or missing: telemetry that names another environment is left out.
    for (const auto* label : {"deployment_environment", "deployment_environment_name"}) {
      out.matchers.push_back({label, Matcher::Op::regexp, quoted(spec.environment) + "|"});
    }
  }
  if (!version.empty() && !version_named) equal("service_version", version);
  return out;
}

judge::Evidence make_evidence(const RolloutSpec& spec, const Result<cohort::CohortCounts>& canary,
                              const Result<cohort::CohortCounts>& stable, std::int64_t now_ms) {
  judge::Evidence out;
  if (!canary || !stable) {
    out.source_error = !canary ? canary.error().message : stable.error().message;
    if (out.source_error.empty()) out.source_error = "the telemetry store did not answer";
    return out;
  }
  auto canary_track = read_track(spec, *canary);
  auto stable_track = read_track(spec, *stable);
  out.canary = std::move(canary_track.all);
  out.stable = std::move(stable_track.all);
  // Routes in the order of the canary's requests, then those that only stable has.
  for (const auto& route : canary->routes) {
    const auto it = canary_track.routes.find(route.route);
    if (it == canary_track.routes.end()) continue;
    judge::RouteNumbers both{.route = route.route, .canary = std::move(it->second), .stable = {}};
    canary_track.routes.erase(it);
    if (const auto other = stable_track.routes.find(route.route);
        other != stable_track.routes.end()) {
      both.stable = std::move(other->second);
      stable_track.routes.erase(other);
    }
    out.routes.push_back(std::move(both));
  }
  for (const auto& route : stable->routes) {
    const auto it = stable_track.routes.find(route.route);
    if (it == stable_track.routes.end()) continue;
    out.routes.push_back({.route = route.route, .canary = {}, .stable = std::move(it->second)});
    stable_track.routes.erase(it);
  }
  if (canary->first_ms > 0)
    out.canary_age_minutes =
        static_cast<double>(std::max<std::int64_t>(0, now_ms - canary->first_ms)) / kMsPerMinute;
  return out;
}

namespace {

std::unique_ptr<judge::Judge> make_sequential(const RolloutSpec& spec) {
  auto options = judge::sequential_defaults();
  if (!spec.signals.empty()) options.signals = spec.signals;
  options.alpha_rollback = spec.false_rollback_budget;
  options.critical_routes = spec.critical_routes;
  options.alpha_promote = spec.false_promote_risk;
  options.strict = spec.strict;
  options.plan.clear();
  for (const auto& step : spec.steps) {
    if (step.analyze_ms > 0)
      options.plan.push_back({step.weight, static_cast<double>(step.analyze_ms) / 60'000.0});
  }
  return judge::make_sequential_judge(std::move(options));
}

} // namespace

std::unique_ptr<judge::Judge> make_judge(const RolloutSpec& spec) {
  if (spec.judge == "mann_whitney") {
    judge::RankOptions options;
    options.signals = spec.signals.empty() ? judge::seed_defaults().signals : spec.signals;
    options.metrics = spec.rank.metrics;
    options.group_weights = spec.rank.group_weights;
    options.pass = spec.rank.pass;
    options.marginal = spec.rank.marginal;
    options.interval = static_cast<std::size_t>(std::max(2, spec.rank.interval));
    return judge::make_rank_judge(std::move(options));
  }
  if (spec.judge == "sequential") return make_sequential(spec);
  auto options = judge::seed_defaults();
  if (!spec.signals.empty()) options.signals = spec.signals;
  options.min_analysis_minutes = spec.min_analysis_minutes;
  options.min_requests = spec.min_requests;
  options.min_route_requests = spec.min_route_requests;
  return judge::make_threshold_judge(std::move(options));
}

namespace {

// The window's cells as if it were a rollout of one step.
Result<std::vector<judge::EvidenceCell>> analysis_cells(const RolloutSpec& spec,
                                                        const AnalyzeRequest& request,
                                                        const cohort::CohortSource& cohorts,
                                                        const cohort::CountFeedSource* feeds,
                                                        const cohort::MetricSource* metrics) {
  if (feeds == nullptr) {
    return window_cells(spec, cohorts, cohort_selector(spec, true, request.canary_version),
                        cohort_selector(spec, false, request.stable_version), request.from_ms,
                        request.to_ms);
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
  return feed->read({.changes = {{request.from_ms, request.from_ms, 1}}, .until_ms = request.to_ms},
                    request.to_ms);
}

} // namespace

judge::Judgement analyze(const RolloutSpec& spec, const AnalyzeRequest& request,
                         const cohort::CohortSource& cohorts, const cohort::CountFeedSource* feeds,
                         const cohort::MetricSource* metrics) {
  const auto counts = [&](bool canary, const std::string& version) -> Result<cohort::CohortCounts> {
    try {
      return cohorts.counts(cohort_selector(spec, canary, version), request.from_ms, request.to_ms);
    } catch (const std::exception& e) {
      return fail(ErrorCode::unavailable, std::string("the telemetry store failed: ") + e.what());
    }
  };
  const auto canary = counts(true, request.canary_version);
  const auto stable = counts(false, request.stable_version);
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
      if (!cells) evidence.source_error = cells.error().message;
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
    auto numbers = read_window_metrics(
        *metrics,
        {std::make_shared<const RolloutSpec>(spec), request.canary_version, request.stable_version},
        request.from_ms, request.to_ms);
    if (!numbers) evidence.source_error = numbers.error().message;
    if (numbers) evidence.metrics = std::move(*numbers);
  }
  return judge->judge(evidence);
}

} // namespace coalmine::rollout
