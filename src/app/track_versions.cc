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

struct SeenVersion {
  std::string version;
  std::int64_t first_ms = INT64_MAX;
  std::int64_t last_ms = 0;
};

// Telemetry without a version, which is version "".
enum class Unnamed { left_out, counts };
// Those that still report, the one that was first seen last first.
std::vector<SeenVersion> versions_now(const rollout::RolloutSpec& spec, Track track,
                                      const std::vector<Presence>& presence, Unnamed unnamed) {
  std::map<std::string, SeenVersion> versions;
  std::int64_t newest_ms = 0;
  for (const auto& one : presence) {
    if ((unnamed == Unnamed::left_out && one.version.empty()) || !selected(spec, track, one))
      continue;
    auto& seen = versions[one.version];
    seen.version = one.version;
    seen.first_ms = std::min(seen.first_ms, one.first_ms);
    const auto last_ms = std::max(one.last_ms, one.last_arrival_ms); // late is not silent
    seen.last_ms = std::max(seen.last_ms, last_ms);
    newest_ms = std::max(newest_ms, last_ms);
  }
  std::vector<SeenVersion> out;
  for (auto& [version, seen] : versions) {
    if (seen.last_ms + kStillReportingMs >= newest_ms) out.push_back(std::move(seen));
  }
  std::ranges::stable_sort(out, std::ranges::greater{}, &SeenVersion::first_ms);
  return out;
}

} // namespace

std::string newest_version(const rollout::RolloutSpec& spec, Track track,
                           const std::vector<Presence>& presence) {
  const auto versions = versions_now(spec, track, presence, Unnamed::left_out);
  return versions.empty() ? "" : versions.front().version;
}

std::optional<std::vector<std::string>> reported_versions(const rollout::RolloutSpec& spec,
                                                          Track track,
                                                          const std::vector<Presence>& presence) {
  const auto tracks = rollout::select_tracks(spec);
  const auto& selection = tracks.of(track);
  if (!keeps(selection.with) || (selection.without && !keeps({*selection.without})))
    return std::nullopt;
  std::vector<std::string> out;
  for (auto& seen : versions_now(spec, track, presence, Unnamed::counts))
    out.push_back(seen.version);
  return out;
}

} // namespace coalmine::app
