// SPDX-License-Identifier: Apache-2.0
#include "judge/judged_routes.h"

#include <utility>

namespace coalmine::judge {
namespace {

struct Requests {
  double canary = 0;
  double stable = 0;
};

// A route's share of a cell's requests.
void feed_share(Scope& scope, const RouteCounts& total, Requests route, double minute) {
  if (!scope.share) return;
  const MetricTrack canary{true, route.canary, total.canary.requests};
  const MetricTrack stable{true, route.stable, total.stable.requests};
  scope.share->add({"", canary, stable, ""}, minute);
}

} // namespace

void JudgedRoutes::add_past() {
  for (const auto& [name, past] : from_.past.routes()) (void)place(name);
}

void JudgedRoutes::feed(const CountCell& cell, const StableDispersion& dispersion, double minute) {
  const double load = load_of(cell);
  std::vector<bool> counted(routes_.size());
  for (const auto& row : cell.routes) {
    const auto known = index_.find(row.route);
    if (known == index_.end() && routes_.size() >= kMaxJudgedRoutes &&
        !from_.critical.contains(row.route))
      continue;
    const auto at = known == index_.end() ? place(row.route) : known->second;
    auto& scope = routes_[at].scope;
    scope.see(row);
    scope.judge(row, cell.total,
                {.errors = ArmPhi::of(dispersion.errors(row.route), load),
                 .tails = {.of = &dispersion.tails(), .load = load}},
                minute);
    from_.plan.renew(scope, LinePlan::Reach::route);
    feed_share(scope, cell.total, {row.canary.requests, row.stable.requests}, minute);
    counted.resize(routes_.size());
    counted[at] = true;
  }
  // Cells without a request of the route count as well. Leaving them out would select cells by the
  // quantity under test.
  for (std::size_t i = 0; i < counted.size(); ++i) {
    if (!counted[i]) feed_share(routes_[i].scope, cell.total, {}, minute);
  }
}

std::size_t JudgedRoutes::place(const std::string& name) {
  const auto [it, fresh] = index_.emplace(name, routes_.size());
  if (!fresh) return it->second;
  const auto* own = from_.past.route(name);
  routes_.push_back({name, from_.plan.route(from_.past, own, from_.budget.take_route(name, own))});
  return it->second;
}

} // namespace coalmine::judge
