// The user's own metrics in a sequential judge: stable's past of each, then its evidence. A part of
// one judge; one thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "judge/metric_line.h"
#include "judge/scope_lines.h"
#include "telemetry/cell.h"

namespace coalmine::judge {

class JudgedMetrics {
 public:
  struct Metric {
    std::size_t signal = 0; // index in SequentialOptions::signals
    std::string name;
    MetricPast past;
    std::optional<MetricLine> line;
    std::string problem; // of the newest measurement
  };
  JudgedMetrics(const std::vector<SignalSpec>& signals, const SignalPlaces& places);

  void learn(const CountCell& cell);
  void begin(const LinePlan& plan); // the canary begins: from now on cells are evidence
  // minute: observed time of the rollout at the cell's beginning.
  void feed(const CountCell& cell, double minute);
  const Metric& of_signal(std::size_t signal) const; // it must be a metric

 private:
  std::vector<Metric> metrics_;
};

} // namespace coalmine::judge
