// SPDX-License-Identifier: Apache-2.0
#include "rollout/evidence/window_evidence.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>
#include <utility>

#include "cohort/durations.h"
#include "judge/reason.h"

namespace coalmine::rollout {

namespace {

constexpr double kMsPerMinute = 60'000.0;

bool ignored(const RolloutSpec& spec, const std::string& route) {
  return std::ranges::find(spec.ignore_routes, route) != spec.ignore_routes.end();
}

struct Part {
  TrackCounts counts;
  cohort::DurationCounts durations;
};
// One cohort without the ignored routes: in all, and by route.
struct CohortWindow {
  Part all;
  std::map<std::string, Part> routes;
  // The part of a route, which is not there afterwards.
  std::optional<Part> take(const std::string& route) {
    const auto it = routes.find(route);
    if (it == routes.end()) return std::nullopt;
    return std::move(routes.extract(it).mapped());
  }
};

cohort::DurationCounts durations_of(const cohort::CohortRoute& route) {
  auto out = route.durations;
  const auto& counts = route.counts;
  const bool known = counts.bounds_ms != nullptr && !counts.bounds_ms->empty();
  if (out.empty() && known) out.add(counts.bounds_ms, counts.bucket_counts, counts.sum_ms);
  return out;
}

CohortWindow read_window(const RolloutSpec& spec, const cohort::CohortCounts& counts) {
  CohortWindow out;
  auto& all = out.all;
  for (const auto& route : counts.routes) {
    if (ignored(spec, route.route)) continue;
    Part part{route.counts, durations_of(route)};
    all.counts.add_requests(part.counts);
    all.durations.add(part.durations);
    // Requests without a route belong to the whole, but "no route" is not an endpoint to compare.
    if (!route.route.empty()) out.routes.insert_or_assign(route.route, std::move(part));
  }
  all.counts.has_data = counts.any_series && (counts.last_ms != 0 || all.counts.requests > 0);
  return out;
}

// Latencies are compared at boundaries that both tracks have: a quantile read from other bounds
// would be another number for the same durations.
RouteCounts row_of(std::string route, Part canary, Part stable) {
  RouteCounts out{.route = std::move(route),
                  .canary = std::move(canary.counts),
                  .stable = std::move(stable.counts)};
  put_row(canary.durations, stable.durations, out);
  return out;
}

} // namespace

std::string source_sentence(const Error& error) {
  const auto said = [&](std::string_view what) {
    return fmt::format("{}{}: {}", judge::kStoreSentence, what, error.message);
  };
  switch (error.code) {
    case ErrorCode::unavailable:
      return error.message.empty() ? "the telemetry store did not answer" : error.message;
    case ErrorCode::deadline_exceeded: return said("did not answer in time");
    case ErrorCode::resource_exhausted: return said("was asked for too much");
    case ErrorCode::permission_denied:
    case ErrorCode::unauthenticated: return said("refuses to answer");
    default: return said("answered with an error");
  }
}

judge::Evidence make_evidence(const RolloutSpec& spec, const Result<cohort::CohortCounts>& canary,
                              const Result<cohort::CohortCounts>& stable, std::int64_t now_ms) {
  judge::Evidence out;
  if (!canary || !stable) {
    out.source_error = source_sentence(!canary ? canary.error() : stable.error());
    return out;
  }
  auto canary_track = read_window(spec, *canary);
  auto stable_track = read_window(spec, *stable);
  auto whole = row_of("", std::move(canary_track.all), std::move(stable_track.all));
  out.canary = std::move(whole.canary);
  out.stable = std::move(whole.stable);
  if (canary->counted_by_spans || stable->counted_by_spans) {
    cohort::SpanSampling sampling;
    sampling.add(cohort::SpanSampling::kComparedMs, canary->sampling, stable->sampling);
    out.canary.sampled = out.stable.sampled = sampling.problem();
  }
  // Routes in the order of the canary's requests, then those that only stable has.
  for (const auto& route : canary->routes) {
    if (auto part = canary_track.take(route.route))
      out.routes.push_back(
          row_of(route.route, std::move(*part), stable_track.take(route.route).value_or(Part())));
  }
  for (const auto& route : stable->routes) {
    if (auto part = stable_track.take(route.route))
      out.routes.push_back(row_of(route.route, {}, std::move(*part)));
  }
  if (canary->first_ms > 0)
    out.canary_age_minutes =
        static_cast<double>(std::max<std::int64_t>(0, now_ms - canary->first_ms)) / kMsPerMinute;
  return out;
}

} // namespace coalmine::rollout
