// SPDX-License-Identifier: Apache-2.0
#include "rollout/evidence/spec_judge.h"

#include <algorithm>
#include <utility>

namespace coalmine::rollout {

judge::SequentialOptions sequential_options(const RolloutSpec& spec) {
  auto options = judge::sequential_defaults();
  if (!spec.signals.empty()) options.signals = spec.signals;
  options.alpha_rollback = spec.false_rollback_budget;
  options.critical_routes = spec.critical_routes;
  options.alpha_promote = spec.false_promote_risk;
  options.strict = spec.strict;
  options.ask_about_processes = spec.ask_about_pods;
  options.plan.clear();
  for (const auto& step : spec.steps) {
    if (step.analyze_ms > 0)
      options.plan.push_back(
          {step.weight, static_cast<double>(step.analyze_ms) / 60'000.0, step.min_requests});
  }
  return options;
}

std::unique_ptr<judge::Judge> make_judge(const RolloutSpec& spec, TryStable try_stable) {
  if (spec.judge == "mann_whitney") {
    judge::RankOptions options;
    options.signals = spec.signals.empty() ? judge::seed_defaults().signals : spec.signals;
    options.metrics = spec.rank.metrics;
    options.group_weights = spec.rank.group_weights;
    options.pass = spec.rank.pass;
    options.marginal = spec.rank.marginal;
    options.interval = static_cast<std::size_t>(std::max(2, spec.rank.interval));
    return judge::make_rank_judge(std::move(options));
  }
  if (spec.judge == "sequential") {
    auto options = sequential_options(spec);
    options.try_stable = try_stable == TryStable::yes;
    return judge::make_sequential_judge(std::move(options));
  }
  auto options = judge::seed_defaults();
  if (!spec.signals.empty()) options.signals = spec.signals;
  options.min_analysis_minutes = spec.min_analysis_minutes;
  options.min_requests = spec.min_requests;
  options.min_route_requests = spec.min_route_requests;
  return judge::make_threshold_judge(std::move(options));
}

} // namespace coalmine::rollout
