// One `service:` block, and the `server:` and `telemetry:` blocks.
// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>

#include "config/config_fields.h"
#include "config/config_parts.h"
#include "config/config_values.h"
#include "net/secrets.h"
#include "rollout/track_selection.h"

namespace coalmine::config {
namespace {

constexpr std::int64_t kSecond = 1000;
constexpr std::int64_t kMinute = 60 * kSecond;
constexpr std::int64_t kDay = 24 * 60 * kMinute;
constexpr std::size_t kMaxSteps = 50;
constexpr std::size_t kMaxSecretBytes = 64u << 10;

YamlReader::Handler take_text(const ConfigContext& context, std::string_view what,
                              std::optional<std::string>& out) {
  return [&context, what, &out](const YAML::Node& node) { out = context.yaml.text(node, what); };
}

rollout::AttributeSelector read_selector(const ConfigContext& context, const YAML::Node& node,
                                         std::string_view what) {
  rollout::AttributeSelector selector;
  context.yaml.entries(node, what,
                       [&](const std::string& key, const YAML::Node&, const YAML::Node& value) {
                         if (auto text = context.yaml.text(value, key))
                           selector.emplace_back(key, std::move(*text));
                       });
  if (node.IsMap() && node.size() == 0) {
    context.yaml.error(node, fmt::format("{} names no attribute", what),
                       "write for example { deployment.track: canary }");
  }
  std::sort(selector.begin(), selector.end());
  return selector;
}

// step = weight [ analyze ]     5% 10m
std::optional<rollout::StepSpec> read_step_text(const ConfigContext& context,
                                                const YAML::Node& node) {
  const std::string& text = node.Scalar();
  const auto space = std::min(text.find(' '), text.size());
  rollout::StepSpec step;
  const auto weight = parse_percent(std::string_view(text).substr(0, space));
  const auto rest_at = text.find_first_not_of(' ', space);
  const auto analyze = rest_at == std::string::npos ? std::optional<std::int64_t>(0)
                                                    : parse_duration(text.substr(rest_at));
  if (!weight || *weight > 1 || !analyze) {
    context.yaml.error(node, fmt::format("step \"{}\" is not a weight and a time", text),
                       "write 5% 10m: 5% of traffic for 10 minutes");
    return std::nullopt;
  }
  step.weight = *weight;
  step.analyze_ms = *analyze;
  return step;
}

std::optional<rollout::StepSpec> read_step_map(const ConfigContext& context,
                                               const YAML::Node& node) {
  auto& yaml = context.yaml;
  rollout::StepSpec step;
  bool weight_given = false;
  bool weight_read = false;
  const auto& weight = field_of(step, &rollout::StepSpec::weight);
  const auto& analyze = field_of(step, &rollout::StepSpec::analyze_ms);
  const YamlReader::Keys keys{
      {weight.key,
       [&](const YAML::Node& v) {
         weight_given = true;
         weight_read = read_field(yaml, v, weight, step, weight.key);
       }},
      {analyze.key,
       [&](const YAML::Node& v) {
         // A time that cannot be read must not be reported as missing, too.
         if (!read_field(yaml, v, analyze, step, analyze.key)) step.analyze_ms = kMinute;
       }},
      key_of(yaml, &rollout::StepSpec::min_requests, step),
      key_of(yaml, &rollout::StepSpec::approve_manually, step),
      {"watch",
       [&](const YAML::Node& v) {
         if (yaml.duration(v, "watch", 1, 30 * kDay)) {
           yaml.warn(v,
                     "watch has no effect: the rollout ends when 100% is confirmed, stable then "
                     "has no traffic to compare with",
                     "keep the stable version at hand yourself for that time");
         }
       }},
  };
  if (!yaml.map(node, "step", keys)) return std::nullopt;
  if (!weight_given)
    yaml.error(node, "a step without weight", "write { weight: 5%, analyze: 10m } or 5% 10m");
  if (!weight_read) return std::nullopt;
  return step;
}

// Weights rise, end at 100 %, and every step but the last has a time.
void check_steps(const ConfigContext& context,
                 const std::vector<std::pair<rollout::StepSpec, YAML::Node>>& steps) {
  auto& yaml = context.yaml;
  double previous = 0;
  for (std::size_t i = 0; i < steps.size(); ++i) {
    const auto& [step, node] = steps[i];
    const bool last = i + 1 == steps.size();
    if (step.weight <= previous) {
      yaml.error(node, i == 0 ? "the first step must send some traffic: its weight is 0%"
                              : fmt::format("weights must rise: {} comes after {}",
                                            percent_text(step.weight), percent_text(previous)));
    }
    previous = step.weight;
    if (!last && step.analyze_ms == 0) {
      yaml.error(node,
                 fmt::format("the step at {} has no time to watch", percent_text(step.weight)),
                 fmt::format("write {} 10m", percent_text(step.weight)));
    }
    if (last && step.weight < 1) {
      yaml.error(
          node,
          fmt::format("the last step is {}, but a rollout ends at 100%", percent_text(step.weight)),
          "add a last step: 100%");
    }
    if (steps.size() == 1 && step.weight >= 1) {
      yaml.warn(node,
                "nothing is watched before 100%: a rollout of these steps waits for a person from "
                "its start, and no verdict is made",
                "watch the canary at a smaller weight first: steps: [5% 10m, 100%]");
    } else if (last && step.weight >= 1 && step.analyze_ms > 0) {
      yaml.warn(
          node,
          fmt::format("the time {} at 100% has no effect: the rollout ends when 100% is confirmed",
                      duration_text(step.analyze_ms)));
    }
  }
}

struct ServiceBlock {
  rollout::RolloutSpec spec;
  std::optional<std::string> service;
  bool service_given = false;
  JudgeNodes judging;
};

YamlReader::Keys service_keys(const ConfigContext& context, ServiceBlock& block) {
  auto& yaml = context.yaml;
  auto& spec = block.spec;
  return {
      {"version",
       [&](const YAML::Node& v) {
         if (yaml.number(v, "version", 0, 1e9).value_or(1) != 1)
           yaml.error(v, "version must be 1: this is the only config version");
       }},
      {"service",
       [&](const YAML::Node& v) {
         block.service_given = true;
         block.service = yaml.text(v, "service");
       }},
      {"environment",
       [&](const YAML::Node& v) { spec.environment = yaml.text(v, "environment").value_or(""); }},
      {"canary", [&](const YAML::Node& v) { spec.canary = read_selector(context, v, "canary"); }},
      {"stable", [&](const YAML::Node& v) { spec.stable = read_selector(context, v, "stable"); }},
      {"steps", [&](const YAML::Node& v) { read_steps(context, v, spec); }},
      key_of(yaml, &rollout::RolloutSpec::look_interval_ms, spec),
      {"analysis", [&](const YAML::Node& v) { block.judging.analysis.reset(v); }},
      {"metrics", [&](const YAML::Node& v) { block.judging.metrics.reset(v); }},
      {"judge", [&](const YAML::Node& v) { block.judging.judge.reset(v); }},
      {"policy", [&](const YAML::Node& v) { read_policy(context, v, spec); }},
      {"failures", [&](const YAML::Node& v) { read_failures(context, v, spec); }},
      {"routes", [&](const YAML::Node& v) { read_routes(context, v, spec); }},
      {"router", [&](const YAML::Node& v) { read_router(context, v, spec); }},
      {"notify", [&](const YAML::Node& v) { read_notify(context, v, spec); }},
  };
}

YamlReader::Handler take_secret(const ConfigContext& context, std::string_view what,
                                std::optional<std::string>& out) {
  return [&context, what, &out](const YAML::Node& v) {
    out = read_secret(context, v, what, Literal::refused);
  };
}

YamlReader::Handler take_size(YamlReader& yaml, std::string_view key, std::string_view example,
                              std::uint64_t& out) {
  return [&yaml, key, example, &out](const YAML::Node& v) {
    const auto text = yaml.text(v, key);
    if (!text) return;
    const auto bytes = parse_bytes(*text);
    if (bytes) out = *bytes;
    if (!bytes)
      yaml.error(v, fmt::format("{} is \"{}\", which is not a size", key, *text),
                 fmt::format("write {}", example));
  };
}

struct MsRange {
  std::int64_t low_ms = 0;
  std::int64_t high_ms = 0;
};

YamlReader::Handler take_duration(YamlReader& yaml, std::string_view key, MsRange range,
                                  std::int64_t& out) {
  return [&yaml, key, range, &out](const YAML::Node& v) {
    out = yaml.duration(v, key, range.low_ms, range.high_ms).value_or(out);
  };
}

YamlReader::Keys store_keys(YamlReader& yaml, store::Options& store) {
  return {
      {"retention",
       take_duration(yaml, "retention", {10 * kMinute, 3650 * kDay}, store.retention_ms)},
      {"retention_size", take_size(yaml, "retention_size", "8GiB", store.retention_bytes)},
      {"span_budget", take_size(yaml, "span_budget", "2GiB", store.span_budget_bytes)},
      {"accept_late", take_duration(yaml, "accept_late", {0, kDay}, store.accept_late_ms)},
      {"sync_interval", take_duration(yaml, "sync_interval", {0, kMinute}, store.sync_interval_ms)},
      {"ended_after",
       [&yaml, &store](const YAML::Node& v) {
         store.ended_after_intervals = yaml.number(v, "ended_after", 0, 1000).value_or(0);
       }},
      {"series_per_service",
       [&yaml, &store](const YAML::Node& v) {
         auto& limit = store.max_series_per_service;
         limit = static_cast<std::size_t>(
             yaml.number(v, "series_per_service", 1, 1e9).value_or(static_cast<double>(limit)));
       }},
      {"disk_reserve", take_size(yaml, "disk_reserve", "32MiB", store.disk_reserve_bytes)},
  };
}

// The keys of the block `server`, those of the store among them.
YamlReader::Keys server_block_keys(const ConfigContext& context, ServerConfig& server) {
  auto& yaml = context.yaml;
  YamlReader::Keys keys{
      {"listen", take_text(context, "listen", server.listen)},
      {"otlp_grpc", take_text(context, "otlp_grpc", server.otlp_grpc)},
      {"otlp_http", take_text(context, "otlp_http", server.otlp_http)},
      {"data", take_text(context, "data", server.data_directory)},
      {"promote_resource_attributes",
       [&yaml, &server](const YAML::Node& v) {
         for (auto& name : yaml.texts(v, "promote_resource_attributes"))
           server.promoted_attributes.push_back(std::move(name));
       }},
  };
  for (auto& key : store_keys(yaml, server.store)) keys.push_back(std::move(key));
  const YamlReader::Keys rest{
      {"operator_token", take_secret(context, "operator_token", server.operator_token)},
      {"viewer_token", take_secret(context, "viewer_token", server.viewer_token)},
      {"otlp_token", take_secret(context, "otlp_token", server.otlp_token)},
      {"insecure",
       [&yaml, &server](const YAML::Node& v) { server.insecure = yaml.boolean(v, "insecure"); }},
      {"dashboards",
       [&yaml, &server](const YAML::Node& v) {
         for (auto& file : yaml.texts(v, "dashboards"))
           server.dashboards.push_back(std::move(file));
       }},
  };
  keys.insert(keys.end(), rest.begin(), rest.end());
  return keys;
}

void read_endpoint(const ConfigContext& context, const YAML::Node& node, ServerConfig& server) {
  // The word "off" has its own meaning here, so the check for YAML 1.1 booleans is skipped.
  if (node.IsScalar() && node.Scalar() == "off") {
    server.telemetry_endpoint = "off";
    return;
  }
  const auto text = context.yaml.text(node, "telemetry.endpoint");
  if (!text) return;
  if (*text == "self" || text->starts_with("http://") || text->starts_with("https://")) {
    server.telemetry_endpoint = *text;
  } else {
    if (net::shown_url(*text) != *text) context.yaml.keep_secret(node);
    context.yaml.error(node, fmt::format("telemetry.endpoint is \"{}\"", net::shown_url(*text)),
                       "write self, off, or the URL of an OTLP/HTTP endpoint: http://HOST:4318");
  }
}

} // namespace

std::optional<std::string> read_secret(const ConfigContext& context, const YAML::Node& node,
                                       std::string_view what, Literal literal) {
  auto& yaml = context.yaml;
  auto value = yaml.text(node, what);
  if (!value) return std::nullopt;
  const auto unreadable = [&](std::string message, std::string hint) {
    if (context.options.secrets_required) {
      yaml.error(node, std::move(message), std::move(hint));
    } else {
      yaml.warn(node, std::move(message), std::move(hint));
    }
    return std::nullopt;
  };
  if (value->starts_with("env:")) {
    const std::string name = value->substr(4);
    const char* found = std::getenv(name.c_str());
    if (found != nullptr && *found != '\0') return std::string(found);
    return unreadable(fmt::format("{}: the environment variable {} is not set", what, name),
                      fmt::format("export {}=…", name));
  }
  if (value->starts_with("file:")) {
    auto text = read_file(value->substr(5), kMaxSecretBytes);
    if (!text) return unreadable(fmt::format("{}: {}", what, text.error().message), "");
    while (text->ends_with('\n') || text->ends_with('\r')) text->pop_back();
    if (text->empty())
      return unreadable(fmt::format("{}: {} is empty", what, value->substr(5)), "");
    return std::move(*text);
  }
  yaml.keep_secret(node);
  if (literal == Literal::allowed) return value;
  yaml.error(node, fmt::format("{} is written out in the file", what),
             "keep secrets outside: env:NAME or file:/path");
  return std::nullopt;
}

void read_steps(const ConfigContext& context, const YAML::Node& node, rollout::RolloutSpec& spec) {
  std::vector<std::pair<rollout::StepSpec, YAML::Node>> steps;
  bool whole = context.yaml.items(node, "steps", [&](const YAML::Node& item) {
    auto step = item.IsScalar() ? read_step_text(context, item) : read_step_map(context, item);
    steps.emplace_back(step.value_or(rollout::StepSpec{-1, 0, 100, false}), item);
  });
  if (!whole) return;
  if (steps.empty() || steps.size() > kMaxSteps) {
    context.yaml.error(
        node, fmt::format("steps has {} entries, but must have 1 to {}", steps.size(), kMaxSteps));
    return;
  }
  // One unreadable step would only make the order look wrong as well.
  if (std::any_of(steps.begin(), steps.end(), [](const auto& s) { return s.first.weight < 0; }))
    return;
  check_steps(context, steps);
  spec.steps.clear();
  for (const auto& [step, item] : steps) spec.steps.push_back(step);
  spec.steps.back().analyze_ms = 0;
}

YamlReader::Keys server_keys(const ConfigContext& context, ServerConfig& server) {
  return {{"stores", [&context, &server](const YAML::Node& v) { read_stores(context, v, server); }},
          {"server",
           [&context, &server](const YAML::Node& v) {
             context.yaml.map(v, "server", server_block_keys(context, server));
           }},
          {"telemetry", [&context, &server](const YAML::Node& v) {
             const auto endpoint = [&](const YAML::Node& e) { read_endpoint(context, e, server); };
             context.yaml.map(v, "telemetry", {{"endpoint", endpoint}});
           }}};
}

namespace {

// Says what becomes of telemetry that both selectors fit.
void check_overlap(const ConfigContext& context, const YAML::Node& node,
                   const rollout::RolloutSpec& spec) {
  const auto tracks = rollout::select_tracks(spec);
  if (tracks.overlap == rollout::Overlap::none) return;
  const YAML::Node& place = node["stable"] ? node["stable"] : node["canary"];
  const std::string counted = tracks.overlap == rollout::Overlap::open ? "counts for both tracks"
                              : tracks.stable.without ? "counts for the canary alone"
                                                      : "counts for stable alone";
  context.yaml.warn(
      place ? place : node,
      fmt::format("canary and stable may select the same telemetry: what has both {} and {} {}",
                  rollout::to_text(spec.canary), rollout::to_text(spec.stable), counted),
      "name one attribute in both, with different values, for example deployment.track: canary and "
      "stable");
}

} // namespace

std::optional<rollout::RolloutSpec> read_service(const ConfigContext& context,
                                                 const YAML::Node& node, ServerConfig& server,
                                                 bool with_server_keys) {
  ServiceBlock block;
  const std::size_t errors_before = context.yaml.errors();
  block.spec = rollout::default_spec("");
  YamlReader::Keys keys = service_keys(context, block);
  if (with_server_keys) {
    for (auto& key : server_keys(context, server)) keys.push_back(std::move(key));
  }
  if (!context.yaml.map(node, "a service", keys)) return std::nullopt;
  block.spec.service = block.service.value_or("");
  read_judging(context, block.judging, block.spec);
  if (block.spec.judge == "threshold" && !block.spec.critical_routes.empty()) {
    context.yaml.warn(node["routes"]["critical"],
                      "critical has no effect: the threshold judge has no error budget to share");
  }
  if (!block.service_given) {
    context.yaml.error(node, "no service is named",
                       "add `service: NAME`, the service.name your application reports");
  }
  if (context.yaml.errors() == errors_before && block.spec.canary == block.spec.stable) {
    context.yaml.error(
        node, "canary and stable select the same telemetry",
        "give each its own attribute value, for example deployment.track: canary and stable");
  }
  if (context.yaml.errors() == errors_before) check_overlap(context, node, block.spec);
  if (!block.service) return std::nullopt;
  return std::move(block.spec);
}

} // namespace coalmine::config
