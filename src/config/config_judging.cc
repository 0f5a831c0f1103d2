// The blocks that say what must hold: `analysis`, `metrics` and `judge`.
// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <set>
#include <string_view>

#include "config/config_fields.h"
#include "config/config_metric.h"
#include "config/config_parts.h"
#include "config/config_values.h"

namespace coalmine::config {
namespace {

using judge::Margin;
using judge::SignalSpec;

constexpr std::size_t kMaxMetrics = 50;
constexpr std::string_view kClientErrors = "client_error_rate";
constexpr std::string_view kRestarts = "restarts";

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
      key_of(yaml, &rollout::RolloutSpec::analysis_window_ms, spec),
      {"error_rate_threshold",
       margin("error_rate_threshold", "error_rate", Margin::Unit::points, 1)},
      {"latency_threshold_pct",
       margin("latency_threshold_pct", "p99_latency", Margin::Unit::percent, 1000)},
      key_of(yaml, &rollout::RolloutSpec::min_analysis_minutes, spec),
      key_of(yaml, &rollout::RolloutSpec::min_requests, spec),
  };
  yaml.map(node, "analysis", keys);
}

// Where error rates are judged, so are client error rates and restarts, unless the file says
// otherwise: nobody who asks for the one means to let a canary pass that knows none of its routes,
// or that does not stay up.
void add_unasked(std::vector<SignalSpec>& signals, const rollout::RolloutSpec& spec,
                 const std::set<std::string_view>& off) {
  if (spec.judge != "sequential") return;
  const auto errors = std::ranges::find(signals, judge::SignalKind::error_rate, &SignalSpec::kind);
  if (errors == signals.end() || !errors->gate) return;
  auto client_errors = judge::default_client_errors();
  client_errors.per_route = errors->per_route;
  for (auto& added : {client_errors, judge::default_restarts()}) {
    const bool given = std::ranges::find(signals, added.name, &SignalSpec::name) != signals.end();
    if (!given && !off.contains(added.name)) signals.push_back(added);
  }
}

// restarts: { max: 2, gate: true }. It has no margin.
std::optional<SignalSpec> read_restarts(const ConfigContext& context, const YAML::Node& key,
                                        const YAML::Node& value, const rollout::RolloutSpec& spec) {
  auto& yaml = context.yaml;
  if (spec.judge != "sequential") {
    yaml.error(key, "only the sequential judge can judge restarts",
               "use judge: { method: sequential }, or remove it");
    return std::nullopt;
  }
  auto out = judge::default_restarts();
  yaml.map(
      value, "metric restarts",
      {{"max", [&](const YAML::Node& v) { out.max = yaml.number(v, "max", 0, 1000); }},
       {"gate", [&](const YAML::Node& v) { out.gate = yaml.boolean(v, "gate").value_or(true); }}});
  if (!out.max) return std::nullopt;
  return out;
}

void read_metrics(const ConfigContext& context, const YAML::Node& node,
                  rollout::RolloutSpec& spec) {
  std::vector<SignalSpec> signals;
  const std::size_t errors_before = context.yaml.errors();
  std::size_t seen = 0;
  std::set<std::string_view> off;
  const bool is_map = context.yaml.entries(
      node, "metrics",
      [&](const std::string& name, const YAML::Node& key, const YAML::Node& value) {
        if (++seen == kMaxMetrics + 1)
          context.yaml.error(key, fmt::format("more than {} metrics", kMaxMetrics));
        if (seen > kMaxMetrics) return;
        for (const auto one : {kClientErrors, kRestarts}) {
          if (name != one || !value.IsScalar() || value.Scalar() != "off") continue;
          off.insert(one);
          return;
        }
        auto signal = name == kRestarts ? read_restarts(context, key, value, spec)
                                        : read_metric(context, name, key, value, spec);
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
    return s.gate && judge::can_show_good(s.kind);
  });
  if (is_map && !any_gate && context.yaml.errors() == errors_before) {
    context.yaml.error(node, "no metric gates, so nothing could stop a bad release",
                       "add error_rate: +0.5pp");
  }
  add_unasked(signals, spec, off);
  if (is_map) spec.signals = std::move(signals);
}

// The key, and each node that it reads is appended to seen, which must outlive it.
YamlReader::Key noted(YamlReader::Key key, std::vector<YAML::Node>& seen) {
  return {key.name, [read = std::move(key.read), &seen](const YAML::Node& v) {
            seen.push_back(v);
            read(v);
          }};
}

void read_group_weights(const ConfigContext& context, const YAML::Node& node,
                        rollout::RankSpec& rank) {
  auto& yaml = context.yaml;
  double sum = 0;
  yaml.entries(node, "group_weights",
               [&](const std::string& name, const YAML::Node&, const YAML::Node& value) {
                 if (const auto weight = yaml.number(value, name, 0, 100))
                   sum += rank.group_weights[name] = *weight;
               });
  if (sum > 100) yaml.error(node, fmt::format("the weights add up to {:g}, more than 100", sum));
}

// The nodes of the block `judge` that only one judge reads.
struct JudgeOnly {
  std::vector<YAML::Node> sequential;
  std::vector<YAML::Node> rank;
};

void warn_without_effect(const ConfigContext& context, const JudgeOnly& only,
                         const std::string& judge) {
  const auto no_effect = [&](const std::vector<YAML::Node>& nodes, std::string_view why) {
    for (const auto& v : nodes) context.yaml.warn(v, fmt::format("this has no effect: {}", why));
  };
  if (judge != "sequential") {
    no_effect(only.sequential, judge == "threshold" ? "the threshold judge compares point estimates"
                                                    : "a rank test has its own constants");
  }
  if (judge != "mann_whitney") no_effect(only.rank, "only mann_whitney gives scores");
}

void read_judge(const ConfigContext& context, const YAML::Node& node, rollout::RolloutSpec& spec) {
  auto& yaml = context.yaml;
  JudgeOnly only;
  YamlReader::Keys keys{
      {"method",
       [&](const YAML::Node& v) {
         const auto method = yaml.choice(v, "method", {"threshold", "sequential", "mann_whitney"});
         if (method) spec.judge = *method;
       }},
      noted(key_of(yaml, &rollout::RolloutSpec::false_promote_risk, spec), only.sequential),
      noted(key_of(yaml, &rollout::RolloutSpec::false_rollback_budget, spec), only.sequential),
      noted(key_of(yaml, &rollout::RolloutSpec::strict, spec), only.sequential),
  };
  for (auto& key : keys_of(yaml, "judge", spec.rank))
    keys.push_back(noted(std::move(key), only.rank));
  keys.push_back(noted(
      {"group_weights", [&](const YAML::Node& v) { read_group_weights(context, v, spec.rank); }},
      only.rank));
  yaml.map(node, "judge", keys);
  if (spec.rank.marginal > spec.rank.pass) yaml.error(node, "marginal is more than pass");
  warn_without_effect(context, only, spec.judge);
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
