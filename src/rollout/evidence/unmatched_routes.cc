// SPDX-License-Identifier: Apache-2.0
#include "rollout/evidence/unmatched_routes.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <set>
#include <vector>

namespace coalmine::rollout {
namespace {

constexpr std::size_t kMostNamedRoutes = 5;

std::string named_routes(const std::vector<std::string>& routes) {
  const auto shown = std::min(kMostNamedRoutes, routes.size());
  return fmt::format("{}{}",
                     fmt::join(routes.begin(), routes.begin() + static_cast<long>(shown), ", "),
                     shown < routes.size() ? ", …" : "");
}

} // namespace

std::string unmatched_routes(const RolloutSpec& spec, const cohort::CohortCounts& canary,
                             const cohort::CohortCounts& stable) {
  std::set<std::string> seen;
  for (const auto* track : {&canary, &stable}) {
    for (const auto& route : track->routes) {
      if (!route.route.empty()) seen.insert(route.route);
    }
  }
  if (seen.empty()) return "";
  std::string out;
  bool pattern = false;
  const auto check = [&](std::string_view key, const std::vector<std::string>& wanted) {
    std::vector<std::string> missing;
    for (const auto& route : wanted) {
      if (seen.contains(route)) continue;
      missing.push_back(route);
      pattern = pattern || route.find('*') != std::string::npos;
    }
    if (missing.empty()) return;
    out += fmt::format("{}routes.{} names {}, which no request has", out.empty() ? "" : "; ", key,
                       named_routes(missing));
  };
  check("critical", spec.critical_routes);
  check("ignore", spec.ignore_routes);
  if (out.empty()) return "";
  return fmt::format("{}{}. The routes that are there: {}", out,
                     pattern ? " (routes are compared as they are: * is no wildcard)" : "",
                     named_routes({seen.begin(), seen.end()}));
}

} // namespace coalmine::rollout
