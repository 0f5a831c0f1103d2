// SPDX-License-Identifier: Apache-2.0
#include "config/config_metric.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "base/did_you_mean.h"
#include "cohort/signal_expression.h"
#include "config/config_promql.h"
#include "config/config_values.h"
#include "promql/syntax/parser.h"

namespace coalmine::config {
namespace {

using judge::Margin;
using judge::SignalKind;
using judge::SignalSpec;
using judge::ValueUnit;
using judge::Worse;

constexpr std::int64_t kDayMs = 24LL * 3600 * 1000;
constexpr double kLargest = 1e15;

// Reads one entry. Lives for one call of read_metric.
class MetricReader {
 public:
  MetricReader(const ConfigContext& context, const std::string& name, rollout::RolloutSpec& spec)
      : yaml_(context.yaml), name_(name), spec_(spec), built_in_(built_in_signal(name)) {
    signal_ = built_in_.value_or(SignalSpec{});
    if (built_in_) return;
    signal_.name = name;
    signal_.per_route = false;
    source_.name = name;
  }

  std::optional<SignalSpec> read(const YAML::Node& key, const YAML::Node& value) {
    // What kind it is decides how its margin is read, whatever comes first in the file.
    if (value.IsMap()) {
      yaml_.map(value, fmt::format("metric {}", name_), keys());
    } else {
      margin_ = value;
    }
    if (!check_kind(key)) return std::nullopt;
    read_unit();
    if (margin_) read_margin(*margin_);
    check_direction();
    if (max_) read_limit(*max_, Limit::max);
    if (min_) read_limit(*min_, Limit::min);
    if (floor_) read_floor(*floor_);
    if (rank_) read_rank(*rank_);
    const bool needed = spec_.judge != "mann_whitney"; // whose effect sizes are its own
    if (!margin_ && needed && !failed_)
      yaml_.error(key, fmt::format("{} has no margin", name_), example());
    if ((!margin_ && needed) || failed_) return std::nullopt;
    if (!check_tail(key) || !check_mean()) return std::nullopt;
    if (!built_in_) spec_.metrics.push_back(source_);
    return signal_;
  }

 private:
  YamlReader::Keys keys() {
    return {
        {"margin", [this](const YAML::Node& v) { margin_ = v; }},
        {"max", [this](const YAML::Node& v) { max_ = v; }},
        {"min", [this](const YAML::Node& v) { min_ = v; }},
        {"floor", [this](const YAML::Node& v) { floor_ = v; }},
        {"by", [this](const YAML::Node& v) { read_by(v); }},
        {"gate",
         [this](const YAML::Node& v) { signal_.gate = yaml_.boolean(v, "gate").value_or(true); }},
        {"direction", [this](const YAML::Node& v) { direction_ = v; }},
        {"unit", [this](const YAML::Node& v) { unit_ = v; }},
        {"promql", [this](const YAML::Node& v) { read_promql(v); }},
        {"ratio", [this](const YAML::Node& v) { read_ratio(v); }},
        {"mean", [this](const YAML::Node& v) { read_mean(v); }},
        {"mann_whitney", [this](const YAML::Node& v) { rank_ = v; }},
    };
  }

  bool is_latency() const { return signal_.kind == SignalKind::latency_quantile; }
  bool is_client_error_rate() const { return signal_.kind == SignalKind::client_error_rate; }
  bool is_request_share() const { return signal_.kind == SignalKind::request_share; }
  bool is_share() const {
    return judge::is_share(signal_.kind) || signal_.unit == ValueUnit::ratio;
  }
  bool custom() const { return !sources_.empty(); }

  void refuse(const YAML::Node& at, std::string message, std::string hint) {
    failed_ = true;
    yaml_.error(at, std::move(message), std::move(hint));
  }

  // What a margin of this metric looks like.
  std::string example() const {
    if (is_latency()) return "write for example margin: +20%";
    if (is_request_share()) return "write for example margin: -20%";
    if (is_client_error_rate()) return "write for example margin: +10pp, or client_error_rate: off";
    return built_in_
               ? "write for example margin: +0.5pp"
               : "write for example margin: +10% where more is worse, -5% where less is worse";
  }
  std::string units() const {
    if (is_share()) return "use pp (percentage points) or % (relative to stable)";
    switch (signal_.unit) {
      case ValueUnit::bytes: return "use % (relative to stable), B, KB or MB";
      case ValueUnit::per_second: return "use % (relative to stable) or /s";
      case ValueUnit::number:
        return is_latency() ? "use % (relative to stable), ms or s"
                            : "use % (relative to stable), or say its unit";
      default: return "use % (relative to stable), ms or s";
    }
  }

  std::string bare_number_hint(double n) const {
    if (is_latency())
      return fmt::format("write +{:g}% (relative to stable) or +{:g}ms.", n < 1 ? n * 100 : n,
                         n < 1 ? n * 1000 : n);
    const double points = n < 1 ? n * 100 : n;
    if (!built_in_ || is_request_share())
      return fmt::format(
          "write +{0:g}% or -{0:g}% (relative to stable): the sign is the bad direction", points);
    return fmt::format(
        "write +{0:g}pp (percentage points) or +{0:g}% (relative to stable).\n"
        "On a 0.4% baseline +{0:g}pp allows {1:g}%; most services use +0.5pp.",
        points, 0.4 + points);
  }

  bool check_kind(const YAML::Node& key) {
    if (sources_.size() > 1) {
      yaml_.error(key,
                  fmt::format("{} has {} sources: {}", name_, sources_.size(),
                              fmt::join(sources_, " and ")),
                  "keep one of them");
      return false;
    }
    if (built_in_ && custom()) {
      yaml_.error(key,
                  fmt::format("{} is a built-in metric and takes no {}", name_, sources_.front()),
                  "give your own metric its own name");
      return false;
    }
    if (is_client_error_rate() && spec_.judge == "mann_whitney") {
      yaml_.error(key, "mann_whitney cannot judge client_error_rate", "remove it");
      return false;
    }
    if (is_request_share() && spec_.judge != "sequential") {
      yaml_.error(key, "only the sequential judge can judge request_share",
                  "use judge: { method: sequential }, or remove it");
      return false;
    }
    if (built_in_ || custom()) return true;
    const std::string close = did_you_mean(
        name_, {"error_rate", "client_error_rate", "request_share", "restarts", "latency_p99",
                "latency_p95", "latency_p90", "latency_p50", "latency_p999"});
    yaml_.error(
        key,
        fmt::format("unknown metric \"{}\"{}", name_,
                    close.empty() ? "" : fmt::format(" - did you mean \"{}\"?", close)),
        "built in: error_rate, client_error_rate, restarts, latency_p50, latency_p90, latency_p95, "
        "latency_p99; one of "
        "your own needs promql, ratio or mean");
    return false;
  }

  void read_unit() {
    if (!unit_) return;
    const auto unit = yaml_.choice(*unit_, "unit", {"ratio", "ms", "s", "bytes", "count", "rps"});
    if (!unit || built_in_) return;
    constexpr std::pair<std::string_view, ValueUnit> kUnits[] = {
        {"ratio", ValueUnit::ratio}, {"ms", ValueUnit::millis},    {"s", ValueUnit::seconds},
        {"bytes", ValueUnit::bytes}, {"count", ValueUnit::number}, {"rps", ValueUnit::per_second}};
    for (const auto& [name, value] : kUnits) {
      if (name == *unit) signal_.unit = value;
    }
  }

  void read_margin(const YAML::Node& node) {
    if (!node.IsScalar())
      return refuse(node,
                    fmt::format("the margin of {} must be a text, not {}", name_, kind_of(node)),
                    example());
    MarginProblem problem;
    const auto margin = parse_margin(node.Scalar(), problem);
    const std::string& text = node.Scalar();
    if (!margin && problem.kind == MarginProblem::Kind::bare_number) {
      return refuse(node, fmt::format("margin \"{}\" has no unit", text),
                    bare_number_hint(problem.number));
    }
    if (!margin && problem.kind == MarginProblem::Kind::no_sign) {
      return refuse(node, fmt::format("margin \"{}\" has no sign", text),
                    fmt::format("write +{}: the sign is the bad direction", text));
    }
    if (!margin)
      return refuse(node, fmt::format("\"{}\" is not a margin", text),
                    "write +0.5pp, +20% or +25ms");
    if (!margin->worse_is_up && built_in_ && !is_request_share()) {
      return refuse(node,
                    fmt::format("the margin of {} is negative, but worse is more here", name_),
                    fmt::format("write +{:g}{}", margin->amount, margin->unit));
    }
    signal_.margin.worse = margin->worse_is_up ? Worse::higher : Worse::lower;
    use_margin(node, *margin);
  }

  // Which unit fits which signal.
  void use_margin(const YAML::Node& node, const MarginText& text) {
    auto& margin = signal_.margin;
    const bool milliseconds = is_latency() || signal_.unit == ValueUnit::millis;
    const double seconds = text.unit == "s" ? text.amount : text.amount / 1000;
    const bool time = text.unit == "ms" || text.unit == "s";
    if (text.unit == "%") {
      if (margin.worse == Worse::lower && text.amount > 100) {
        return refuse(
            node,
            fmt::format("-{:g}% is not possible: no value falls by more than 100%", text.amount),
            "");
      }
      margin.unit = Margin::Unit::percent;
      margin.amount = text.amount / 100;
    } else if (text.unit == "pp" && is_share()) {
      if (text.amount > 100)
        return refuse(node, fmt::format("{:g}pp is more than 100 percentage points", text.amount),
                      "");
      margin.unit = Margin::Unit::points;
      margin.amount = text.amount / 100;
    } else if (time && milliseconds) {
      margin.unit = Margin::Unit::millis;
      margin.amount = seconds * 1000;
    } else if (time && signal_.unit == ValueUnit::seconds) {
      margin.unit = Margin::Unit::seconds;
      margin.amount = seconds;
    } else if (text.unit.ends_with('B') && signal_.unit == ValueUnit::bytes) {
      margin.unit = Margin::Unit::bytes;
      margin.amount = text.amount * (text.unit == "MB" ? 1e6 : text.unit == "KB" ? 1e3 : 1);
    } else if (text.unit == "/s" && signal_.unit == ValueUnit::per_second) {
      margin.unit = Margin::Unit::per_second;
      margin.amount = text.amount;
    } else {
      refuse(node, fmt::format("{} cannot have a margin in {}", name_, text.unit), units());
    }
  }

  // The sign of the margin says which way is worse; direction may say it once more, or that both
  // are.
  void check_direction() {
    if (!direction_) return;
    const auto direction = yaml_.choice(*direction_, "direction",
                                        {"lower_is_better", "higher_is_better", "no_change"});
    if (!direction) return;
    if (built_in_ && !is_request_share() && *direction != "lower_is_better") {
      return refuse(*direction_,
                    fmt::format("{} is better when lower; {} does not fit", name_, *direction),
                    "remove direction");
    }
    auto& worse = signal_.margin.worse;
    if (*direction == "no_change" || !margin_) {
      worse = *direction == "no_change"          ? Worse::either
              : *direction == "higher_is_better" ? Worse::lower
                                                 : Worse::higher;
    } else if ((worse == Worse::lower) != (*direction == "higher_is_better")) {
      refuse(*direction_,
             fmt::format("{} is {}, but the sign of its margin says that {} is worse", name_,
                         *direction, worse == Worse::lower ? "less" : "more"),
             "the sign of the margin is the bad direction: change one of the two");
    }
  }

  // A number in the signal's own unit.
  std::optional<double> amount(const YAML::Node& node, std::string_view what) {
    if (is_share()) return yaml_.percent(node, what);
    if (is_latency() || signal_.unit == ValueUnit::millis || signal_.unit == ValueUnit::seconds) {
      const auto ms = yaml_.duration(node, what, 1, kDayMs);
      if (!ms) return std::nullopt;
      return static_cast<double>(*ms) / (signal_.unit == ValueUnit::seconds ? 1000 : 1);
    }
    if (signal_.unit != ValueUnit::bytes) return yaml_.number(node, what, -kLargest, kLargest);
    const auto text = yaml_.text(node, what);
    if (!text) return std::nullopt;
    const auto bytes = parse_bytes(*text);
    if (!bytes)
      yaml_.error(node, fmt::format("\"{}\" is not a size", *text), "write for example 512MB");
    return bytes ? std::optional(static_cast<double>(*bytes)) : std::nullopt;
  }

  enum class Limit { max, min };
  void read_limit(const YAML::Node& node, Limit limit) {
    const bool is_max = limit == Limit::max;
    const std::string_view key = is_max ? "max" : "min";
    const auto worse = signal_.margin.worse;
    if (is_request_share())
      return refuse(node, fmt::format("{} takes no {}", name_, key), "remove it");
    if (worse == Worse::either)
      return refuse(node, fmt::format("{} may get worse either way, so it takes no {}", name_, key),
                    "remove it");
    if ((worse == Worse::higher) != is_max) {
      return refuse(node,
                    fmt::format("{} gets worse when it {}, so {} would be no limit", name_,
                                is_max ? "falls" : "rises", key),
                    is_max ? "write min" : "write max");
    }
    if (signal_.kind == SignalKind::mean)
      return refuse(node, fmt::format("a mean takes no {}", key),
                    "give its PromQL expression instead");
    signal_.max = amount(node, key);
  }

  void read_floor(const YAML::Node& node) {
    const auto text = yaml_.text(node, "floor");
    if (!text) return;
    if (spec_.judge != "sequential") {
      return yaml_.warn(node,
                        "floor is evaluated by the sequential judge only: here small differences "
                        "count like any other");
    }
    MarginProblem problem;
    const auto floor = parse_margin(text->starts_with('+') ? *text : "+" + *text, problem);
    if (floor && floor->unit == "pp" && is_share()) {
      signal_.floor = floor->amount / 100;
    } else if (floor && (floor->unit == "ms" || floor->unit == "s") && !is_share()) {
      const double ms = floor->amount * (floor->unit == "s" ? 1000 : 1);
      signal_.floor = signal_.unit == ValueUnit::seconds ? ms / 1000 : ms;
    } else if (!built_in_ && !is_share()) {
      signal_.floor = amount(node, "floor").value_or(0);
    } else {
      yaml_.error(node, fmt::format("\"{}\" is not a floor of {}", *text, name_),
                  is_latency() ? "write for example 5ms" : "write for example 0.1pp");
    }
  }

  void read_by(const YAML::Node& node) {
    const auto by = yaml_.choice(node, "by", {"http.route", "service"});
    if (!by) return;
    if (!built_in_ && *by == "http.route") {
      yaml_.error(node, fmt::format("{} is judged for the whole service", name_), "remove by");
    } else if (is_request_share() && *by == "service") {
      yaml_.error(node, "request_share of the whole service is always 100%", "remove by");
    } else if (built_in_) {
      signal_.per_route = *by == "http.route";
    }
  }

  void read_promql(const YAML::Node& node) {
    sources_.emplace_back("promql");
    signal_.kind = SignalKind::value;
    const auto text = yaml_.text(node, "promql");
    if (!text) return;
    source_.promql = *text;
    const auto service = spec_.service.empty() ? std::string("service") : spec_.service;
    const auto filled = cohort::expand_expression(
        *text, {.service = service, .track = "canary", .version = "v", .window_ms = 60'000});
    if (!filled) return refuse(node, filled.error().message, "");
    const auto parsed = promql::parse_expression(*filled, promql::ParseOptions::all());
    if (!parsed) return refuse(node, "not a PromQL expression: " + parsed.error().message, "");
    if (const auto* open = selector_of_any_service(**parsed, service)) {
      yaml_.warn(node,
                 fmt::format("{} may count other services: {} does not select the service", name_,
                             open->name.empty() ? "a selector" : open->name),
                 "add service_name=\"$service\" to it");
    }
    if (const auto histogram = histogram_of_mean(**parsed); !histogram.empty()) {
      means_of_ = histogram;
      promql_ = node;
    }
    if (text->find("$track") == std::string::npos && text->find("$version") == std::string::npos &&
        text->find("${track}") == std::string::npos &&
        text->find("${version}") == std::string::npos) {
      refuse(node, fmt::format("{} has the same value for canary and stable", name_),
             "select the track: deployment_track=\"$track\", or service_version=\"$version\"");
    }
  }

  void read_ratio(const YAML::Node& node) {
    sources_.emplace_back("ratio");
    signal_.kind = SignalKind::ratio;
    yaml_.map(
        node, "ratio",
        {{"good",
          [this](const YAML::Node& v) { source_.part = yaml_.text(v, "good").value_or(""); }},
         {"bad", [this](const YAML::Node& v) { source_.part = yaml_.text(v, "bad").value_or(""); }},
         {"total",
          [this](const YAML::Node& v) { source_.whole = yaml_.text(v, "total").value_or(""); }}});
    if (source_.part.empty() || source_.whole.empty()) {
      refuse(node, fmt::format("the ratio of {} needs two counters", name_),
             "write ratio: { good: orders_completed_total, total: checkouts_started_total }");
    }
  }

  void read_mean(const YAML::Node& node) {
    sources_.emplace_back("mean");
    signal_.kind = SignalKind::mean;
    if (node.IsMap()) {
      yaml_.map(
          node, "mean",
          {{"sum",
            [this](const YAML::Node& v) { source_.part = yaml_.text(v, "sum").value_or(""); }},
           {"count",
            [this](const YAML::Node& v) { source_.whole = yaml_.text(v, "count").value_or(""); }}});
    } else if (const auto histogram = yaml_.text(node, "mean")) {
      source_.part = *histogram + "_sum";
      source_.whole = *histogram + "_count";
    }
    if (source_.part.empty() || source_.whole.empty()) {
      refuse(node, fmt::format("the mean of {} needs a histogram, or a sum and a count", name_),
             "write mean: order_value, or mean: { sum: order_value_total, count: orders_total }");
    }
  }

  // Kayenta's options of one metric, by their own names in snake case.
  void read_rank(const YAML::Node& node) {
    using namespace judge::rank;
    if (spec_.judge != "mann_whitney")
      yaml_.warn(node, "this has no effect: only judge mann_whitney has such options");
    auto& metric = spec_.rank.metrics[signal_.name];
    MetricOptions options;
    const auto limit = [&](std::optional<double>& to, std::string_view what) {
      return [this, &to, what](const YAML::Node& v) { to = yaml_.number(v, what, 0, 1e9); };
    };
    const auto pick = [&](const YAML::Node& v, std::string_view what,
                          std::initializer_list<std::string_view> choices) {
      const auto found = yaml_.choice(v, what, choices);
      return found ? static_cast<int>(std::ranges::find(choices, *found) - choices.begin()) : 0;
    };
    const YamlReader::Keys keys{
        {"direction",
         [&](const YAML::Node& v) {
           options.direction =
               static_cast<Direction>(pick(v, "direction", {"either", "increase", "decrease"}));
         }},
        {"nan",
         [&](const YAML::Node& v) {
           options.nan_strategy = static_cast<NanStrategy>(pick(v, "nan", {"remove", "replace"}));
         }},
        {"outliers",
         [&](const YAML::Node& v) {
           options.remove_outliers = pick(v, "outliers", {"keep", "remove"}) == 1;
         }},
        {"outlier_factor",
         [&](const YAML::Node& v) {
           options.outlier_factor = yaml_.number(v, "outlier_factor", 0, 1000).value_or(3);
         }},
        {"critical",
         [&](const YAML::Node& v) {
           options.critical = yaml_.boolean(v, "critical").value_or(false);
         }},
        {"must_have_data",
         [&](const YAML::Node& v) {
           options.must_have_data = yaml_.boolean(v, "must_have_data").value_or(false);
         }},
        {"effect",
         [&](const YAML::Node& v) {
           options.measure = static_cast<EffectMeasure>(pick(v, "effect", {"mean_ratio", "cles"}));
         }},
        {"allowed_increase", limit(options.allowed_increase, "allowed_increase")},
        {"allowed_decrease", limit(options.allowed_decrease, "allowed_decrease")},
        {"critical_increase", limit(options.critical_increase, "critical_increase")},
        {"critical_decrease", limit(options.critical_decrease, "critical_decrease")},
        {"groups", [&](const YAML::Node& v) { metric.groups = yaml_.texts(v, "groups"); }},
    };
    yaml_.map(node, "mann_whitney", keys);
    metric.options = options;
  }

  // The values of this judge are compared block by block, whatever lies behind them. Where single
  // observations are skewed, the mean of a canary's few is below the mean of stable's many more
  // often than not, so an equal canary would look different.
  bool check_mean() {
    if (means_of_.empty() || !signal_.gate || spec_.judge != "sequential") return true;
    yaml_.error(*promql_,
                fmt::format("{} is a mean, and of few observations a mean is another number than "
                            "of many where they are skewed",
                            name_),
                fmt::format("write mean: {}, which counts the observations; or add gate: false",
                            means_of_));
    return false;
  }

  // A regression of the slowest requests always counts; promotion waits for them only when the
  // traffic can tell.
  bool check_tail(const YAML::Node& key) {
    const bool rare = is_latency() && signal_.quantile > 0.99;
    if (spec_.judge == "sequential")
      signal_.if_decidable = is_latency() && signal_.quantile >= 0.99;
    if (!rare || !signal_.gate || spec_.judge != "threshold") return true;
    yaml_.error(key,
                fmt::format("{} cannot gate with the threshold judge: at a canary's traffic it is "
                            "the few slowest requests, and that "
                            "judge has no interval for them",
                            name_),
                "add gate: false to show it, and gate on latency_p99; or use judge: { method: "
                "sequential }");
    return false;
  }

  YamlReader& yaml_;
  const std::string& name_;
  rollout::RolloutSpec& spec_;
  const std::optional<SignalSpec> built_in_;
  SignalSpec signal_;
  rollout::MetricSpec source_;
  std::vector<std::string> sources_; // promql, ratio, mean: as they were given
  std::optional<YAML::Node> margin_, max_, min_, floor_, direction_, unit_, rank_;
  std::string means_of_; // the histogram whose mean an expression is
  std::optional<YAML::Node> promql_;
  bool failed_ = false;
};

} // namespace

std::optional<SignalSpec> built_in_signal(const std::string& name) {
  SignalSpec signal;
  signal.name = name;
  if (name == "error_rate") return signal;
  if (name == "client_error_rate") return judge::default_client_errors();
  if (name == "request_share") {
    signal.kind = SignalKind::request_share;
    return signal;
  }
  std::string digits;
  if (name.starts_with("latency_p")) digits = name.substr(9);
  if (name.starts_with("p") && name.ends_with("_latency")) digits = name.substr(1, name.size() - 9);
  const bool numeric = !digits.empty() && digits.size() <= 4 &&
                       digits.find_first_not_of("0123456789") == std::string::npos;
  // p50 to p99, then p9xx: "p100" is no quantile.
  if (!numeric || digits.size() < 2 || digits == "00" || (digits.size() > 2 && digits[0] != '9'))
    return std::nullopt;
  signal.kind = SignalKind::latency_quantile;
  // One name per signal in every output: the one the seed's result object has.
  signal.name = "p" + digits + "_latency";
  signal.quantile = *parse_number("0." + digits);
  return signal;
}

std::optional<SignalSpec> read_metric(const ConfigContext& context, const std::string& name,
                                      const YAML::Node& key, const YAML::Node& value,
                                      rollout::RolloutSpec& spec) {
  return MetricReader(context, name, spec).read(key, value);
}

} // namespace coalmine::config
