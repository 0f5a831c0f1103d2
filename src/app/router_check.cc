// SPDX-License-Identifier: Apache-2.0
#include "app/router_check.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>

namespace coalmine::app {
namespace {

constexpr std::string_view kRouterKey = "router:";

// Where the block of the service begins; the whole text where it cannot be told.
std::size_t place_of(std::string_view text, const std::string& service) {
  for (auto at = text.find("service:"); at != std::string_view::npos;
       at = text.find("service:", at + 1)) {
    const auto line = text.substr(at, text.find('\n', at) - at);
    if (line.find(service) != std::string_view::npos) return at;
  }
  return std::string_view::npos;
}

// False: the file does not hold the service.
bool add_warning(config::FileReport& report, const std::string& service, const std::string& cause) {
  const std::string_view text = report.text;
  const auto begin = place_of(text, service);
  if (begin == std::string_view::npos) return false;
  auto at = text.find(kRouterKey, begin);
  if (at == std::string_view::npos) at = text.find(kRouterKey); // it may stand above
  if (at == std::string_view::npos) at = begin;
  const auto before = text.substr(0, at);
  const auto line_begin = before.rfind('\n') + 1; // 0 in the first line
  report.diagnostics.push_back(
      {.severity = Diagnostic::Severity::warning,
       .span = {.line = 1 + static_cast<std::size_t>(std::ranges::count(before, '\n')),
                .column = at - line_begin + 1,
                .length = kRouterKey.size() - 1},
       .message = fmt::format("the requests may not be split by the weights: {}", cause),
       .hint = "a split that is not as asked suspends the comparison (policy.split)"});
  config::sort_by_place(report.diagnostics);
  return true;
}

} // namespace

void check_routers(const std::vector<rollout::RolloutSpec>& specs, const MakeRouter& make,
                   std::vector<config::FileReport>& reports) {
  for (const auto& spec : specs) {
    if (!route::moves_traffic(spec.router)) continue;
    const auto router = make(spec.router);
    if (!router) continue;
    const auto weight = (*router)->read();
    if (!weight || weight->split_cause.empty()) continue;
    for (auto& report : reports) {
      if (add_warning(report, spec.service, weight->split_cause)) break;
    }
  }
}

} // namespace coalmine::app
