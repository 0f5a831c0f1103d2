// SPDX-License-Identifier: Apache-2.0
#include "serve/rollout_metrics.h"

#include <fmt/format.h>

namespace coalmine::serve {
namespace {

using Samples = std::vector<std::pair<MetricLabels, double>>;

MetricLabels identity(const rollout::RolloutStatus& r) { return {{"service_name", r.service}, {"rollout", fmt::format("{}", r.id.value)}}; }

MetricLabels with(MetricLabels labels, std::string name, std::string value) {
  labels.emplace_back(std::move(name), std::move(value));
  return labels;
}

} // namespace

void register_rollout_metrics(SelfMetrics& metrics, const rollout::Controller& rollouts) {
  metrics.family("coalmine_rollout_info", "One a rollout, with its versions and phase.", "gauge", [&rollouts] {
    Samples out;
    for (const auto& r : rollouts.list()) {
      auto labels = with(with(identity(r), "canary_version", r.canary_version), "stable_version", r.stable_version);
      out.emplace_back(with(std::move(labels), "phase", std::string(to_string(r.phase))), 1);
    }
    return out;
  });
  metrics.family("coalmine_rollout_step", "Step a rollout is at, from 0.", "gauge", [&rollouts] {
    Samples out;
    for (const auto& r : rollouts.list()) out.emplace_back(identity(r), static_cast<double>(r.step));
    return out;
  });
  metrics.family("coalmine_rollout_weight_ratio", "The canary's share of traffic: asked for, read back from the router, seen in telemetry.", "gauge",
                 [&rollouts] {
                   Samples out;
                   for (const auto& r : rollouts.list()) {
                     out.emplace_back(with(identity(r), "kind", "desired"), r.weight_asked);
                     if (r.weight_applied) out.emplace_back(with(identity(r), "kind", "applied"), *r.weight_applied);
                     if (r.observed_split) out.emplace_back(with(identity(r), "kind", "observed"), *r.observed_split);
                   }
                   return out;
                 });
}

} // namespace coalmine::serve
