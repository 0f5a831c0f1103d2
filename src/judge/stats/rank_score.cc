// Scores of the rank test's classifications: groups, weights, thresholds.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>

#include "judge/stats/rank_statistics.h"

namespace coalmine::judge::rank {
namespace {

constexpr double kNodataPercent = 50;

GroupScore score_group(std::span<const Scored> metrics, const std::string& name) {
  double passed = 0, counted = 0;
  for (const auto& m : metrics) {
    if (std::ranges::find(m.groups, name) == m.groups.end()) continue;
    passed += m.label == Class::pass ? 1 : 0;
    // Nodata and Error are in neither numerator nor denominator.
    counted += m.label != Class::nodata && m.label != Class::error ? 1 : 0;
  }
  return {name, counted > 0 ? 100 * passed / counted : 0, counted == 0};
}

} // namespace

Score score(std::span<const Scored> metrics, const std::map<std::string, double>& group_weights) {
  Score out;
  std::vector<std::string> names;
  double nodata = 0;
  bool critical_failed = false;
  for (const auto& m : metrics) {
    for (const auto& g : m.groups) names.push_back(g);
    nodata += m.label == Class::nodata ? 1 : 0;
    critical_failed = critical_failed || (m.critical && m.label != Class::pass);
  }
  std::ranges::sort(names);
  names.erase(std::ranges::unique(names).begin(), names.end());
  double given = 0;
  std::size_t without = 0;
  for (const auto& name : names) {
    out.groups.push_back(score_group(metrics, name));
    const auto it = group_weights.find(name);
    given += it != group_weights.end() ? it->second : 0;
    without += it == group_weights.end() ? 1 : 0;
  }
  if (metrics.empty()) {
    out.reason = "no metric was judged";
    out.no_data = true;
    return out;
  }
  if (critical_failed) {
    out.reason = "Canary Failed: a critical metric did not pass";
    return out;
  }
  if (100 * nodata / static_cast<double>(metrics.size()) >= kNodataPercent) {
    out.reason = "half of the metrics or more have no data";
    out.no_data = true;
    return out;
  }
  double total = 0;
  for (const auto& group : out.groups) {
    const auto it = group_weights.find(group.name);
    const double weight =
        it != group_weights.end() ? it->second : (100 - given) / static_cast<double>(without);
    total += (group.no_data ? 100 : group.score) * weight / 100;
  }
  out.total = std::round(total * 100) / 100;
  return out;
}

Mark mark(double score, double pass, double marginal) {
  return score >= pass ? Mark::pass : score >= marginal ? Mark::marginal : Mark::fail;
}

bool run_passes(std::span<const double> scores, std::optional<double> marginal,
                std::optional<double> pass) {
  if (scores.empty()) return false;
  if (marginal && std::ranges::any_of(scores, [&](double s) { return s <= *marginal; }))
    return false;
  return !pass || scores.back() >= *pass;
}

} // namespace coalmine::judge::rank
