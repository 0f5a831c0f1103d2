// SPDX-License-Identifier: Apache-2.0
#include "app/telemetry_doubts.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "rollout/control/start_checks.h"

namespace coalmine::app {
namespace {

// A process has gone when it is this many of its intervals late.
constexpr std::int64_t kLateIntervals = 3;
// Exports jitter, and the longest interval seen is taken.
constexpr std::int64_t kRoundMs = 1'000;
constexpr std::int64_t kLookBackMs = 10 * 60'000;
constexpr std::size_t kShownNames = 3;

// Something comes of the service, and nothing of it counts requests: as from a Java agent that does
// not know the HTTP server. nullopt: it is counted, or nothing comes.
std::optional<std::string> uncounted(const std::string& service, const store::Store& store,
                                     std::int64_t now_ms) {
  store::SelectRequest request;
  request.matchers = {{"service_name", Matcher::Op::equal, service}};
  request.from_ms = now_ms - kLookBackMs;
  request.to_ms = now_ms;
  auto names = store.label_values(kMetricName, request);
  std::erase(names, kTargetInfo);
  if (names.empty() || std::ranges::find(names, kRequestsName) != names.end()) return std::nullopt;
  std::string there;
  for (std::size_t i = 0; i < std::min(kShownNames, names.size()); ++i)
    there += (i == 0 ? "" : ", ") + names[i];
  if (names.size() > kShownNames) there += fmt::format(" and {} more", names.size() - kShownNames);
  return fmt::format(
      "telemetry of {} comes ({}), but none of it counts HTTP requests: its instrumentation does "
      "not know the HTTP server (the Java agent 2.10 does not know the JDK's own), or sends "
      "neither http.server.request.duration nor server spans",
      service, there);
}

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
                                          const store::Store& store, std::int64_t now_ms) {
  std::vector<std::string> out;
  const auto interval_ms = export_interval_ms(spec.service, store.presence(), now_ms);
  if (auto doubt = rollout::short_step(spec, interval_ms)) out.push_back(std::move(*doubt));
  if (auto doubt = uncounted(spec.service, store, now_ms)) out.push_back(std::move(*doubt));
  return out;
}

} // namespace coalmine::app
