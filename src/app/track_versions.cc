// SPDX-License-Identifier: Apache-2.0
#include "app/track_versions.h"

#include <algorithm>
#include <map>
#include <optional>

#include "rollout/evidence/cohort_selector.h"
#include "rollout/track_selection.h"

namespace coalmine::app {
namespace {

constexpr std::int64_t kUnknownIntervalMs = 2 * 60 * 1000;
constexpr std::int64_t kShortestMs = 30 * 1000;
constexpr std::int64_t kLongestMs = 10 * 60 * 1000;
constexpr auto kVersionLabel = "service_version";
// Of another store, each with questions of its own.
constexpr std::size_t kMostAsked = 20;

// What presence knows of an attribute; empty when it keeps none of that name.
std::optional<std::string> attribute_of(const Presence& presence, const std::string& name) {
  if (name == "service.name") return presence.service;
  if (name == "deployment.track") return presence.track;
  if (name == "service.version") return presence.version;
  if (name == "service.instance.id") return presence.instance;
  if (name == "deployment.environment" || name == "deployment.environment.name")
    return presence.environment;
  return std::nullopt;
}

bool keeps(const rollout::AttributeSelector& selector) {
  return std::ranges::all_of(selector, [](const auto& wanted) {
    return attribute_of(Presence{}, wanted.first).has_value();
  });
}

bool selected(const rollout::RolloutSpec& spec, Track track, const Presence& presence) {
  if (presence.service != spec.service) return false;
  if (!spec.environment.empty() && presence.environment != spec.environment) return false;
  const auto tracks = rollout::select_tracks(spec);
  const auto has = [&](const auto& wanted) {
    return attribute_of(presence, wanted.first) == wanted.second;
  };
  const auto& selection = tracks.of(track);
  return std::ranges::all_of(selection.with, has) &&
         !(selection.without && has(*selection.without));
}

// Until when the next telemetry may still come.
std::int64_t reports_until(const Presence& presence, std::int64_t last_ms) {
  const auto interval = presence.export_interval_ms;
  if (interval == 0) return last_ms + kUnknownIntervalMs;
  return last_ms + std::clamp(interval * 5 / 2, kShortestMs, kLongestMs);
}

} // namespace

std::optional<rollout::SeenVersions> seen_versions(const rollout::RolloutSpec& spec, Track track,
                                                   const std::vector<Presence>& presence,
                                                   std::int64_t now_ms) {
  const auto tracks = rollout::select_tracks(spec);
  const auto& selection = tracks.of(track);
  if (!keeps(selection.with) || (selection.without && !keeps({*selection.without})))
    return std::nullopt;
  std::map<std::string, rollout::SeenVersion> versions;
  for (const auto& one : presence) {
    if (!selected(spec, track, one)) continue;
    auto& seen = versions[one.version];
    const bool first = seen.first_ms == 0;
    seen.version = one.version;
    seen.first_ms = first ? one.first_ms : std::min(seen.first_ms, one.first_ms);
    // A clock that is off makes nobody dead or alive. Late is not silent.
    const auto last_ms =
        one.last_arrival_ms != 0 ? one.last_arrival_ms : std::min(one.last_ms, now_ms);
    seen.last_ms = std::max(seen.last_ms, last_ms);
    seen.arrival_ms = std::max(seen.arrival_ms, one.last_arrival_ms);
    seen.reports = seen.reports || reports_until(one, last_ms) >= now_ms;
  }
  rollout::SeenVersions out;
  for (auto& [version, seen] : versions) out.push_back(std::move(seen));
  std::ranges::stable_sort(out, std::ranges::greater{}, &rollout::SeenVersion::first_ms);
  return out;
}

std::optional<rollout::SeenVersions> seen_versions(const rollout::RolloutSpec& spec, Track track,
                                                   const cohort::CohortSource& cohorts,
                                                   std::int64_t now_ms) {
  const auto from_ms = now_ms - kLongestMs;
  auto versions = cohorts.label_values(rollout::cohort_selector(spec, track, ""), kVersionLabel,
                                       from_ms, now_ms);
  versions.resize(std::min(versions.size(), kMostAsked));
  versions.emplace_back(); // what names none
  rollout::SeenVersions out;
  for (const auto& version : versions) {
    auto selector = rollout::cohort_selector(spec, track, version);
    if (version.empty()) selector.matchers.push_back({kVersionLabel, Matcher::Op::equal, ""});
    // A server may still list what has gone; its newest sample says when it was there.
    const auto counts = cohorts.counts(selector, from_ms, now_ms);
    if (!counts) return std::nullopt;
    if (counts->last_ms == 0) continue;
    out.push_back({.version = version,
                   .first_ms = counts->first_ms,
                   .last_ms = counts->last_ms,
                   .arrival_ms = counts->last_ms,
                   .reports = counts->last_ms + kUnknownIntervalMs >= now_ms});
  }
  std::ranges::stable_sort(out, std::ranges::greater{}, &rollout::SeenVersion::first_ms);
  return out;
}

} // namespace coalmine::app
