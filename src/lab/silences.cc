// SPDX-License-Identifier: Apache-2.0
#include "lab/silences.h"

#include <algorithm>
#include <set>

namespace coalmine::lab {
namespace {

constexpr std::int64_t kLookbackMs = 5 * 60'000;

// As the feed of a Prometheus-like source names it in cells.
std::string instance_of(const Labels& labels, const std::vector<std::string>& instance_labels) {
  std::string out;
  for (const auto& label : instance_labels)
    if (out.empty()) out = labels.get(label);
  const auto version = labels.get("service_version");
  return version.empty() ? out : out + "@" + std::string(version);
}

std::vector<Silence> between(const std::set<std::int64_t>& times, std::int64_t step_ms) {
  std::vector<Silence> out;
  std::int64_t before = 0;
  for (const auto time : times) {
    if (before > 0 && time - before > step_ms + step_ms / 2)
      out.push_back({.from_ms = before - kLookbackMs, .to_ms = time});
    before = time;
  }
  return out;
}

} // namespace

Silences find_silences(const std::vector<promql::Series>& seen, std::int64_t step_ms,
                       const std::vector<std::string>& instance_labels) {
  std::set<std::int64_t> all;
  std::map<std::string, std::set<std::int64_t>> times;
  for (const auto& series : seen) {
    auto& own = times[instance_of(series.labels, instance_labels)];
    for (const auto& point : series.floats) {
      own.insert(point.time_ms);
      all.insert(point.time_ms);
    }
  }
  Silences out;
  out.stable = between(all, step_ms);
  for (const auto& [process, own] : times) out.processes[process] = between(own, step_ms);
  return out;
}

bool is_silent(const CountCell& cell, const std::vector<Silence>& silences) {
  return std::ranges::any_of(silences, [&](const Silence& silence) {
    return silence.from_ms < cell.to_ms && silence.to_ms > cell.from_ms;
  });
}

} // namespace coalmine::lab
