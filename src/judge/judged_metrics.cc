// SPDX-License-Identifier: Apache-2.0
#include "judge/judged_metrics.h"

#include <algorithm>

#include "judge/estimate.h"

namespace coalmine::judge {

JudgedMetrics::JudgedMetrics(const std::vector<SignalSpec>& signals, const SignalPlaces& places) {
  for (const auto i : places.metrics) {
    auto& metric = metrics_.emplace_back();
    metric.signal = i;
    metric.name = signals[i].name;
  }
}

void JudgedMetrics::learn(const CountCell& cell) {
  for (const auto& numbers : cell.metrics) {
    if (!numbers.stable.has_data || !metric_problem(numbers).empty()) continue;
    for (auto& metric : metrics_) {
      if (metric.name != numbers.signal) continue;
      metric.past.learn(numbers.stable);
    }
  }
}

void JudgedMetrics::begin(const LinePlan& plan) {
  for (auto& metric : metrics_) metric.line = plan.metric(metric.signal, metric.past);
}

void JudgedMetrics::feed(const CountCell& cell, double minute) {
  for (const auto& numbers : cell.metrics) {
    for (auto& metric : metrics_) {
      if (metric.name != numbers.signal) continue;
      metric.problem = metric_problem(numbers);
      if (metric.problem.empty() && metric.line) metric.line->add(numbers, minute);
    }
  }
}

const JudgedMetrics::Metric& JudgedMetrics::of_signal(std::size_t signal) const {
  return *std::ranges::find(metrics_, signal, &Metric::signal);
}

} // namespace coalmine::judge
