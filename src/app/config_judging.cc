// The blocks that say what must hold: `analysis`, `metrics` and `judge`.
// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>

#include "app/config_parts.h"
#include "app/config_values.h"

namespace coalmine::app {
namespace {

using judge::Margin;
using judge::SignalKind;
using judge::SignalSpec;

constexpr std::int64_t kDayMs = 24LL * 3600 * 1000;
constexpr std::size_t kMaxMetrics = 50;

// Names as users write them to what is measured: error_rate, latency_p50 … latency_p9999 (and the seed's p99_latency).
std::optional<SignalSpec> built_in(const std::string& name) {
  SignalSpec signal;
  signal.name = name;
  if (name == "error_rate") return signal;
  std::string digits;
  if (name.starts_with("latency_p")) digits = name.substr(9);
  if (name.starts_with("p") && name.ends_with("_latency")) digits = name.substr(1, name.size() - 9);
  const bool numeric = !digits.empty() && digits.size() <= 4 && digits.find_first_not_of("0123456789") == std::string::npos;
  // p50 to p99, then p9xx: "p100" is no quantile.
  if (!numeric || digits.size() < 2 || digits == "00" || (digits.size() > 2 && digits[0] != '9')) return std::nullopt;
  signal.kind = SignalKind::latency_quantile;
  // One name per signal in every output: the one the seed's result object has.
  signal.name = "p" + digits + "_latency";
  signal.quantile = *parse_number("0." + digits);
  return signal;
}

// Fills one SignalSpec (or checks a custom metric) from one entry of `metrics`.
class MetricReader {
 public:
  MetricReader(const ConfigContext& context, const std::string& name, bool sequential)
      : yaml_(context.yaml), name_(name), sequential_(sequential), signal_(built_in(name)) {}

  // Empty: a custom metric, or not usable.
  std::optional<SignalSpec> read(const YAML::Node& key, const YAML::Node& value) {
    if (value.IsMap()) {
      yaml_.map(value, fmt::format("metric {}", name_), keys());
    } else {
      read_margin(value);
    }
    if (!signal_) {
      check_custom(key);
      return std::nullopt;
    }
    if (custom_) {
      yaml_.error(key, fmt::format("{} is a built-in metric and takes no promql or ratio", name_), "give your own metric its own name");
      return std::nullopt;
    }
    if (!margin_given_ && !failed_) yaml_.error(key, fmt::format("{} has no margin", name_), example());
    if (!margin_given_ || failed_) return std::nullopt;
    const bool rare = signal_->kind == SignalKind::latency_quantile && signal_->quantile > 0.99;
    // A regression of the slowest requests always counts; promotion waits for them only when the traffic can tell.
    if (sequential_) signal_->if_decidable = rare;
    if (rare && signal_->gate && !sequential_) {
      yaml_.error(key, fmt::format("{} cannot gate with the threshold judge: at a canary's traffic it is the few slowest requests, and that "
                                   "judge has no interval for them", name_),
                  "add gate: false to show it, and gate on latency_p99; or use judge: { method: sequential }");
      return std::nullopt;
    }
    return signal_;
  }

 private:
  YamlReader::Keys keys() {
    return {
        {"margin", [this](const YAML::Node& v) { read_margin(v); }},
        {"max", [this](const YAML::Node& v) { read_max(v); }},
        {"min", [this](const YAML::Node& v) { yaml_.error(v, "min is not evaluated yet", "remove it"); }},
        {"floor",
         [this](const YAML::Node& v) { read_floor(v); }},
        {"by", [this](const YAML::Node& v) { read_by(v); }},
        {"gate",
         [this](const YAML::Node& v) {
           gate_ = yaml_.boolean(v, "gate").value_or(true);
           if (signal_) signal_->gate = gate_;
         }},
        {"direction", [this](const YAML::Node& v) { read_direction(v); }},
        {"unit", [this](const YAML::Node& v) { yaml_.choice(v, "unit", {"ratio", "ms", "s", "bytes", "count", "rps"}); }},
        {"promql",
         [this](const YAML::Node& v) {
           custom_ = true;
           yaml_.text(v, "promql");
         }},
        {"ratio", [this](const YAML::Node& v) { read_ratio(v); }},
    };
  }

  bool is_latency() const { return signal_ && signal_->kind == SignalKind::latency_quantile; }
  std::string example() const { return is_latency() ? "write for example margin: +20%" : "write for example margin: +0.5pp"; }

  void refuse(const YAML::Node& at, std::string message, std::string hint) {
    failed_ = true;
    yaml_.error(at, std::move(message), std::move(hint));
  }

  std::string bare_number_hint(double n) const {
    if (is_latency()) return fmt::format("write +{:g}% (relative to stable) or +{:g}ms.", n < 1 ? n * 100 : n, n < 1 ? n * 1000 : n);
    const double points = n < 1 ? n * 100 : n;
    return fmt::format("write +{0:g}pp (percentage points) or +{0:g}% (relative to stable).\n"
                       "On a 0.4% baseline +{0:g}pp allows {1:g}%; most services use +0.5pp.",
                       points, 0.4 + points);
  }

  void read_margin(const YAML::Node& node) {
    if (!node.IsScalar()) return refuse(node, fmt::format("the margin of {} must be a text, not {}", name_, kind_of(node)), example());
    MarginProblem problem;
    const auto margin = parse_margin(node.Scalar(), problem);
    const std::string& text = node.Scalar();
    if (!margin && problem.kind == MarginProblem::Kind::bare_number) {
      return refuse(node, fmt::format("margin \"{}\" has no unit", text), bare_number_hint(problem.number));
    }
    if (!margin && problem.kind == MarginProblem::Kind::no_sign) {
      return refuse(node, fmt::format("margin \"{}\" has no sign", text), fmt::format("write +{}: the sign is the bad direction", text));
    }
    if (!margin) return refuse(node, fmt::format("\"{}\" is not a margin", text), "write +0.5pp, +20% or +25ms");
    margin_given_ = true;
    if (signal_) use_margin(node, *margin);
  }

  // Which unit fits which signal.
  void use_margin(const YAML::Node& node, const MarginText& margin) {
    if (!margin.worse_is_up) {
      return refuse(node, fmt::format("the margin of {} is negative, but worse is more here", name_),
                    fmt::format("write +{:g}{}", margin.amount, margin.unit));
    }
    if (margin.unit == "%") {
      signal_->margin = {Margin::Unit::percent, margin.amount / 100};
    } else if (margin.unit == "pp" && !is_latency()) {
      if (margin.amount > 100) return refuse(node, fmt::format("+{:g}pp is more than 100 percentage points", margin.amount), "");
      signal_->margin = {Margin::Unit::points, margin.amount / 100};
    } else if (is_latency() && (margin.unit == "ms" || margin.unit == "s")) {
      signal_->margin = {Margin::Unit::millis, margin.amount * (margin.unit == "s" ? 1000 : 1)};
    } else {
      refuse(node, fmt::format("{} cannot have a margin in {}", name_, margin.unit),
             is_latency() ? "use % (relative to stable), ms or s" : "use pp (percentage points) or % (relative to stable)");
    }
  }

  void read_max(const YAML::Node& node) {
    if (!signal_) return; // custom metrics are refused or ignored as a whole
    if (is_latency()) {
      if (const auto ms = yaml_.duration(node, "max", 1, kDayMs)) signal_->max = static_cast<double>(*ms);
    } else {
      signal_->max = yaml_.percent(node, "max");
    }
  }

  void read_floor(const YAML::Node& node) {
    const auto text = yaml_.text(node, "floor");
    if (!text) return;
    MarginProblem problem;
    const auto floor = parse_margin(text->starts_with('+') ? *text : "+" + *text, problem);
    const bool points = floor && floor->unit == "pp" && !is_latency();
    const bool time = floor && (floor->unit == "ms" || floor->unit == "s") && is_latency();
    if (!points && !time) {
      yaml_.error(node, fmt::format("\"{}\" is not a floor of {}", *text, name_), is_latency() ? "write for example 5ms" : "write for example 0.1pp");
    } else if (!sequential_) {
      yaml_.warn(node, "floor is evaluated by the sequential judge only: here small differences count like any other");
    } else if (signal_) {
      signal_->floor = points ? floor->amount / 100 : floor->amount * (floor->unit == "s" ? 1000 : 1);
    }
  }

  void read_by(const YAML::Node& node) {
    const auto by = yaml_.choice(node, "by", {"http.route", "service"});
    if (by && signal_) signal_->per_route = *by == "http.route";
  }

  void read_direction(const YAML::Node& node) {
    const auto direction = yaml_.choice(node, "direction", {"lower_is_better", "higher_is_better", "no_change"});
    if (direction && signal_ && *direction != "lower_is_better") {
      yaml_.error(node, fmt::format("{} is better when lower; {} does not fit", name_, *direction), "remove direction");
    }
  }

  void read_ratio(const YAML::Node& node) {
    custom_ = true;
    yaml_.map(node, "ratio", {{"good", [this](const YAML::Node& v) { yaml_.text(v, "good"); }},
                              {"total", [this](const YAML::Node& v) { yaml_.text(v, "total"); }}});
  }

  // A metric of the user's own is not evaluated yet. Left out silently it would look like a gate that passes.
  void check_custom(const YAML::Node& key) {
    if (!custom_) {
      const std::string close = did_you_mean(name_, {"error_rate", "latency_p99", "latency_p95", "latency_p90", "latency_p50", "latency_p999"});
      yaml_.error(key, fmt::format("unknown metric \"{}\"{}", name_, close.empty() ? "" : fmt::format(" - did you mean \"{}\"?", close)),
                  "built in: error_rate, latency_p50, latency_p90, latency_p95, latency_p99");
    } else if (gate_) {
      yaml_.error(key, fmt::format("metric {} is not evaluated yet, so it would not gate anything", name_),
                  "add gate: false to keep it in the file without effect, or remove it");
    } else {
      yaml_.warn(key, fmt::format("metric {} is not evaluated yet: it is ignored", name_));
    }
  }

  YamlReader& yaml_;
  const std::string& name_;
  const bool sequential_;
  std::optional<SignalSpec> signal_;
  bool gate_ = true;
  bool custom_ = false;
  bool margin_given_ = false;
  bool failed_ = false;
};

SignalSpec& find_or_add(std::vector<SignalSpec>& signals, const std::string& name) {
  const auto found = std::find_if(signals.begin(), signals.end(), [&](const SignalSpec& s) { return s.name == name; });
  if (found != signals.end()) return *found;
  signals.push_back(*built_in(name));
  return signals.back();
}

// The seed's keys, with the seed's meaning: 0.10 is ten percentage points, 0.20 is twenty per cent of stable's p99.
void read_analysis(const ConfigContext& context, const YAML::Node& node, bool metrics_given, rollout::RolloutSpec& spec) {
  auto& yaml = context.yaml;
  const auto margin = [&](const char* key, const std::string& name, Margin::Unit unit, double high) {
    return [&yaml, &spec, metrics_given, key, name, unit, high](const YAML::Node& v) {
      const auto amount = yaml.number(v, key, 0, high);
      if (metrics_given) {
        yaml.error(v, fmt::format("{} and the metrics block both set margins", key), "keep the metrics block and remove this key");
      } else if (amount) {
        find_or_add(spec.signals, name).margin = {unit, *amount};
      }
    };
  };
  const YamlReader::Keys keys{
      {"analysis_window",
       [&](const YAML::Node& v) {
         spec.analysis_window_ms = yaml.duration(v, "analysis_window", 1000, 30 * kDayMs).value_or(spec.analysis_window_ms);
       }},
      {"error_rate_threshold", margin("error_rate_threshold", "error_rate", Margin::Unit::points, 1)},
      {"latency_threshold_pct", margin("latency_threshold_pct", "p99_latency", Margin::Unit::percent, 1000)},
      {"min_analysis_minutes",
       [&](const YAML::Node& v) {
         spec.min_analysis_minutes = yaml.number(v, "min_analysis_minutes", 0, 43200).value_or(spec.min_analysis_minutes);
       }},
      {"min_requests",
       [&](const YAML::Node& v) { spec.min_requests = yaml.number(v, "min_requests", 1, 1e12).value_or(spec.min_requests); }},
  };
  yaml.map(node, "analysis", keys);
}

void read_metrics(const ConfigContext& context, const YAML::Node& node, rollout::RolloutSpec& spec) {
  std::vector<SignalSpec> signals;
  const std::size_t errors_before = context.yaml.errors();
  std::size_t seen = 0;
  const bool is_map = context.yaml.entries(node, "metrics", [&](const std::string& name, const YAML::Node& key, const YAML::Node& value) {
    if (++seen == kMaxMetrics + 1) context.yaml.error(key, fmt::format("more than {} metrics", kMaxMetrics));
    if (seen > kMaxMetrics) return;
    auto signal = MetricReader(context, name, spec.judge == "sequential").read(key, value);
    if (!signal) return;
    const bool twice = std::any_of(signals.begin(), signals.end(), [&](const SignalSpec& s) { return s.name == signal->name; });
    if (twice) {
      context.yaml.error(key, fmt::format("{} is given twice under two names", name), "keep one of them");
    } else {
      signals.push_back(std::move(*signal));
    }
  });
  const bool any_gate = std::any_of(signals.begin(), signals.end(), [](const SignalSpec& s) { return s.gate; });
  if (is_map && !any_gate && context.yaml.errors() == errors_before) {
    context.yaml.error(node, "no metric gates, so nothing could stop a bad release", "add error_rate: +0.5pp");
  }
  if (is_map) spec.signals = std::move(signals);
}

void read_judge(const ConfigContext& context, const YAML::Node& node, rollout::RolloutSpec& spec) {
  auto& yaml = context.yaml;
  std::vector<YAML::Node> of_sequential; // keys that the threshold judge has no use for
  const auto risk = [&](const YAML::Node& v, std::string_view name, double low, double high) -> std::optional<double> {
    of_sequential.push_back(v);
    const auto value = yaml.percent(v, name);
    if (!value || (*value >= low && *value <= high)) return value;
    yaml.error(v, fmt::format("{} is {:g}%, which is not between {:g}% and {:g}%", name, *value * 100, low * 100, high * 100));
    return std::nullopt;
  };
  const YamlReader::Keys keys{
      {"method",
       [&](const YAML::Node& v) {
         const auto method = yaml.choice(v, "method", {"threshold", "sequential", "mann_whitney"});
         if (method && *method == "mann_whitney") {
           yaml.warn(v, "judge mann_whitney is not available yet: sequential is used, with the same margins");
         }
         if (method) spec.judge = *method == "threshold" ? "threshold" : "sequential";
       }},
      {"confidence",
       [&](const YAML::Node& v) {
         if (const auto value = risk(v, "confidence", 0.5, 0.9999)) spec.false_promote_risk = 1 - *value;
       }},
      {"false_rollback_budget",
       [&](const YAML::Node& v) {
         if (const auto value = risk(v, "false_rollback_budget", 0.0001, 0.5)) spec.false_rollback_budget = *value;
       }},
      {"strict",
       [&](const YAML::Node& v) {
         of_sequential.push_back(v);
         spec.strict = yaml.boolean(v, "strict").value_or(false);
       }},
  };
  yaml.map(node, "judge", keys);
  if (spec.judge == "sequential") return;
  for (const auto& v : of_sequential) yaml.warn(v, "this has no effect: the threshold judge compares point estimates");
}

} // namespace

void read_judging(const ConfigContext& context, const JudgeNodes& nodes, rollout::RolloutSpec& spec) {
  const bool metrics_given = nodes.metrics.IsDefined();
  // The seed's keys mean the seed's judge; everything else is judged by evidence.
  spec.judge = nodes.analysis.IsDefined() ? "threshold" : "sequential";
  if (nodes.judge.IsDefined()) read_judge(context, nodes.judge, spec);
  if (spec.judge == "sequential") spec.signals = judge::sequential_defaults().signals;
  if (nodes.analysis.IsDefined()) read_analysis(context, nodes.analysis, metrics_given, spec);
  if (metrics_given) read_metrics(context, nodes.metrics, spec);
}

} // namespace coalmine::app
