// SPDX-License-Identifier: Apache-2.0
#include "app/track_versions.h"

#include <algorithm>
#include <map>
#include <optional>

#include "rollout/track_selection.h"

namespace coalmine::app {
namespace {

constexpr std::int64_t kStillReportingMs = 2 * 60 * 1000;

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

bool selected(const rollout::RolloutSpec& spec, Track track, const Presence& presence) {
  if (presence.service != spec.service || presence.version.empty()) return false;
  if (!spec.environment.empty() && presence.environment != spec.environment) return false;
  const auto tracks = rollout::select_tracks(spec);
  const auto has = [&](const auto& wanted) {
    return attribute_of(presence, wanted.first) == wanted.second;
  };
  const auto& selection = tracks.of(track);
  return std::ranges::all_of(selection.with, has) &&
         !(selection.without && has(*selection.without));
}

} // namespace

std::string newest_version(const rollout::RolloutSpec& spec, Track track,
                           const std::vector<Presence>& presence) {
  struct Seen {
    std::int64_t first_ms = INT64_MAX;
    std::int64_t last_ms = 0;
  };
  std::map<std::string, Seen> versions;
  std::int64_t newest_ms = 0;
  for (const auto& one : presence) {
    if (!selected(spec, track, one)) continue;
    auto& seen = versions[one.version];
    seen.first_ms = std::min(seen.first_ms, one.first_ms);
    const auto last_ms = std::max(one.last_ms, one.last_arrival_ms); // late is not silent
    seen.last_ms = std::max(seen.last_ms, last_ms);
    newest_ms = std::max(newest_ms, last_ms);
  }
  std::string best;
  std::int64_t best_first_ms = -1;
  for (const auto& [version, seen] : versions) {
    if (seen.last_ms + kStillReportingMs < newest_ms || seen.first_ms <= best_first_ms) continue;
    best = version;
    best_first_ms = seen.first_ms;
  }
  return best;
}

} // namespace coalmine::app
