// The blocks that say what must hold: `analysis`, `metrics` and `judge`.
// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>

#include "config/config_metric.h"
#include "config/config_parts.h"
#include "config/config_values.h"

namespace coalmine::config {
namespace {

using judge::Margin;
using judge::SignalSpec;

constexpr std::int64_t kDayMs = 24LL * 3600 * 1000;
constexpr std::size_t kMaxMetrics = 50;

SignalSpec& find_or_add(std::vector<SignalSpec>& signals, const std::string& name) {
  const auto found = std::find_if(signals.begin(), signals.end(),
                                  [&](const SignalSpec& s) { return s.name == name; });
  if (found != signals.end()) return *found;
  signals.push_back(*built_in_signal(name));
  return signals.back();
}

// The seed's keys, with the seed's meaning: 0.10 is ten percentage points, 0.20 is twenty per cent
// of stable's p99.
void read_analysis(const ConfigContext& context, const YAML::Node& node, bool metrics_given,
                   rollout::RolloutSpec& spec) {
  auto& yaml = context.yaml;
  const auto margin = [&](const char* key, const std::string& name, Margin::Unit unit,
                          double high) {
    return [&yaml, &spec, metrics_given, key, name, unit, high](const YAML::Node& v) {
      const auto amount = yaml.number(v, key, 0, high);
      if (metrics_given) {
        yaml.error(v, fmt::format("{} and the metrics block both set margins", key),
                   "keep the metrics block and remove this key");
      } else if (amount) {
        find_or_add(spec.signals, name).margin = {unit, *amount};
      }
    };
  };
  const YamlReader::Keys keys{
      {"analysis_window",
       [&](const YAML::Node& v) {
         spec.analysis_window_ms = yaml.duration(v, "analysis_window", 1000, 30 * kDayMs)
                                       .value_or(spec.analysis_window_ms);
       }},
      {"error_rate_threshold",
       margin("error_rate_threshold", "error_rate", Margin::Unit::points, 1)},
      {"latency_threshold_pct",
       margin("latency_threshold_pct", "p99_latency", Margin::Unit::percent, 1000)},
      {"min_analysis_minutes",
       [&](const YAML::Node& v) {
         spec.min_analysis_minutes =
             yaml.number(v, "min_analysis_minutes", 0, 43200).value_or(spec.min_analysis_minutes);
       }},
      {"min_requests",
       [&](const YAML::Node& v) {
         spec.min_requests = yaml.number(v, "min_requests", 1, 1e12).value_or(spec.min_requests);
       }},
  };
  yaml.map(node, "analysis", keys);
}

void read_metrics(const ConfigContext& context, const YAML::Node& node,
                  rollout::RolloutSpec& spec) {
  std::vector<SignalSpec> signals;
  const std::size_t errors_before = context.yaml.errors();
  std::size_t seen = 0;
  const bool is_map = context.yaml.entries(
      node, "metrics",
      [&](const std::string& name, const YAML::Node& key, const YAML::Node& value) {
        if (++seen == kMaxMetrics + 1)
          context.yaml.error(key, fmt::format("more than {} metrics", kMaxMetrics));
        if (seen > kMaxMetrics) return;
        auto signal = read_metric(context, name, key, value, spec);
        if (!signal) return;
        const bool twice = std::any_of(signals.begin(), signals.end(),
                                       [&](const SignalSpec& s) { return s.name == signal->name; });
        if (twice) {
          context.yaml.error(key, fmt::format("{} is given twice under two names", name),
                             "keep one of them");
        } else {
          signals.push_back(std::move(*signal));
        }
      });
  const bool any_gate = std::any_of(signals.begin(), signals.end(), [](const SignalSpec& s) {
    return s.gate && s.kind != judge::SignalKind::request_share; // which is of routes only, and
                                                                 // shows no release to be good
  });
  if (is_map && !any_gate && context.yaml.errors() == errors_before) {
    context.yaml.error(node, "no metric gates, so nothing could stop a bad release",
                       "add error_rate: +0.5pp");
  }
  if (is_map) spec.signals = std::move(signals);
}

void read_judge(const ConfigContext& context, const YAML::Node& node, rollout::RolloutSpec& spec) {
  auto& yaml = context.yaml;
  std::vector<YAML::Node> of_sequential; // keys that the other judges have no use for
  std::vector<YAML::Node> of_rank;
  const auto risk = [&](const YAML::Node& v, std::string_view name, double low,
                        double high) -> std::optional<double> {
    of_sequential.push_back(v);
    const auto value = yaml.percent(v, name);
    if (!value || (*value >= low && *value <= high)) return value;
    yaml.error(v, fmt::format("{} is {:g}%, which is not between {:g}% and {:g}%", name,
                              *value * 100, low * 100, high * 100));
    return std::nullopt;
  };
  const YamlReader::Keys keys{
      {"method",
       [&](const YAML::Node& v) {
         const auto method = yaml.choice(v, "method", {"threshold", "sequential", "mann_whitney"});
         if (method) spec.judge = *method;
       }},
      {"confidence",
       [&](const YAML::Node& v) {
         if (const auto value = risk(v, "confidence", 0.5, 0.9999))
           spec.false_promote_risk = 1 - *value;
       }},
      {"false_rollback_budget",
       [&](const YAML::Node& v) {
         if (const auto value = risk(v, "false_rollback_budget", 0.0001, 0.5))
           spec.false_rollback_budget = *value;
       }},
      {"strict",
       [&](const YAML::Node& v) {
         of_sequential.push_back(v);
         spec.strict = yaml.boolean(v, "strict").value_or(false);
       }},
      {"pass",
       [&](const YAML::Node& v) {
         of_rank.push_back(v);
         spec.rank.pass = yaml.number(v, "pass", 0, 100).value_or(spec.rank.pass);
       }},
      {"marginal",
       [&](const YAML::Node& v) {
         of_rank.push_back(v);
         spec.rank.marginal = yaml.number(v, "marginal", 0, 100).value_or(spec.rank.marginal);
       }},
      {"interval",
       [&](const YAML::Node& v) {
         of_rank.push_back(v);
         spec.rank.interval =
             static_cast<int>(yaml.number(v, "interval", 2, 1000).value_or(spec.rank.interval));
       }},
      {"group_weights",
       [&](const YAML::Node& v) {
         of_rank.push_back(v);
         double sum = 0;
         yaml.entries(v, "group_weights",
                      [&](const std::string& name, const YAML::Node&, const YAML::Node& value) {
                        if (const auto weight = yaml.number(value, name, 0, 100))
                          sum += spec.rank.group_weights[name] = *weight;
                      });
         if (sum > 100)
           yaml.error(v, fmt::format("the weights add up to {:g}, more than 100", sum));
       }},
  };
  yaml.map(node, "judge", keys);
  if (spec.rank.marginal > spec.rank.pass) yaml.error(node, "marginal is more than pass");
  const auto no_effect = [&](const std::vector<YAML::Node>& nodes, std::string_view why) {
    for (const auto& v : nodes) yaml.warn(v, fmt::format("this has no effect: {}", why));
  };
  if (spec.judge != "sequential") {
    no_effect(of_sequential, spec.judge == "threshold"
                                 ? "the threshold judge compares point estimates"
                                 : "a rank test has its own constants");
  }
  if (spec.judge != "mann_whitney") no_effect(of_rank, "only mann_whitney gives scores");
}

} // namespace

void read_judging(const ConfigContext& context, const JudgeNodes& nodes,
                  rollout::RolloutSpec& spec) {
  const bool metrics_given = nodes.metrics.IsDefined();
  // The seed's keys mean the seed's judge; everything else is judged by evidence.
  spec.judge = nodes.analysis.IsDefined() ? "threshold" : "sequential";
  if (nodes.judge.IsDefined()) read_judge(context, nodes.judge, spec);
  if (spec.judge == "sequential") spec.signals = judge::sequential_defaults().signals;
  if (nodes.analysis.IsDefined()) read_analysis(context, nodes.analysis, metrics_given, spec);
  if (metrics_given) read_metrics(context, nodes.metrics, spec);
}

} // namespace coalmine::config
