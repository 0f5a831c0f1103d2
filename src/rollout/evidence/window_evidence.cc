// SPDX-License-Identifier: Apache-2.0
#include "rollout/evidence/window_evidence.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <utility>

#include "cohort/durations.h"
#include "judge/reason.h"

namespace coalmine::rollout {

namespace {

constexpr double kMsPerMinute = 60'000.0;

bool ignored(const RolloutSpec& spec, const std::string& route) {
  return std::ranges::find(spec.ignore_routes, route) != spec.ignore_routes.end();
}

// One cohort without the ignored routes: in all, and by route.
struct CohortWindow {
  TrackCounts all;
  std::map<std::string, TrackCounts> routes;
};

CohortWindow read_window(const RolloutSpec& spec, const cohort::CohortCounts& counts) {
  CohortWindow out;
  cohort::DurationCounts durations;
  for (const auto& [route, part] : counts.routes) {
    if (ignored(spec, route)) continue;
    out.all.requests += part.requests;
    out.all.errors += part.errors;
    if (part.bounds_ms != nullptr && !part.bounds_ms->empty())
      durations.add(part.bounds_ms, part.bucket_counts, part.sum_ms);
    if (out.all.bounds_note.empty()) out.all.bounds_note = part.bounds_note;
    // Requests without a route belong to the whole, but "no route" is not an endpoint to compare.
    if (!route.empty()) out.routes[route] = part;
  }
  cohort::put_track(durations, out.all);
  out.all.has_data = counts.any_series && (counts.last_ms != 0 || out.all.requests > 0);
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
  out.canary = std::move(canary_track.all);
  out.stable = std::move(stable_track.all);
  // Routes in the order of the canary's requests, then those that only stable has.
  for (const auto& route : canary->routes) {
    const auto it = canary_track.routes.find(route.route);
    if (it == canary_track.routes.end()) continue;
    RouteCounts both{.route = route.route, .canary = std::move(it->second), .stable = {}};
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

} // namespace coalmine::rollout
