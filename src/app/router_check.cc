// SPDX-License-Identifier: Apache-2.0
#include "app/router_check.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <string>
#include <string_view>

#include "rollout/control/start_checks.h"

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

struct RouterFinding {
  Diagnostic::Severity severity;
  std::string message;
  std::string hint;
};

// False: the file does not hold the service.
bool add_finding(config::FileReport& report, const std::string& service,
                 const RouterFinding& finding) {
  const std::string_view text = report.text;
  const auto begin = place_of(text, service);
  if (begin == std::string_view::npos) return false;
  auto at = text.find(kRouterKey, begin);
  if (at == std::string_view::npos) at = text.find(kRouterKey); // it may stand above
  if (at == std::string_view::npos) at = begin;
  const auto before = text.substr(0, at);
  const auto line_begin = before.rfind('\n') + 1; // 0 in the first line
  report.diagnostics.push_back(
      {.severity = finding.severity,
       .span = {.line = 1 + static_cast<std::size_t>(std::ranges::count(before, '\n')),
                .column = at - line_begin + 1,
                .length = kRouterKey.size() - 1},
       .message = finding.message,
       .hint = finding.hint});
  config::sort_by_place(report.diagnostics);
  return true;
}

std::optional<RouterFinding> ask_router(route::Router& router, const rollout::RolloutSpec& spec,
                                        bool must_answer) {
  if (const auto fit = router.check(); !fit) {
    const auto code = fit.error().code;
    const bool silent = code == ErrorCode::unavailable || code == ErrorCode::deadline_exceeded;
    if (silent && !must_answer) return std::nullopt;
    return RouterFinding{
        Diagnostic::Severity::error,
        fmt::format("the router {}: {}", silent ? "cannot be checked" : "cannot do what is asked",
                    fit.error().message),
        silent ? "--live asks every router; without it the check may run where none is" : ""};
  }
  const auto weight = router.read();
  if (!weight) return std::nullopt;
  if (const auto free = rollout::check_no_traffic_yet(*weight, spec); !free) {
    return RouterFinding{Diagnostic::Severity::warning, free.error().message, ""};
  }
  if (weight->split_cause.empty()) return std::nullopt;
  return RouterFinding{
      Diagnostic::Severity::warning,
      fmt::format("the requests may not be split by the weights: {}", weight->split_cause),
      "a split that is not as asked suspends the comparison (policy.split)"};
}

} // namespace

void check_routers(const std::vector<rollout::RolloutSpec>& specs, const MakeRouter& make,
                   bool must_answer, std::vector<config::FileReport>& reports) {
  for (const auto& spec : specs) {
    if (!route::moves_traffic(spec.router)) continue;
    const auto router = make(spec.router);
    if (!router) continue;
    const auto finding = ask_router(**router, spec, must_answer);
    if (!finding) continue;
    for (auto& report : reports) {
      if (add_finding(report, spec.service, *finding)) break;
    }
  }
}

} // namespace coalmine::app
