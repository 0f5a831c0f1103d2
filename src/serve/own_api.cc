// SPDX-License-Identifier: Apache-2.0
#include "serve/own_api.h"

#include <fmt/format.h>

#include <boost/json.hpp>
#include <charconv>

#include "base/json_string.h"
#include "base/json_text.h"
#include "base/text.h"
#include "promql/engine.h"
#include "promql/syntax/go_text.h"
#include "rollout/control/compared_versions.h"
#include "rollout/evidence/one_shot.h"
#include "rollout/journal/codec.h"
#include "rollout/json.h"
#include "serve/answer.h"
#include "serve/parameters.h"
#include "serve/span_json.h"
#include "trace/failures.h"

namespace coalmine::serve {
namespace {

namespace json = boost::json;

// Text typed by a person goes into the journal and into every notification.
constexpr std::size_t kMaxNameBytes = 256;
constexpr std::size_t kMaxReasonBytes = 2000;
constexpr std::int64_t kMaxWindowMs = 30LL * 24 * 3600 * 1000;
constexpr std::int64_t kMaxListed = 10'000;
constexpr std::int64_t kUsualRollouts = 100;

Result<json::object> object_of(const net::HttpRequest& request) {
  if (request.body.empty()) return json::object();
  boost::system::error_code bad;
  auto value = json::parse(request.body, bad);
  if (bad) return fail(ErrorCode::invalid_argument, "the body is not JSON: " + bad.message());
  if (!value.is_object()) return fail(ErrorCode::invalid_argument, "the body is not a JSON object");
  return std::move(value.as_object());
}

Result<std::string> text_of(const json::object& object, std::string_view key,
                            std::size_t max = kMaxNameBytes) {
  const auto* value = object.if_contains(key);
  if (value == nullptr || value->is_null()) return std::string();
  if (!value->is_string())
    return fail(ErrorCode::invalid_argument, fmt::format("\"{}\" must be a text", key));
  std::string text(value->as_string());
  if (text.size() > max) {
    return fail(ErrorCode::invalid_argument,
                fmt::format("\"{}\" has {} bytes; at most {} are taken", key, text.size(), max));
  }
  if (!is_utf8(text))
    return fail(ErrorCode::invalid_argument, fmt::format("\"{}\" is not UTF-8", key));
  return text;
}

Result<bool> flag_of(const json::object& object, std::string_view key) {
  const auto* value = object.if_contains(key);
  if (value == nullptr || value->is_null()) return false;
  if (!value->is_bool())
    return fail(ErrorCode::invalid_argument, fmt::format("\"{}\" must be true or false", key));
  return value->as_bool();
}

Result<std::string> needed_text(const json::object& object, std::string_view key) {
  TRY_ASSIGN(auto text, text_of(object, key));
  if (text.empty()) return fail(ErrorCode::invalid_argument, fmt::format("\"{}\" is missing", key));
  return text;
}

Result<RolloutId> rollout_id(std::string_view text) {
  RolloutId id;
  const auto [end, bad] = std::from_chars(text.data(), text.data() + text.size(), id.value);
  if (bad != std::errc() || end != text.data() + text.size()) {
    return fail(ErrorCode::invalid_argument,
                fmt::format("\"{}\" is not the number of a rollout", text));
  }
  return id;
}

std::unexpected<Error> unknown_rollout(RolloutId id) {
  return fail(ErrorCode::not_found,
              fmt::format("there is no rollout {}, or it ended too long ago to be kept", id.value));
}

Result<rollout::Command> parse_command(std::string_view verb) {
  if (verb == "pause") return rollout::Command::pause;
  if (verb == "resume") return rollout::Command::resume;
  if (verb == "promote") return rollout::Command::promote;
  if (verb == "abort") return rollout::Command::abort;
  if (verb == "abandon") return rollout::Command::abandon;
  if (verb == "undo") return rollout::Command::undo;
  return fail(
      ErrorCode::not_found,
      fmt::format(
          "no command is called \"{}\"; there are pause, resume, promote, abort, abandon and undo",
          verb));
}

Result<std::int64_t> window_of(const json::object& body, std::int64_t fallback) {
  TRY_ASSIGN(const auto text, text_of(body, "window"));
  if (text.empty()) return fallback;
  const auto window = promql::parse_duration_ms(text);
  if (!window || *window <= 0 || *window > kMaxWindowMs) {
    return fail(
        ErrorCode::invalid_argument,
        fmt::format("\"window\": \"{}\" is not a duration between 1ms and 30d, such as 10m", text));
  }
  return *window;
}

// How many of a list are asked for.
Result<std::size_t> limit_of(const Parameters& parameters, std::int64_t usual) {
  TRY_ASSIGN(const auto limit, parameters.integer("limit", usual));
  if (limit < 1 || limit > kMaxListed) {
    return fail(ErrorCode::invalid_argument,
                fmt::format("limit is {}; it must be 1 to {}", limit, kMaxListed));
  }
  return static_cast<std::size_t>(limit);
}

net::HttpResponse answered(int status, Result<std::string> body) {
  if (!body) return error_answer(body.error());
  return json_answer(status, with_valid_utf8(std::move(*body)));
}

} // namespace

std::vector<Route> OwnApi::routes() const {
  using Request = net::HttpRequest;
  return {
      {"GET", "/v1/rollouts", Lane::quick,
       [this](const Request& r, const Segments&) { return answered(200, list_rollouts(r)); }},
      {"POST", "/v1/rollouts", Lane::start,
       [this](const Request& r, const Segments&) { return answered(201, start_rollout(r)); }},
      {"GET", "/v1/rollouts/*", Lane::quick,
       [this](const Request&, const Segments& s) { return answered(200, show_rollout(s[0])); }},
      {"POST", "/v1/rollouts/*/*", Lane::command,
       [this](const Request& r, const Segments& s) {
         return answered(200, command(s[0], s[1], r));
       }},
      {"POST", "/v1/backup", Lane::backup,
       [this](const Request& r, const Segments&) { return answered(200, backup(r)); }},
      {"POST", "/v1/analyze", Lane::analysis,
       [this](const Request& r, const Segments&) { return answered(200, analyze(r)); }},
      {"GET", "/v1/failures", Lane::search,
       [this](const Request& r, const Segments&) { return answered(200, failures(r)); }},
      {"GET", "/v1/traces/*", Lane::query,
       [this](const Request&, const Segments& s) { return answered(200, trace(s[0])); }},
      {"GET", "/v1/dashboards", Lane::quick,
       [this](const Request&, const Segments&) { return answered(200, dashboards()); }},
      {"GET", "/v1/services", Lane::quick,
       [this](const Request&, const Segments&) { return answered(200, services()); }},
      {"GET", "/v1/config", Lane::quick,
       [this](const Request& r, const Segments&) { return answered(200, config(r)); }},
      {"GET", "/v1/doctor", Lane::analysis,
       [this](const Request& r, const Segments&) { return answered(200, doctor(r)); }},
      {"GET", "/v1/status", Lane::quick,
       [this](const Request&, const Segments&) { return answered(200, status()); }},
  };
}

Result<std::string> OwnApi::list_rollouts(const net::HttpRequest& request) const {
  const Parameters parameters(request);
  const auto service = parameters.get("service");
  const auto phase = parameters.get("phase");
  TRY_ASSIGN(const auto limit, limit_of(parameters, kUsualRollouts));
  TRY_ASSIGN(const auto before, parameters.integer("before", INT64_MAX));
  const auto fits = [&](const rollout::RolloutStatus& status) {
    return std::cmp_less(status.id.value, before) &&
           (service.empty() || status.service == service) &&
           (phase.empty() || rollout::to_string(status.phase) == phase);
  };
  std::string out = "{\"rollouts\":[";
  std::size_t listed = 0;
  std::uint64_t last = 0;
  bool more = false;
  for (const auto& status : deps_.rollouts.list()) { // newest first
    if (!fits(*status)) continue;
    more = listed == limit;
    if (more) break;
    if (listed++ > 0) out += ',';
    out += rollout::rollout_json(*status, rollout::WithLog::no);
    last = status->id.value;
  }
  json::array services;
  for (const auto& spec : deps_.rollouts.specs()) services.emplace_back(spec.service);
  return out + fmt::format("],\"next\":{},\"services\":{}}}", more ? std::to_string(last) : "null",
                           json::serialize(services));
}

rollout::RolloutSpec OwnApi::spec_of(const std::string& service) const {
  for (auto& configured : deps_.rollouts.specs()) {
    if (configured.service == service) return std::move(configured);
  }
  return rollout::default_spec(service);
}

Result<std::string> OwnApi::start_rollout(const net::HttpRequest& request) const {
  TRY_ASSIGN(const auto body, object_of(request));
  rollout::StartRequest start;
  TRY_ASSIGN(start.service, needed_text(body, "service"));
  TRY_ASSIGN(start.canary_version, text_of(body, "canary_version"));
  TRY_ASSIGN(start.stable_version, text_of(body, "stable_version"));
  TRY_ASSIGN(const auto actor, text_of(body, "actor"));
  start.actor = actor.empty() ? "api" : actor;
  TRY_ASSIGN(const auto id, deps_.rollouts.start(start));
  json::array warnings;
  json::object out{{"id", id.value}};
  if (const auto begun = deps_.rollouts.get(id)) {
    for (const auto& line : begun->log) {
      if (line.kind == "warning") warnings.emplace_back(line.text);
    }
    out = rollout::start_answer(*begun, spec_of(start.service), deps_.versions,
                                deps_.clock.wall_ms());
  }
  if (!warnings.empty()) out["warnings"] = std::move(warnings);
  return json::serialize(out);
}

Result<std::string> OwnApi::show_rollout(const std::string& id_text) const {
  TRY_ASSIGN(const auto id, rollout_id(id_text));
  const auto status = deps_.rollouts.get(id);
  if (!status) return unknown_rollout(id);
  return rollout::rollout_json(*status, rollout::WithLog::yes);
}

Result<std::string> OwnApi::command(const std::string& id_text, const std::string& verb,
                                    const net::HttpRequest& request) const {
  TRY_ASSIGN(const auto id, rollout_id(id_text));
  TRY_ASSIGN(const auto command, parse_command(verb));
  TRY_ASSIGN(const auto body, object_of(request));
  TRY_ASSIGN(const auto reason, text_of(body, "reason", kMaxReasonBytes));
  TRY_ASSIGN(const auto actor, text_of(body, "actor"));
  TRY_ASSIGN(const bool full, flag_of(body, "full"));
  if (full && command != rollout::Command::promote)
    return fail(ErrorCode::invalid_argument, "\"full\" belongs to promote");
  if (!deps_.rollouts.get(id)) return unknown_rollout(id);
  TRY(deps_.rollouts.command(id, full ? rollout::Command::promote_full : command,
                             actor.empty() ? "api" : actor, reason));
  return show_rollout(id_text);
}

Result<std::string> OwnApi::analyze(const net::HttpRequest& request) const {
  TRY_ASSIGN(const auto body, object_of(request));
  TRY_ASSIGN(const auto service, needed_text(body, "service"));
  TRY_ASSIGN(const auto canary, text_of(body, "canary_version"));
  TRY_ASSIGN(const auto stable, text_of(body, "stable_version"));
  const auto spec = spec_of(service);
  TRY_ASSIGN(const auto window, window_of(body, spec.analysis_window_ms));
  const auto now = deps_.clock.wall_ms();
  rollout::VerdictContext context{service, canary, stable, now - window, now};
  const auto running = rollout::running_rollout(deps_.rollouts, service);
  rollout::choose_versions(spec, running, deps_.versions, context);
  const auto judgement = rollout::analyze(spec,
                                          {.canary_version = context.canary_version,
                                           .stable_version = context.stable_version,
                                           .from_ms = context.from_ms,
                                           .to_ms = now},
                                          deps_.cohorts, deps_.feeds, deps_.own_metrics);
  if (deps_.on_analysis) deps_.on_analysis(context, judgement);
  if (running) context.beside_rollout = rollout::beside_rollout(*running, context, judgement);
  return rollout::verdict_json(judgement, context);
}

Result<std::string> OwnApi::failures(const net::HttpRequest& request) const {
  const Parameters parameters(request);
  trace::FailureFilter filter;
  filter.service = parameters.get("service");
  if (filter.service.empty())
    return fail(ErrorCode::invalid_argument, "service is missing: /v1/failures?service=NAME");
  filter.version = parameters.get("version");
  filter.track = parameters.get("track");
  TRY_ASSIGN(filter.limit, limit_of(parameters, 20));
  TRY_ASSIGN(filter.from_ms, parameters.integer("from_ms", 0));
  TRY_ASSIGN(filter.to_ms, parameters.integer("to_ms", INT64_MAX));
  filter.give_up = [&clock = deps_.clock,
                    until_ms = deps_.clock.steady_ms() + options_.query_timeout_ms] {
    return clock.steady_ms() > until_ms;
  };
  TRY_ASSIGN(const auto found, trace::find_failures(deps_.traces, filter));
  json::array out;
  for (const auto& failure : found) out.push_back(failure_json(failure));
  return json::serialize(json::object{{"failures", std::move(out)}});
}

Result<std::string> OwnApi::trace(const std::string& id) const {
  TraceId trace_id;
  if (!parse_hex(id, trace_id))
    return fail(ErrorCode::invalid_argument,
                fmt::format("\"{}\" is not a trace id of 32 hex digits", id));
  TRY_ASSIGN(const auto spans, deps_.traces.trace(trace_id));
  if (spans.empty())
    return fail(ErrorCode::not_found, fmt::format("no span of trace {} is stored", id));
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
      for (const auto& query : panel.queries)
        queries.push_back({{"label", query.label}, {"query", query.query}});
      panels.push_back(
          {{"title", panel.title}, {"type", panel.type}, {"queries", std::move(queries)}});
    }
    out.push_back({{"name", board.name}, {"panels", std::move(panels)}});
  }
  return json::serialize(json::object{{"dashboards", std::move(out)}});
}

Result<std::string> OwnApi::services() const {
  json::array out;
  for (const auto& p : deps_.holdings.presence()) {
    out.push_back({{"service", p.service},
                   {"track", p.track},
                   {"version", p.version},
                   {"instance", p.instance},
                   {"environment", p.environment},
                   {"first_ms", p.first_ms},
                   {"last_ms", p.last_ms},
                   {"export_interval_ms", p.export_interval_ms}});
  }
  return json::serialize(
      json::object{{"services", std::move(out)}, {"misdirected", misdirected()}});
}

json::array OwnApi::misdirected() const {
  json::array out;
  if (!deps_.misdirected) return out;
  for (const auto& s : deps_.misdirected->list()) {
    out.push_back({{"listener", s.listener},
                   {"address", json_string(s.address)},
                   {"what", json_string(s.what)},
                   {"count", s.count},
                   {"first_ms", s.first_ms},
                   {"last_ms", s.last_ms}});
  }
  return out;
}

Result<std::string> OwnApi::status() const {
  const auto s = deps_.holdings.stats();
  return json::serialize(json::object{{"version", options_.version},
                                      {"uptime_ms", deps_.clock.steady_ms() - started_ms_},
                                      {"now_ms", deps_.clock.wall_ms()},
                                      {"misdirected", misdirected()},
                                      {"store", json::object{{"series", s.series},
                                                             {"head_samples", s.head_samples},
                                                             {"disk_bytes", s.disk_bytes},
                                                             {"oldest_ms", s.oldest_ms},
                                                             {"newest_ms", s.newest_ms}}}});
}

Result<std::string> OwnApi::config(const net::HttpRequest& request) const {
  const auto service = Parameters(request).get("service");
  json::array out;
  for (const auto& spec : deps_.rollouts.specs()) {
    if (!service.empty() && spec.service != service) continue;
    json::object one{{"service", json_string(spec.service)}};
    if (deps_.explain) one["words"] = json_string(deps_.explain(spec));
    auto written = json::parse(rollout::encode_spec(spec));
    if (deps_.plain_spec) {
      const auto plain = json::parse(rollout::encode_spec(deps_.plain_spec(spec.service)));
      json::array defaults;
      for (const auto& [key, value] : written.as_object()) {
        const auto* usual = plain.as_object().if_contains(key);
        if (key != "service" && usual != nullptr && *usual == value) defaults.emplace_back(key);
      }
      one["defaults"] = std::move(defaults);
    }
    one["spec"] = std::move(written);
    out.push_back(std::move(one));
  }
  if (!service.empty() && out.empty())
    return fail(ErrorCode::not_found,
                fmt::format("no configured service is named \"{}\"", service));
  return json::serialize(json::object{{"services", std::move(out)}});
}

Result<std::string> OwnApi::doctor(const net::HttpRequest& request) const {
  if (!deps_.doctor) return fail(ErrorCode::unimplemented, "this server has no doctor");
  json::array out;
  for (const auto& finding : deps_.doctor(Parameters(request).get("service"))) {
    json::object one{{"state", to_string(finding.state)},
                     {"about", json_string(finding.about)},
                     {"text", json_string(finding.text)}};
    if (!finding.remedy.empty()) one["remedy"] = json_string(finding.remedy);
    out.push_back(std::move(one));
  }
  return json::serialize(json::object{{"findings", std::move(out)}});
}

Result<std::string> OwnApi::backup(const net::HttpRequest& request) const {
  constexpr std::size_t kMaxPathBytes = 4096;
  TRY_ASSIGN(const auto body, object_of(request));
  TRY_ASSIGN(const auto directory, text_of(body, "directory", kMaxPathBytes));
  if (directory.empty() || directory.front() != '/') {
    return fail(
        ErrorCode::invalid_argument,
        fmt::format("\"directory\" is \"{}\"; an absolute path on the server's machine is needed",
                    directory));
  }
  if (!deps_.backup)
    return fail(ErrorCode::unimplemented, "this server keeps nothing on disk that could be copied");
  TRY_ASSIGN(const auto done, deps_.backup(directory));
  return json::serialize(
      json::object{{"directory", done.directory}, {"files", done.files}, {"bytes", done.bytes}});
}

} // namespace coalmine::serve
