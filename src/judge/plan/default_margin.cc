// SPDX-License-Identifier: Apache-2.0
#include "judge/plan/default_margin.h"

#include <algorithm>
#include <cmath>

namespace coalmine::judge {
namespace {

// Whether an equal canary passes every step of the plan in one and a half times its minutes,
// nineteen times out of twenty: the expected evidence reaches kNatsToPass.
bool plan_can_show(double rate, double margin, std::span<const PlannedStep> plan, double rps,
                   double phi) {
  constexpr double kNatsToPass = 13; // ln 20 for alpha, the stake on other bets, and chance
  for (std::size_t i = 0; i < plan.size(); ++i) {
    const double next = i + 1 < plan.size() ? plan[i + 1].weight : 1;
    double nats = 0;
    for (const auto& step : plan.first(i + 1)) {
      if (!(step.weight > 0) || !(step.weight < 1)) continue;
      const double odds = step.weight / (1 - step.weight);
      nats += step.weight * rps * 60 * step.minutes * safety_growth({1, margin / next}, rate, odds);
    }
    if (1.5 * nats / phi < kNatsToPass) return false;
  }
  return true;
}

} // namespace

RateMargin default_rate_margin(double stable_rate, std::span<const PlannedStep> plan, double rps,
                               double phi) {
  constexpr double kStep = 0.0005;
  constexpr double kMostPoints = 0.005;
  const double usual = std::max(std::clamp(stable_rate / 2, 0.002, kMostPoints), 0.2 * stable_rate);
  const double most =
      std::max({kMostPoints, std::min(0.8 * stable_rate, 0.008), 0.5 * stable_rate});
  double margin = usual;
  if (rps > 0) {
    while (margin < most && !plan_can_show(stable_rate, margin, plan, rps, phi))
      margin = std::min(most, margin + kStep);
  }
  // As people read them: hundredths of a point, whole percents.
  if (usual > kMostPoints && !(margin > usual))
    return {.relative = true, .amount = std::round(margin / stable_rate * 100) / 100, .floor = 0};
  return {.relative = false, .amount = std::round(margin * 1e4) / 1e4, .floor = 0};
}

} // namespace coalmine::judge
