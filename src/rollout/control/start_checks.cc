// SPDX-License-Identifier: Apache-2.0
#include "rollout/control/start_checks.h"

#include <fmt/format.h>

#include <algorithm>

#include "rollout/machine_step.h"

namespace coalmine::rollout {
namespace {

constexpr double kMost = 0.5;
constexpr double kAll = 0.995;
constexpr std::size_t kMaxNamed = 5; // versions in a sentence
// The first export of a step holds requests of the weight before, and one more may be on its way at
// the end.
constexpr std::int64_t kExportsOfAStep = 3;

} // namespace

Status check_versions(const event::Start& start, bool guessed) {
  if (start.canary_version.empty() || start.canary_version != start.stable_version) return {};
  if (!guessed) {
    return fail(ErrorCode::invalid_argument,
                fmt::format("canary and stable are both version {}; name two versions",
                            start.canary_version));
  }
  return fail(
      ErrorCode::failed_precondition,
      fmt::format("canary and stable of {} are both version {} in what their telemetry says, so "
                  "there is nothing to compare; deploy the new version as the canary, or name both "
                  "versions",
                  start.spec->service, start.canary_version));
}

Status check_no_traffic_yet(const route::Weight& now, const RolloutSpec& spec) {
  if (!route::moves_traffic(spec.router) || now.canary <= kMost) return {};
  if (now.canary < kAll && !spec.steps.empty() && now.canary <= spec.steps.front().weight)
    return {};
  return fail(
      ErrorCode::failed_precondition,
      fmt::format("no rollout of {} can start: the canary has {} of the traffic already, as after "
                  "a promotion, and the first step would send it back to the servers of stable. "
                  "Bring the promoted version to them, give stable the traffic in the router and "
                  "the canary 0%, deploy the next version as the canary, and start again",
                  spec.service, percent(now.canary)));
}

std::optional<std::string> unreported_version(Track track, const std::string& version,
                                              const std::optional<SeenVersions>& seen) {
  if (version.empty() || !seen) return std::nullopt;
  std::vector<std::string> names;
  for (const auto& one : *seen) {
    if (one.reports) names.push_back(one.version);
  }
  if (std::ranges::find(names, version) != names.end()) return std::nullopt;
  const auto name = track == Track::canary ? "canary" : "stable";
  if (names.empty()) {
    return fmt::format("nothing has come from {} lately, so nobody has named its version {} yet",
                       name, version);
  }
  std::string text;
  for (std::size_t i = 0; i < std::min(kMaxNamed, names.size()); ++i)
    text += (text.empty() ? "" : ", ") + (names[i].empty() ? "no version" : names[i]);
  if (names.size() > kMaxNamed) text += ", …";
  return fmt::format("no telemetry of {} names version {}; it names {}", name, version, text);
}

std::optional<std::string> short_step(const RolloutSpec& spec, std::int64_t interval_ms) {
  for (std::size_t i = 0; interval_ms > 0 && i < spec.steps.size(); ++i) {
    const auto& step = spec.steps[i];
    if (step.analyze_ms == 0 || step.analyze_ms >= kExportsOfAStep * interval_ms) continue;
    return fmt::format(
        "step {} lasts {}, and metrics come every {}: in less than {} exports a step may see too "
        "little and be extended; export more often (OTEL_METRIC_EXPORT_INTERVAL=5000), or give the "
        "step {}",
        i + 1, duration_text(step.analyze_ms), duration_text(interval_ms), kExportsOfAStep,
        duration_text(kExportsOfAStep * interval_ms));
  }
  return std::nullopt;
}

} // namespace coalmine::rollout
