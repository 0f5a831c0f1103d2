// SPDX-License-Identifier: Apache-2.0
#include "rollout/evidence/uncounted.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "telemetry/resource.h"

namespace coalmine::rollout {
namespace {

constexpr std::size_t kShownNames = 3;

// What tells of a process or of the scrape that read it, and not of what it does.
bool says_nothing(const std::string& name) {
  return name == kTargetInfo || name == "up" || name.starts_with("scrape_");
}

} // namespace

std::string explain_uncounted(std::string_view whose, const cohort::CohortSelector& cohort,
                              std::int64_t from_ms, std::int64_t to_ms,
                              const cohort::CohortSource& cohorts) {
  if (!cohorts.label_values(cohort, "service_name", from_ms, to_ms).empty()) return "";
  auto names = cohorts.metric_names(cohort, from_ms, to_ms);
  std::erase_if(names, says_nothing);
  if (names.empty()) return "";
  std::string there;
  for (std::size_t i = 0; i < std::min(kShownNames, names.size()); ++i)
    there += (i == 0 ? "" : ", ") + names[i];
  if (names.size() > kShownNames) there += fmt::format(" and {} more", names.size() - kShownNames);
  return fmt::format(
      "telemetry of {} comes ({}), but none of it counts HTTP requests: its instrumentation does "
      "not know the HTTP server (the Java agent 2.10 does not know the JDK's own), or sends "
      "neither http.server.request.duration nor server spans",
      whose, there);
}

} // namespace coalmine::rollout
