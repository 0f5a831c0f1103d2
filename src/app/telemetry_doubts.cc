// SPDX-License-Identifier: Apache-2.0
#include "app/telemetry_doubts.h"

#include <fmt/format.h>

#include <algorithm>

#include "rollout/control/start_checks.h"
#include "rollout/evidence/uncounted.h"

namespace coalmine::app {
namespace {

// A process has gone when it is this many of its intervals late.
constexpr std::int64_t kLateIntervals = 3;
// Exports jitter, and the longest interval seen is taken.
constexpr std::int64_t kRoundMs = 1'000;
constexpr std::int64_t kLookBackMs = 10 * 60'000;

} // namespace

std::int64_t export_interval_ms(std::string_view service, const std::vector<Presence>& presence,
                                std::int64_t now_ms) {
  std::int64_t longest = 0;
  for (const auto& one : presence) {
    const auto interval = one.export_interval_ms;
    if (one.service != service || interval <= 0) continue;
    const auto newest = std::max(one.last_ms, one.last_arrival_ms);
    if (now_ms - newest <= kLateIntervals * interval) longest = std::max(longest, interval);
  }
  return longest < kRoundMs ? longest : (longest + kRoundMs / 2) / kRoundMs * kRoundMs;
}

std::vector<std::string> telemetry_doubts(const rollout::RolloutSpec& spec,
                                          const std::vector<Presence>& presence,
                                          const cohort::CohortSource& cohorts,
                                          std::int64_t now_ms) {
  std::vector<std::string> out;
  const auto interval_ms = export_interval_ms(spec.service, presence, now_ms);
  if (auto doubt = rollout::short_step(spec, interval_ms)) out.push_back(std::move(*doubt));
  const cohort::CohortSelector service{{{"service_name", Matcher::Op::equal, spec.service}}};
  auto doubt =
      rollout::explain_uncounted(spec.service, service, now_ms - kLookBackMs, now_ms, cohorts);
  if (!doubt.empty()) out.push_back(std::move(doubt));
  return out;
}

} // namespace coalmine::app
