// SPDX-License-Identifier: Apache-2.0
#include "judge/rank_rules.h"

#include <algorithm>
#include <cmath>

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

struct Limits {
  double allowed_increase, allowed_decrease, critical_increase, critical_decrease;
};

Limits limits(const MetricOptions& options) {
  const double usual = options.measure == EffectMeasure::common_language ? 0.5 : 1.0;
  return {options.allowed_increase.value_or(usual), options.allowed_decrease.value_or(usual),
          options.critical_increase.value_or(usual), options.critical_decrease.value_or(usual)};
}

Classification without_data(const std::string& name, const MetricOptions& options) {
  Classification out;
  if (options.nan_strategy == NanStrategy::replace) return out;
  out.reason = "Missing data for " + name;
  const bool fails = options.must_have_data && !options.critical;
  out.label = fails ? Class::nodata_fail : Class::nodata;
  out.critical = !fails && options.critical;
  return out;
}

// Which side of the allowance the shift lies on, when the whole interval does and the effect is
// large enough.
void compare(Classification& out, const Shift& shift, const MetricOptions& options) {
  const double bound = options.tolerance * std::abs(shift.estimate);
  const auto [allowed_up, allowed_down, critical_up, critical_down] = limits(options);
  const double effect = out.deviation;
  const auto at_least = [&](double limit) { return std::isnan(effect) || effect >= limit; };
  const auto at_most = [&](double limit) { return std::isnan(effect) || effect <= limit; };
  if (options.direction != Direction::decrease && shift.low > bound && at_least(allowed_up)) {
    out.label = Class::high;
    out.critical = options.critical && at_least(critical_up);
  } else if (options.direction != Direction::increase && shift.high < -bound &&
             at_most(allowed_down)) {
    out.label = Class::low;
    out.critical = options.critical && at_most(critical_down);
  }
}

} // namespace

std::string_view to_string(Class c) {
  switch (c) {
    case Class::pass: return "Pass";
    case Class::high: return "High";
    case Class::low: return "Low";
    case Class::nodata: return "Nodata";
    case Class::nodata_fail: return "NodataFailMetric";
    case Class::error: return "Error";
  }
  return "Error";
}

std::vector<double> transform(std::span<const double> values, const MetricOptions& options) {
  auto clean =
      options.nan_strategy == NanStrategy::replace ? replace_nan(values) : remove_nan(values);
  if (!options.remove_outliers) return clean;
  const auto outlier = iqr_outliers(clean, options.outlier_factor, Fences::reduced);
  std::vector<double> out;
  for (std::size_t i = 0; i < clean.size(); ++i) {
    if (!outlier[i]) out.push_back(clean[i]);
  }
  return out;
}

Classification classify(const std::string& name, std::span<const double> control,
                        std::span<const double> experiment, const MetricOptions& options) {
  if (control.empty() || experiment.empty()) return without_data(name, options);
  Classification out;
  std::vector<double> a(control.begin(), control.end()), b(experiment.begin(), experiment.end());
  std::ranges::sort(a);
  std::ranges::sort(b);
  if (a == b) {
    out.reason = "The " + name + " data of canary and stable are identical";
    return out;
  }
  if (a.front() == a.back() && b.front() == b.back() && a.front() == b.front()) return out;
  out.shift = mann_whitney(experiment, control, options.confidence);
  if (!out.shift) {
    out.label = Class::error;
    out.reason = name + " cannot be ranked: all values are tied";
    return out;
  }
  out.deviation = options.measure == EffectMeasure::common_language
                      ? common_language(experiment, control)
                      : mean_ratio(experiment, control);
  compare(out, *out.shift, options);
  if (out.label == Class::high) out.reason = name + " was classified as High";
  if (out.label == Class::low) out.reason = name + " was classified as Low";
  return out;
}

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
