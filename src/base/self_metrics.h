// Coalmine's own counters and gauges, written out in the Prometheus text format at /metrics.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/guarded.h"

namespace coalmine {

using MetricLabels = std::vector<std::pair<std::string, std::string>>;

// A number that only grows. Any thread.
class Counter {
 public:
  void add(double n = 1) { value_.fetch_add(n, std::memory_order_relaxed); }
  double value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<double> value_{0};
};

// Owns every counter; the references it hands out live as long as it does. One per process, made in
// app/ and passed to the rooms that count. Any thread.
class SelfMetrics {
 public:
  // The same name and labels give the same counter. name: snake_case ending in _total. help: one
  // sentence, taken from the first call.
  Counter& counter(std::string_view name, std::string_view help, const MetricLabels& labels = {});

  // read is called, from the thread that renders, at every scrape; it must stay callable as long as
  // this object.
  void gauge(std::string_view name, std::string_view help, const MetricLabels& labels,
             std::function<double()> read);

  // A family whose samples are computed at the scrape: read() gives (labels, value) pairs. type:
  // "gauge" or "counter".
  void family(std::string_view name, std::string_view help, std::string_view type,
              std::function<std::vector<std::pair<MetricLabels, double>>()> read);

  // Prometheus text format 0.0.4.
  std::string render() const;

 private:
  struct Family {
    std::string help;
    std::string type;
    std::map<MetricLabels, std::unique_ptr<Counter>> counters;
    std::vector<std::pair<MetricLabels, std::function<double()>>> gauges;
    std::function<std::vector<std::pair<MetricLabels, double>>()> computed;
  };
  Guarded<std::map<std::string, Family, std::less<>>> families_;
};

} // namespace coalmine
