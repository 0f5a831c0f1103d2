// SPDX-License-Identifier: Apache-2.0
#include "serve/own_api.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json.hpp>
#include <charconv>
#include <cmath>

#include "net/grpc_server.h"
#include "query/engine.h"
#include "query/failures.h"
#include "rollout/json.h"
#include "rollout/one_shot.h"
#include "serve/parameters.h"

namespace coalmine::serve {
namespace {

namespace json = boost::json;

net::HttpResponse json_response(int status, std::string body) {
  return {.status = status, .headers = {{"Content-Type", "application/json"}}, .body = std::move(body)};
}

Result<json::object> object_of(const net::HttpRequest& request) {
  if (request.body.empty()) return json::object();
  boost::system::error_code bad;
  auto value = json::parse(request.body, bad);
  if (bad || !value.is_object()) return fail(ErrorCode::invalid_argument, "the body is not a JSON object: " + bad.message());
  return std::move(value.as_object());
}

Result<std::string> text_of(const json::object& object, std::string_view key) {
  const auto* value = object.if_contains(key);
  if (value == nullptr || value->is_null()) return std::string();
  if (!value->is_string()) return fail(ErrorCode::invalid_argument, fmt::format("\"{}\" must be a text", key));
  return std::string(value->as_string());
}

Result<std::string> needed_text(const json::object& object, std::string_view key) {
  TRY_ASSIGN(auto text, text_of(object, key));
  if (text.empty()) return fail(ErrorCode::invalid_argument, fmt::format("\"{}\" is missing", key));
  return text;
}

// JSON has no NaN or infinity.
json::value number(double v) { return std::isfinite(v) ? json::value(v) : json::value(nullptr); }

double ms(std::uint64_t ns) { return static_cast<double>(ns) / 1e6; }

json::object attributes_json(const Attributes& attributes) {
  json::object out;
  for (const auto& [key, value] : attributes) {
    if (const auto* b = std::get_if<bool>(&value)) {
      out[key] = *b;
    } else if (const auto* i = std::get_if<std::int64_t>(&value)) {
      out[key] = *i;
    } else if (const auto* d = std::get_if<double>(&value)) {
      out[key] = number(*d);
    } else {
      out[key] = to_text(value);
    }
  }
  return out;
}

std::string_view kind_name(SpanKind kind) {
  switch (kind) {
    case SpanKind::unspecified: return "unspecified";
    case SpanKind::internal: return "internal";
    case SpanKind::server: return "server";
    case SpanKind::client: return "client";
    case SpanKind::producer: return "producer";
    case SpanKind::consumer: return "consumer";
  }
  return "unspecified";
}

json::object span_json(const store::StoredSpan& stored) {
  const auto& span = stored.span;
  json::array events;
  for (const auto& event : span.events) {
    events.push_back({{"name", event.name}, {"time_ms", ms(event.time_ns)}, {"attributes", attributes_json(event.attributes)}});
  }
  json::array logs;
  for (const auto& log : stored.logs) {
    logs.push_back({{"time_ms", ms(log.time_ns)}, {"severity", log.severity}, {"body", log.body}, {"attributes", attributes_json(log.attributes)}});
  }
  const auto parent = to_hex(span.parent_span_id);
  return {{"span_id", to_hex(span.span_id)},
          {"parent_span_id", parent == "0000000000000000" ? std::string() : parent},
          {"name", span.name},
          {"kind", kind_name(span.kind)},
          {"service", span.resource->service},
          {"version", span.resource->version},
          {"track", span.resource->track},
          {"start_ms", ms(span.start_ns)},
          {"duration_ms", span.end_ns >= span.start_ns ? ms(span.end_ns - span.start_ns) : 0.0},
          {"status", span.status == StatusCode::error ? "error" : span.status == StatusCode::ok ? "ok" : "unset"},
          {"status_message", span.status_message},
          {"attributes", attributes_json(span.attributes)},
          {"events", std::move(events)},
          {"logs", std::move(logs)}};
}

Result<rollout::Command> parse_command(std::string_view verb) {
  if (verb == "pause") return rollout::Command::pause;
  if (verb == "resume") return rollout::Command::resume;
  if (verb == "promote") return rollout::Command::promote;
  if (verb == "abort") return rollout::Command::abort;
  return fail(ErrorCode::not_found, fmt::format("no command is called \"{}\": pause, resume, promote, abort", verb));
}

} // namespace

net::HttpResponse error_response(const Error& error) {
  return json_response(net::to_http(error.code),
                       json::serialize(json::object{{"error", json::object{{"code", to_string(error.code)}, {"message", error.message}}}}));
}

net::HttpResponse OwnApi::answer(const net::HttpRequest& request) const {
  const auto body = body_of(request);
  if (!body) return error_response(body.error());
  const bool created = request.path == "/v1/rollouts" && request.method == "POST";
  return json_response(created ? 201 : 200, *body);
}

Result<std::string> OwnApi::body_of(const net::HttpRequest& request) const {
  const std::string_view path = request.path;
  const bool get = request.method == "GET" || request.method == "HEAD";
  const bool post = request.method == "POST";
  if (path == "/v1/rollouts" && get) return list_rollouts();
  if (path == "/v1/rollouts" && post) return start_rollout(request);
  if (path.starts_with("/v1/rollouts/")) return rollout(path.substr(13), request);
  if (path == "/v1/analyze" && post) return analyze(request);
  if (path == "/v1/failures" && get) return failures(request);
  if (path.starts_with("/v1/traces/") && get) return trace(path.substr(11));
  if (path == "/v1/dashboards" && get) return dashboards();
  if (path == "/v1/services" && get) return services();
  if (path == "/v1/status" && get) return status();
  return fail(ErrorCode::not_found, fmt::format("there is no {} {}; docs/http-api.md lists what there is", request.method, path));
}

Result<std::string> OwnApi::list_rollouts() const {
  std::string out = "{\"rollouts\":[";
  bool first = true;
  for (const auto& status : deps_.rollouts.list()) {
    if (!first) out += ',';
    first = false;
    out += rollout::rollout_json(status, false);
  }
  return out + "]}";
}

Result<std::string> OwnApi::start_rollout(const net::HttpRequest& request) const {
  TRY_ASSIGN(const auto body, object_of(request));
  rollout::StartRequest start;
  TRY_ASSIGN(start.service, needed_text(body, "service"));
  TRY_ASSIGN(start.canary_version, text_of(body, "canary_version"));
  TRY_ASSIGN(start.stable_version, text_of(body, "stable_version"));
  TRY_ASSIGN(const auto actor, text_of(body, "actor"));
  if (!actor.empty()) start.actor = actor;
  TRY_ASSIGN(const auto id, deps_.rollouts.start(start));
  return fmt::format("{{\"id\":{}}}", id.value);
}

Result<std::string> OwnApi::rollout(std::string_view id_and_verb, const net::HttpRequest& request) const {
  const auto slash = id_and_verb.find('/');
  const auto id_text = id_and_verb.substr(0, slash);
  RolloutId id;
  const auto [end, bad] = std::from_chars(id_text.data(), id_text.data() + id_text.size(), id.value);
  if (bad != std::errc() || end != id_text.data() + id_text.size()) {
    return fail(ErrorCode::invalid_argument, fmt::format("\"{}\" is not the number of a rollout", id_text));
  }
  if (slash != std::string_view::npos) {
    if (request.method != "POST") return fail(ErrorCode::invalid_argument, "a command is sent with POST");
    TRY_ASSIGN(const auto command, parse_command(id_and_verb.substr(slash + 1)));
    TRY_ASSIGN(const auto body, object_of(request));
    TRY_ASSIGN(const auto reason, text_of(body, "reason"));
    TRY_ASSIGN(auto actor, text_of(body, "actor"));
    TRY(deps_.rollouts.command(id, command, actor.empty() ? "api" : actor, reason));
  }
  const auto status = deps_.rollouts.get(id);
  if (!status) return fail(ErrorCode::not_found, fmt::format("there is no rollout {}", id.value));
  return rollout::rollout_json(*status, true);
}

Result<std::string> OwnApi::analyze(const net::HttpRequest& request) const {
  TRY_ASSIGN(const auto body, object_of(request));
  TRY_ASSIGN(const auto service, needed_text(body, "service"));
  TRY_ASSIGN(const auto canary, text_of(body, "canary_version"));
  TRY_ASSIGN(const auto stable, text_of(body, "stable_version"));
  TRY_ASSIGN(const auto window_text, text_of(body, "window"));
  auto spec = rollout::default_spec(service);
  for (auto& configured : deps_.rollouts.specs()) {
    if (configured.service == service) spec = std::move(configured);
  }
  auto window = spec.analysis_window_ms;
  if (!window_text.empty()) {
    const auto parsed = query::parse_duration_ms(window_text);
    if (!parsed || *parsed <= 0) return fail(ErrorCode::invalid_argument, fmt::format("\"window\": \"{}\" is not a duration such as 10m", window_text));
    window = *parsed;
  }
  const auto now = deps_.clock.wall_ms();
  const rollout::VerdictContext context{service, canary, stable, now - window, now};
  const auto judgement =
      rollout::analyze(spec, {.canary_version = canary, .stable_version = stable, .from_ms = context.from_ms, .to_ms = now}, deps_.cohorts);
  if (deps_.on_analysis) deps_.on_analysis(context, judgement);
  return rollout::verdict_json(judgement, context);
}

Result<std::string> OwnApi::failures(const net::HttpRequest& request) const {
  const Parameters parameters(request);
  query::FailureFilter filter;
  filter.service = parameters.get("service");
  if (filter.service.empty()) return fail(ErrorCode::invalid_argument, "service is missing: /v1/failures?service=NAME");
  filter.version = parameters.get("version");
  filter.track = parameters.get("track");
  TRY_ASSIGN(const auto limit, parameters.integer("limit", 20));
  if (limit < 1 || limit > 10'000) return fail(ErrorCode::invalid_argument, fmt::format("limit is {}; it must be 1 to 10000", limit));
  filter.limit = static_cast<std::size_t>(limit);
  TRY_ASSIGN(filter.from_ms, parameters.integer("from_ms", 0));
  TRY_ASSIGN(filter.to_ms, parameters.integer("to_ms", INT64_MAX));
  TRY_ASSIGN(const auto found, query::find_failures(deps_.store, filter));
  json::array out;
  for (const auto& failure : found) {
    json::array spans;
    for (const auto& span : failure.failed_spans) {
      spans.push_back({{"name", span.name}, {"exception_type", span.exception_type}, {"exception_message", span.exception_message}});
    }
    out.push_back({{"trace_id", to_hex(failure.trace_id)},
                   {"time_ms", failure.time_ms},
                   {"error", failure.error},
                   {"duration_ms", number(failure.duration_ms)},
                   {"endpoint", failure.endpoint},
                   {"version", failure.version},
                   {"track", failure.track},
                   {"failed_spans", std::move(spans)}});
  }
  return json::serialize(json::object{{"failures", std::move(out)}});
}

Result<std::string> OwnApi::trace(std::string_view id) const {
  TraceId trace_id;
  if (!parse_hex(id, trace_id)) return fail(ErrorCode::invalid_argument, fmt::format("\"{}\" is not a trace id of 32 hex digits", id));
  TRY_ASSIGN(const auto spans, deps_.store.trace(trace_id));
  if (spans.empty()) return fail(ErrorCode::not_found, fmt::format("no span of trace {} is stored", id));
  json::array out;
  for (const auto& span : spans) out.push_back(span_json(span));
  return json::serialize(json::object{{"trace_id", to_hex(trace_id)}, {"spans", std::move(out)}});
}

Result<std::string> OwnApi::dashboards() const {
  json::array out;
  for (const auto& board : options_.dashboards) {
    json::array panels;
    for (const auto& panel : board.panels) {
      json::array queries;
      for (const auto& query : panel.queries) queries.push_back({{"label", query.label}, {"query", query.query}});
      panels.push_back({{"title", panel.title}, {"type", panel.type}, {"queries", std::move(queries)}});
    }
    out.push_back({{"name", board.name}, {"panels", std::move(panels)}});
  }
  return json::serialize(json::object{{"dashboards", std::move(out)}});
}

Result<std::string> OwnApi::services() const {
  json::array out;
  for (const auto& p : deps_.store.presence()) {
    out.push_back({{"service", p.service}, {"track", p.track}, {"version", p.version}, {"instance", p.instance},
                   {"environment", p.environment}, {"first_ms", p.first_ms}, {"last_ms", p.last_ms}});
  }
  return json::serialize(json::object{{"services", std::move(out)}});
}

Result<std::string> OwnApi::status() const {
  const auto s = deps_.store.stats();
  return json::serialize(json::object{{"version", options_.version},
                                      {"uptime_ms", deps_.clock.steady_ms() - started_ms_},
                                      {"now_ms", deps_.clock.wall_ms()},
                                      {"store", json::object{{"series", s.series}, {"head_samples", s.head_samples}, {"disk_bytes", s.disk_bytes},
                                                             {"oldest_ms", s.oldest_ms}, {"newest_ms", s.newest_ms}}}});
}

} // namespace coalmine::serve
