// The spec's half of codec.h.
// SPDX-License-Identifier: Apache-2.0
#include <boost/json.hpp>

#include "base/json_text.h"
#include "notify/target_address.h"
#include "rollout/journal/codec.h"
#include "rollout/journal/codec_words.h"
#include "rollout/json_fields.h"

namespace coalmine::rollout {
namespace {

namespace json = boost::json;

json::value texts(const std::vector<std::string>& values) {
  json::array out;
  for (const auto& value : values) out.push_back(json_string(value));
  return out;
}

std::vector<std::string> texts_from(const json::object& o, std::string_view key) {
  std::vector<std::string> out;
  if (const auto* values = get_array(o, key)) {
    for (const auto& value : *values) {
      if (value.is_string()) out.emplace_back(value.get_string().data(), value.get_string().size());
    }
  }
  return out;
}

json::value selector_value(const AttributeSelector& selector) {
  json::array out;
  for (const auto& [name, value] : selector) {
    json::object pair;
    pair["name"] = json_string(name);
    pair["value"] = json_string(value);
    out.push_back(std::move(pair));
  }
  return out;
}

AttributeSelector selector_from(const json::object& o, std::string_view key) {
  AttributeSelector out;
  if (const auto* pairs = get_array(o, key)) {
    for (const auto& pair : *pairs) {
      if (const auto* each = pair.if_object())
        out.emplace_back(get_text(*each, "name"), get_text(*each, "value"));
    }
  }
  return out;
}

json::value steps_value(const std::vector<StepSpec>& steps) {
  json::array out;
  for (const auto& step : steps) {
    json::object o;
    for (const auto& field : step_fields()) put_field(o, field, step);
    out.push_back(std::move(o));
  }
  return out;
}

std::vector<StepSpec> steps_from(const json::object& o) {
  std::vector<StepSpec> out;
  const auto* steps = get_array(o, "steps");
  if (steps == nullptr) return out;
  for (const auto& step : *steps) {
    const auto* each = step.if_object();
    if (each == nullptr) continue;
    for (auto& read = out.emplace_back(); const auto& field : step_fields())
      get_field(*each, field, read);
  }
  return out;
}

json::value signals_value(const std::vector<judge::SignalSpec>& signals) {
  json::array out;
  for (const auto& signal : signals) {
    json::object o;
    o["name"] = json_string(signal.name);
    o["kind"] = json_string(judge::to_string(signal.kind));
    o["quantile"] = signal.quantile;
    put_margin(o, signal.margin);
    o["unit"] = static_cast<int>(signal.unit);
    o["max"] = json_number(signal.max);
    o["gate"] = signal.gate;
    o["per_route"] = signal.per_route;
    o["automatic"] = signal.automatic;
    o["if_decidable"] = signal.if_decidable;
    o["floor"] = signal.floor;
    out.push_back(std::move(o));
  }
  return out;
}

judge::SignalSpec signal_from(const json::object& o) {
  judge::SignalSpec signal;
  signal.name = get_text(o, "name");
  // Rollouts that were begun by earlier versions have 1 for latencies.
  const auto kind = judge::signal_kind(get_text(o, "kind"));
  signal.kind = kind                      ? *kind
                : get_int(o, "kind") == 1 ? judge::SignalKind::latency_quantile
                                          : judge::SignalKind::error_rate;
  signal.quantile = get_double(o, "quantile", 0.99);
  signal.margin = margin_from(o);
  signal.unit = static_cast<judge::ValueUnit>(std::clamp<std::int64_t>(get_int(o, "unit"), 0, 5));
  signal.max = get_optional(o, "max");
  signal.gate = get_bool(o, "gate", true);
  signal.per_route = get_bool(o, "per_route", true);
  signal.automatic = get_bool(o, "automatic", false);
  signal.if_decidable = get_bool(o, "if_decidable", false);
  signal.floor = get_double(o, "floor");
  return signal;
}

json::value metrics_value(const std::vector<MetricSpec>& metrics) {
  json::array out;
  for (const auto& m : metrics) {
    out.push_back(json::object{{"name", json_string(m.name)},
                               {"part", json_string(m.part)},
                               {"whole", json_string(m.whole)},
                               {"promql", json_string(m.promql)}});
  }
  return out;
}

std::vector<MetricSpec> metrics_from(const json::object& o) {
  std::vector<MetricSpec> out;
  const auto* metrics = get_array(o, "metrics");
  if (metrics == nullptr) return out;
  for (const auto& metric : *metrics) {
    const auto* each = metric.if_object();
    if (each == nullptr) continue;
    out.push_back({get_text(*each, "name"), get_text(*each, "part"), get_text(*each, "whole"),
                   get_text(*each, "promql")});
  }
  return out;
}

json::value rank_value(const RankSpec& rank) {
  json::object metrics;
  for (const auto& [name, metric] : rank.metrics) {
    json::object o;
    o["groups"] = texts(metric.groups);
    if (metric.options) {
      const auto& m = *metric.options;
      o["options"] = json::object{{"direction", static_cast<int>(m.direction)},
                                  {"nan", static_cast<int>(m.nan_strategy)},
                                  {"remove_outliers", m.remove_outliers},
                                  {"outlier_factor", m.outlier_factor},
                                  {"critical", m.critical},
                                  {"must_have_data", m.must_have_data},
                                  {"measure", static_cast<int>(m.measure)},
                                  {"allowed_increase", json_number(m.allowed_increase)},
                                  {"allowed_decrease", json_number(m.allowed_decrease)},
                                  {"critical_increase", json_number(m.critical_increase)},
                                  {"critical_decrease", json_number(m.critical_decrease)}};
    }
    metrics[json::string_view(name)] = std::move(o);
  }
  json::object weights;
  for (const auto& [group, weight] : rank.group_weights) weights[json::string_view(group)] = weight;
  json::object out{{"metrics", std::move(metrics)}, {"group_weights", std::move(weights)}};
  for (const auto& field : rank_fields()) put_field(out, field, rank);
  return out;
}

judge::rank::MetricOptions rank_options_from(const json::object& o) {
  const auto one_of = [&](std::string_view key, std::int64_t last) {
    return std::clamp<std::int64_t>(get_int(o, key), 0, last);
  };
  judge::rank::MetricOptions out;
  out.direction = static_cast<judge::rank::Direction>(one_of("direction", 2));
  out.nan_strategy = static_cast<judge::rank::NanStrategy>(one_of("nan", 1));
  out.remove_outliers = get_bool(o, "remove_outliers");
  out.outlier_factor = get_double(o, "outlier_factor", out.outlier_factor);
  out.critical = get_bool(o, "critical");
  out.must_have_data = get_bool(o, "must_have_data");
  out.measure = static_cast<judge::rank::EffectMeasure>(one_of("measure", 1));
  out.allowed_increase = get_optional(o, "allowed_increase");
  out.allowed_decrease = get_optional(o, "allowed_decrease");
  out.critical_increase = get_optional(o, "critical_increase");
  out.critical_decrease = get_optional(o, "critical_decrease");
  return out;
}

RankSpec rank_from(const json::object& o) {
  RankSpec out;
  if (const auto* metrics = get_object(o, "metrics")) {
    for (const auto& [name, value] : *metrics) {
      const auto* each = value.if_object();
      if (each == nullptr) continue;
      auto& metric = out.metrics[std::string(name)];
      metric.groups = texts_from(*each, "groups");
      if (const auto* options = get_object(*each, "options"))
        metric.options = rank_options_from(*options);
    }
  }
  if (const auto* weights = get_object(o, "group_weights")) {
    for (const auto& [group, weight] : *weights)
      out.group_weights[std::string(group)] = get_double(*weights, group);
  }
  for (const auto& field : rank_fields()) get_field(o, field, out);
  return out;
}

json::value router_value(const route::RouterOptions& router) {
  const auto* moves = std::get_if<route::HaproxyOptions>(&router);
  const auto haproxy = moves == nullptr ? route::HaproxyOptions{} : *moves;
  json::object o;
  o["kind"] = moves == nullptr ? "observe" : "haproxy";
  o["socket"] = json_string(haproxy.socket);
  o["backend"] = json_string(haproxy.backend);
  o["stable_servers"] = texts(haproxy.stable_servers);
  o["canary_servers"] = texts(haproxy.canary_servers);
  o["map"] = json_string(haproxy.map);
  o["map_key"] = json_string(haproxy.map_key);
  o["tolerance"] = haproxy.tolerance;
  o["timeout_ms"] = haproxy.timeout_ms;
  return o;
}

route::RouterOptions router_from(const json::object& o) {
  if (get_text(o, "kind") != "haproxy") return route::ObserveOptions{};
  route::HaproxyOptions haproxy;
  haproxy.socket = get_text(o, "socket");
  haproxy.backend = get_text(o, "backend");
  haproxy.stable_servers = texts_from(o, "stable_servers");
  haproxy.canary_servers = texts_from(o, "canary_servers");
  haproxy.map = get_text(o, "map");
  haproxy.map_key = get_text(o, "map_key");
  haproxy.tolerance = get_double(o, "tolerance", haproxy.tolerance);
  haproxy.timeout_ms = static_cast<int>(get_int(o, "timeout_ms", haproxy.timeout_ms));
  return haproxy;
}

json::value notify_value(const std::vector<notify::Target>& targets) {
  json::array out;
  for (const auto& target : targets) {
    json::object o;
    o["kind"] = target.kind == notify::Target::Kind::slack ? "slack" : "webhook";
    o["address"] = json_string(notify::shown_address(target));
    o["signed"] = !target.secret.empty();
    o["events"] = texts(target.events);
    out.push_back(std::move(o));
  }
  return out;
}

std::vector<notify::Target> notify_from(const json::object& o) {
  std::vector<notify::Target> out;
  const auto* targets = get_array(o, "notify");
  if (targets == nullptr) return out;
  for (const auto& target : *targets) {
    const auto* each = target.if_object();
    if (each == nullptr) continue;
    notify::Target notify;
    notify.kind = get_text(*each, "kind") == "slack" ? notify::Target::Kind::slack
                                                     : notify::Target::Kind::webhook;
    notify.url = get_text(*each, "address", get_text(*each, "url")); // "url": of before
    notify.events = texts_from(*each, "events");
    out.push_back(std::move(notify));
  }
  return out;
}

json::array ranges_value(const std::vector<StatusRange>& ranges) {
  json::array out;
  for (const auto& range : ranges) out.push_back(json_string(to_text(range)));
  return out;
}

// Rollouts that began before there was the setting have none.
FailureRule failures_from(const json::object& o) {
  FailureRule out;
  const auto* failures = get_object(o, "failures");
  if (failures == nullptr) return out;
  const auto read = [&](std::string_view key, std::vector<StatusRange>& into) {
    for (const auto& text : texts_from(*failures, key)) {
      if (const auto range = parse_status_range(text)) into.push_back(*range);
    }
  };
  read("also", out.also);
  read("except", out.except);
  return out;
}

// The fields of the block `judge` stand before the signals, all others after them.
bool before_signals(const SpecField<RolloutSpec>& field) { return field.block == "judge"; }

void scalars_from(const json::object& o, RolloutSpec& spec) {
  // Rollouts that began before there were these policies go on without them.
  spec.resume_after_no_data = false;
  spec.on_canary_silent = PolicyAction::pause;
  spec.guard_split = false;
  spec.keep_when_stable_down = false;
  for (const auto& field : rollout_fields()) get_field(o, field, spec);
  spec.look_interval_ms = std::max<std::int64_t>(1, spec.look_interval_ms);
}

} // namespace

std::string encode_spec(const RolloutSpec& spec) {
  json::object o;
  o["service"] = json_string(spec.service);
  o["environment"] = json_string(spec.environment);
  o["canary"] = selector_value(spec.canary);
  o["stable"] = selector_value(spec.stable);
  o["steps"] = steps_value(spec.steps);
  o["judge"] = json_string(spec.judge);
  o["metrics"] = metrics_value(spec.metrics);
  if (spec.judge == "mann_whitney") o["rank"] = rank_value(spec.rank);
  for (const auto& field : rollout_fields()) {
    if (before_signals(field)) put_field(o, field, spec);
  }
  o["signals"] = signals_value(spec.signals);
  for (const auto& field : rollout_fields()) {
    if (!before_signals(field)) put_field(o, field, spec);
  }
  if (!spec.failures.empty()) {
    o["failures"] = json::object{{"also", ranges_value(spec.failures.also)},
                                 {"except", ranges_value(spec.failures.except)}};
  }
  o["ignore_routes"] = texts(spec.ignore_routes);
  o["critical_routes"] = texts(spec.critical_routes);
  o["router"] = router_value(spec.router);
  o["notify"] = notify_value(spec.notify);
  o["config_hash"] = json_string(spec.config_hash);
  return json_text(o);
}

Result<RolloutSpec> decode_spec(std::string_view encoded) {
  TRY_ASSIGN(const auto value, parse_json(encoded, "rollout spec in the journal"));
  const auto* o = value.if_object();
  if (o == nullptr)
    return fail(ErrorCode::data_loss, "the rollout spec in the journal is not an object");
  RolloutSpec spec;
  spec.service = get_text(*o, "service");
  spec.environment = get_text(*o, "environment");
  spec.canary = selector_from(*o, "canary");
  spec.stable = selector_from(*o, "stable");
  spec.steps = steps_from(*o);
  spec.judge = get_text(*o, "judge", "threshold");
  spec.metrics = metrics_from(*o);
  if (const auto* rank = get_object(*o, "rank")) spec.rank = rank_from(*rank);
  scalars_from(*o, spec);
  if (const auto* signals = get_array(*o, "signals")) {
    for (const auto& signal : *signals) {
      if (const auto* each = signal.if_object()) spec.signals.push_back(signal_from(*each));
    }
  }
  spec.failures = failures_from(*o);
  spec.ignore_routes = texts_from(*o, "ignore_routes");
  spec.critical_routes = texts_from(*o, "critical_routes");
  if (const auto* router = get_object(*o, "router")) spec.router = router_from(*router);
  spec.notify = notify_from(*o);
  spec.config_hash = get_text(*o, "config_hash");
  return spec;
}

} // namespace coalmine::rollout
