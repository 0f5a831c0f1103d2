// The spec's half of codec.h.
// SPDX-License-Identifier: Apache-2.0
#include <boost/json.hpp>

#include "rollout/codec.h"
#include "rollout/json_text.h"

namespace coalmine::rollout {
namespace {

namespace json = boost::json;

json::string text(std::string_view value) { return json::string(value.data(), value.size()); }

json::value texts(const std::vector<std::string>& values) {
  json::array out;
  for (const auto& value : values) out.push_back(text(value));
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
    pair["name"] = text(name);
    pair["value"] = text(value);
    out.push_back(std::move(pair));
  }
  return out;
}

AttributeSelector selector_from(const json::object& o, std::string_view key) {
  AttributeSelector out;
  if (const auto* pairs = get_array(o, key)) {
    for (const auto& pair : *pairs) {
      if (const auto* each = pair.if_object()) out.emplace_back(get_text(*each, "name"), get_text(*each, "value"));
    }
  }
  return out;
}

json::value steps_value(const std::vector<StepSpec>& steps) {
  json::array out;
  for (const auto& step : steps) {
    json::object o;
    o["weight"] = step.weight;
    o["analyze_ms"] = step.analyze_ms;
    o["min_requests"] = step.min_requests;
    o["approve_manually"] = step.approve_manually;
    out.push_back(std::move(o));
  }
  return out;
}

json::value signals_value(const std::vector<judge::SignalSpec>& signals) {
  json::array out;
  for (const auto& signal : signals) {
    json::object o;
    o["name"] = text(signal.name);
    o["kind"] = static_cast<int>(signal.kind);
    o["quantile"] = signal.quantile;
    o["margin_unit"] = static_cast<int>(signal.margin.unit);
    o["margin_amount"] = signal.margin.amount;
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
  signal.kind = get_int(o, "kind") == 1 ? judge::SignalKind::latency_quantile : judge::SignalKind::error_rate;
  signal.quantile = get_double(o, "quantile", 0.99);
  signal.margin.unit = static_cast<judge::Margin::Unit>(std::clamp<std::int64_t>(get_int(o, "margin_unit"), 0, 2));
  signal.margin.amount = get_double(o, "margin_amount");
  signal.max = get_optional(o, "max");
  signal.gate = get_bool(o, "gate", true);
  signal.per_route = get_bool(o, "per_route", true);
  signal.automatic = get_bool(o, "automatic", false);
  signal.if_decidable = get_bool(o, "if_decidable", false);
  signal.floor = get_double(o, "floor");
  return signal;
}

json::value router_value(const RouterSpec& router) {
  json::object o;
  o["kind"] = router.kind == RouterSpec::Kind::haproxy ? "haproxy" : "observe";
  o["socket"] = text(router.haproxy.socket);
  o["backend"] = text(router.haproxy.backend);
  o["stable_servers"] = texts(router.haproxy.stable_servers);
  o["canary_servers"] = texts(router.haproxy.canary_servers);
  o["map"] = text(router.haproxy.map);
  o["map_key"] = text(router.haproxy.map_key);
  o["tolerance"] = router.haproxy.tolerance;
  o["timeout_ms"] = router.haproxy.timeout_ms;
  return o;
}

RouterSpec router_from(const json::object& o) {
  RouterSpec router;
  router.kind = get_text(o, "kind") == "haproxy" ? RouterSpec::Kind::haproxy : RouterSpec::Kind::observe;
  router.haproxy.socket = get_text(o, "socket");
  router.haproxy.backend = get_text(o, "backend");
  router.haproxy.stable_servers = texts_from(o, "stable_servers");
  router.haproxy.canary_servers = texts_from(o, "canary_servers");
  router.haproxy.map = get_text(o, "map");
  router.haproxy.map_key = get_text(o, "map_key");
  router.haproxy.tolerance = get_double(o, "tolerance", router.haproxy.tolerance);
  router.haproxy.timeout_ms = static_cast<int>(get_int(o, "timeout_ms", router.haproxy.timeout_ms));
  return router;
}

json::value notify_value(const std::vector<NotifySpec>& targets) {
  json::array out;
  for (const auto& target : targets) {
    json::object o;
    o["kind"] = target.kind == NotifySpec::Kind::slack ? "slack" : "webhook";
    o["url"] = text(target.url);
    o["signed"] = !target.secret.empty();
    o["events"] = texts(target.events);
    out.push_back(std::move(o));
  }
  return out;
}

} // namespace

std::string encode_spec(const RolloutSpec& spec) {
  json::object o;
  o["service"] = text(spec.service);
  o["environment"] = text(spec.environment);
  o["canary"] = selector_value(spec.canary);
  o["stable"] = selector_value(spec.stable);
  o["steps"] = steps_value(spec.steps);
  o["judge"] = text(spec.judge);
  o["false_rollback_budget"] = spec.false_rollback_budget;
  o["false_promote_risk"] = spec.false_promote_risk;
  o["strict"] = spec.strict;
  o["signals"] = signals_value(spec.signals);
  o["min_analysis_minutes"] = spec.min_analysis_minutes;
  o["min_requests"] = spec.min_requests;
  o["min_route_requests"] = spec.min_route_requests;
  o["analysis_window_ms"] = spec.analysis_window_ms;
  o["look_interval_ms"] = spec.look_interval_ms;
  o["on_fail"] = spec.on_fail == PolicyAction::rollback ? "rollback" : spec.on_fail == PolicyAction::pause ? "pause" : "notify";
  o["no_data_grace_ms"] = spec.no_data_grace_ms;
  o["extend_ms"] = spec.extend_ms;
  o["max_extends"] = spec.max_extends;
  o["ignore_routes"] = texts(spec.ignore_routes);
  o["router"] = router_value(spec.router);
  o["notify"] = notify_value(spec.notify);
  o["config_hash"] = text(spec.config_hash);
  return json_text(o);
}

Result<RolloutSpec> decode_spec(std::string_view encoded) {
  TRY_ASSIGN(const auto value, parse_json(encoded, "rollout spec in the journal"));
  const auto* o = value.if_object();
  if (o == nullptr) return fail(ErrorCode::data_loss, "the rollout spec in the journal is not an object");
  RolloutSpec spec;
  spec.service = get_text(*o, "service");
  spec.environment = get_text(*o, "environment");
  spec.canary = selector_from(*o, "canary");
  spec.stable = selector_from(*o, "stable");
  if (const auto* steps = get_array(*o, "steps")) {
    for (const auto& step : *steps) {
      const auto* each = step.if_object();
      if (each == nullptr) continue;
      spec.steps.push_back({.weight = get_double(*each, "weight"),
                            .analyze_ms = get_int(*each, "analyze_ms"),
                            .min_requests = get_double(*each, "min_requests", 100),
                            .approve_manually = get_bool(*each, "approve_manually")});
    }
  }
  spec.judge = get_text(*o, "judge", "threshold");
  spec.false_rollback_budget = get_double(*o, "false_rollback_budget", spec.false_rollback_budget);
  spec.false_promote_risk = get_double(*o, "false_promote_risk", spec.false_promote_risk);
  spec.strict = get_bool(*o, "strict", false);
  if (const auto* signals = get_array(*o, "signals")) {
    for (const auto& signal : *signals) {
      if (const auto* each = signal.if_object()) spec.signals.push_back(signal_from(*each));
    }
  }
  spec.min_analysis_minutes = get_double(*o, "min_analysis_minutes", spec.min_analysis_minutes);
  spec.min_requests = get_double(*o, "min_requests", spec.min_requests);
  spec.min_route_requests = get_double(*o, "min_route_requests", spec.min_route_requests);
  spec.analysis_window_ms = get_int(*o, "analysis_window_ms", spec.analysis_window_ms);
  spec.look_interval_ms = std::max<std::int64_t>(1, get_int(*o, "look_interval_ms", spec.look_interval_ms));
  const auto on_fail = get_text(*o, "on_fail");
  spec.on_fail = on_fail == "pause" ? PolicyAction::pause : on_fail == "notify" ? PolicyAction::notify : PolicyAction::rollback;
  spec.no_data_grace_ms = get_int(*o, "no_data_grace_ms", spec.no_data_grace_ms);
  spec.extend_ms = get_int(*o, "extend_ms");
  spec.max_extends = static_cast<int>(get_int(*o, "max_extends", spec.max_extends));
  spec.ignore_routes = texts_from(*o, "ignore_routes");
  if (const auto* router = get_object(*o, "router")) spec.router = router_from(*router);
  if (const auto* targets = get_array(*o, "notify")) {
    for (const auto& target : *targets) {
      const auto* each = target.if_object();
      if (each == nullptr) continue;
      NotifySpec notify;
      notify.kind = get_text(*each, "kind") == "slack" ? NotifySpec::Kind::slack : NotifySpec::Kind::webhook;
      notify.url = get_text(*each, "url");
      notify.events = texts_from(*each, "events");
      spec.notify.push_back(std::move(notify));
    }
  }
  spec.config_hash = get_text(*o, "config_hash");
  return spec;
}

} // namespace coalmine::rollout
