// SPDX-License-Identifier: Apache-2.0
#include "judge/error_budget.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace coalmine::judge {

SignalPlaces::SignalPlaces(const std::vector<SignalSpec>& signals) {
  for (std::size_t i = 0; i < signals.size(); ++i) {
    const auto& signal = signals[i];
    whole += can_show_good(signal.kind) ? 1 : 0;
    routes = routes || (signal.per_route && signal.gate && !is_metric(signal.kind));
    if (is_metric(signal.kind)) {
      metrics.push_back(i);
    } else if (signal.kind == SignalKind::latency_quantile) {
      tails.push_back(i);
    } else if (signal.kind == SignalKind::request_share) {
      if (!share) share = i;
    } else if (signal.kind == SignalKind::client_error_rate) {
      if (!client) client = i;
    } else if (signal.kind == SignalKind::restarts) {
      restarts = i;
    } else if (!rate) {
      rate = i;
    }
  }
}

ErrorBudget::ErrorBudget(const SignalPlaces& signals, const std::set<std::string>& critical)
    : critical_(critical) {
  const double rate = signals.rate ? 0.4 : 0, tail = signals.tails.empty() ? 0 : 0.3,
               pool = signals.routes ? 0.2 : 0;
  const double own = signals.metrics.empty() ? 0 : 0.1;
  // Small, so that errors and latency are decided as soon as without it: what it is there for is
  // plain to see.
  const double client = signals.client ? 0.05 : 0;
  const double whole = std::max(rate + tail + pool + own + client, 1e-9);
  rate_ = rate / whole;
  tail_ = tail / whole;
  client_ = client / whole;
  routes_ = pool / whole;
  if (!signals.metrics.empty()) metric_ = own / whole / static_cast<double>(signals.metrics.size());
}

void ErrorBudget::fix(const StablePast& past) {
  past_root_ = 0;
  for (const auto& [name, route] : past.routes())
    past_root_ += stake(name) * std::sqrt(route.requests);
}

// Routes that stable had before share nine tenths of the pool by the square root of their traffic,
// critical ones twice. Later ones get a series of weights that adds up to the rest.
double ErrorBudget::take_route(const std::string& name, const Past* past) {
  if (past == nullptr || !(past_root_ > 0)) return take_late_route(critical_.contains(name));
  return 0.9 * routes_ * stake(name) * std::sqrt(past->requests) / past_root_;
}

// The next of a series of weights that adds up to a tenth of the pool. With critical routes two
// thirds of it are theirs, in a series of their own: other new routes, however many, cannot take it
// away.
double ErrorBudget::take_late_route(bool critical) {
  const double part = critical_.empty() ? 1 : critical ? 2.0 / 3 : 1.0 / 3;
  const auto j = static_cast<double>(critical ? ++late_critical_routes_ : ++late_routes_);
  return 0.1 * routes_ * part * 6 / (std::numbers::pi * std::numbers::pi * j * j);
}

} // namespace coalmine::judge
