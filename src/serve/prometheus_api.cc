// SPDX-License-Identifier: Apache-2.0
#include "serve/prometheus_api.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "query/engine.h"
#include "serve/parameters.h"
#include "serve/prometheus_json.h"

namespace coalmine::serve {
namespace {

constexpr std::int64_t kMaxPoints = 11'000;

net::HttpResponse json(int status, std::string body) {
  return {.status = status, .headers = {{"Content-Type", "application/json"}}, .body = std::move(body)};
}

net::HttpResponse bad_data(std::string_view message) { return json(400, error_json("bad_data", message)); }

net::HttpResponse bad_parameter(std::string_view name, std::string_view why) {
  return bad_data(fmt::format("invalid parameter \"{}\": {}", name, why));
}

net::HttpResponse failed(const query::QueryError& error) {
  using Kind = query::QueryError::Kind;
  switch (error.kind) {
    case Kind::bad_data: return bad_data(error.message);
    case Kind::execution: return json(422, error_json("execution", error.message));
    case Kind::timeout: return json(503, error_json("timeout", error.message));
    case Kind::canceled: return json(503, error_json("canceled", error.message));
    case Kind::unavailable: return json(503, error_json("unavailable", error.message));
    case Kind::unimplemented: return json(422, error_json("execution", "not evaluated yet: " + error.message));
  }
  return json(500, error_json("internal", error.message));
}

net::HttpResponse failed(const Error& error) {
  switch (error.code) {
    case ErrorCode::invalid_argument: return bad_data(error.message);
    case ErrorCode::resource_exhausted: return json(422, error_json("execution", error.message));
    case ErrorCode::unavailable: return json(503, error_json("unavailable", error.message));
    default: return json(500, error_json("internal", error.message));
  }
}

std::string json_texts(const std::vector<std::string>& texts) {
  std::string out = "[";
  for (const auto& text : texts) {
    if (out.size() > 1) out += ',';
    append_json_text(out, text);
  }
  return out + "]";
}

query::QueryOutcome<std::int64_t> time_or(const Parameters& parameters, std::string_view name, std::int64_t fallback) {
  const auto text = parameters.get(name);
  if (text.empty()) return fallback;
  return query::parse_time_ms(text);
}

// One selection a match[] parameter, over [start, end] (all of time when absent); with no match[] one that matches everything.
query::QueryOutcome<std::vector<query::Selection>> selections(const Parameters& parameters) {
  const auto from = time_or(parameters, "start", INT64_MIN / 2);
  if (!from) return std::unexpected(from.error());
  const auto to = time_or(parameters, "end", INT64_MAX / 2);
  if (!to) return std::unexpected(to.error());
  std::vector<query::Selection> out;
  for (const auto& text : parameters.all("match[]")) {
    auto matchers = query::parse_selector(text);
    if (!matchers) return std::unexpected(matchers.error());
    out.push_back({.matchers = std::move(*matchers), .from_ms = *from, .to_ms = *to});
  }
  if (out.empty()) out.push_back({.matchers = {}, .from_ms = *from, .to_ms = *to});
  return out;
}

template <typename T>
void limit_to(std::vector<T>& all, std::int64_t limit) {
  if (limit > 0 && all.size() > static_cast<std::size_t>(limit)) all.resize(static_cast<std::size_t>(limit));
}

query::EvalOptions eval_options(const Options& options, const Parameters& parameters, const Clock& clock) {
  query::EvalOptions out;
  auto budget = options.query_timeout_ms;
  if (const auto asked = query::parse_duration_ms(parameters.get("timeout")); asked && *asked > 0) budget = std::min(budget, *asked);
  if (const auto back = query::parse_duration_ms(parameters.get("lookback_delta")); back && *back > 0) out.lookback_ms = *back;
  out.deadline_steady_ms = clock.steady_ms() + budget;
  return out;
}

std::string_view type_name(MetricKind kind) {
  switch (kind) {
    case MetricKind::counter: return "counter";
    case MetricKind::gauge: return "gauge";
    case MetricKind::histogram:
    case MetricKind::exponential: return "histogram";
  }
  return "unknown";
}

} // namespace

net::HttpResponse PrometheusApi::answer(const net::HttpRequest& request) const {
  if (request.method != "GET" && request.method != "POST" && request.method != "HEAD") {
    auto refused = json(405, error_json("bad_data", request.method + " is not allowed here; use GET or POST"));
    refused.headers.emplace_back("Allow", "GET, POST");
    return refused;
  }
  const std::string_view path = std::string_view(request.path).substr(std::string_view("/api/v1/").size());
  if (path == "query") return instant(request);
  if (path == "query_range") return range(request);
  if (path == "series") return series(request);
  if (path == "labels") return labels(request, "");
  if (path.starts_with("label/") && path.ends_with("/values") && path.size() > 13) return labels(request, path.substr(6, path.size() - 13));
  if (path == "metadata") return metadata(request);
  if (path == "format_query") return format(request);
  if (path == "query_exemplars") return json(200, success_json("[]"));
  if (path == "rules") return json(200, success_json("{\"groups\":[]}"));
  if (path == "alerts") return json(200, success_json("{\"alerts\":[]}"));
  if (path == "status/buildinfo") {
    std::string version;
    append_json_text(version, options_.version);
    return json(200, success_json(fmt::format("{{\"version\":{},\"revision\":\"\",\"branch\":\"\",\"buildUser\":\"\",\"buildDate\":\"\","
                                              "\"goVersion\":\"\",\"features\":{{}}}}",
                                              version)));
  }
  return json(404, error_json("not_found", fmt::format("there is no {} in the Prometheus API of this server", request.path)));
}

net::HttpResponse PrometheusApi::instant(const net::HttpRequest& request) const {
  const Parameters parameters(request);
  const auto time = time_or(parameters, "time", deps_.clock.wall_ms());
  if (!time) return bad_parameter("time", time.error().message);
  const auto result = query::instant(deps_.queryable, parameters.get("query"), *time, eval_options(options_, parameters, deps_.clock), deps_.clock);
  if (!result) return failed(result.error());
  return json(200, result_json(*result));
}

net::HttpResponse PrometheusApi::range(const net::HttpRequest& request) const {
  const Parameters parameters(request);
  for (const auto name : {"start", "end"}) {
    if (const auto time = query::parse_time_ms(parameters.get(name)); !time) return bad_parameter(name, time.error().message);
  }
  const auto start = *query::parse_time_ms(parameters.get("start"));
  const auto end = *query::parse_time_ms(parameters.get("end"));
  if (end < start) return bad_parameter("end", "end timestamp must not be before start time");
  const auto step = query::parse_duration_ms(parameters.get("step"));
  if (!step) return bad_parameter("step", step.error().message);
  if (*step <= 0) return bad_parameter("step", "zero or negative query resolution step widths are not accepted. Try a positive integer");
  if ((end - start) / *step > kMaxPoints) {
    return bad_data("exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution (?step=XX)");
  }
  const auto result = query::range(deps_.queryable, parameters.get("query"), start, end, *step,
                                   eval_options(options_, parameters, deps_.clock), deps_.clock);
  if (!result) return failed(result.error());
  return json(200, result_json(*result));
}

net::HttpResponse PrometheusApi::series(const net::HttpRequest& request) const {
  const Parameters parameters(request);
  if (!parameters.has("match[]")) return bad_data("no match[] parameter provided");
  const auto wanted = selections(parameters);
  if (!wanted) return failed(wanted.error());
  const auto limit = parameters.integer("limit", 0);
  if (!limit) return failed(limit.error());
  std::set<Labels> found;
  for (const auto& selection : *wanted) {
    auto some = deps_.queryable.series(selection);
    if (!some) return failed(some.error());
    found.insert(std::make_move_iterator(some->begin()), std::make_move_iterator(some->end()));
  }
  std::string out = "[";
  std::int64_t count = 0;
  for (const auto& one : found) {
    if (*limit > 0 && count++ >= *limit) break;
    if (out.size() > 1) out += ',';
    append_labels(out, one);
  }
  return json(200, success_json(out + "]"));
}

net::HttpResponse PrometheusApi::labels(const net::HttpRequest& request, std::string_view label) const {
  const Parameters parameters(request);
  const auto wanted = selections(parameters);
  if (!wanted) return failed(wanted.error());
  const auto limit = parameters.integer("limit", 0);
  if (!limit) return failed(limit.error());
  std::set<std::string> found;
  for (const auto& selection : *wanted) {
    auto some = label.empty() ? deps_.queryable.label_names(selection) : deps_.queryable.label_values(label, selection);
    if (!some) return failed(some.error());
    found.insert(std::make_move_iterator(some->begin()), std::make_move_iterator(some->end()));
  }
  std::vector<std::string> texts(found.begin(), found.end());
  limit_to(texts, *limit);
  return json(200, success_json(json_texts(texts)));
}

net::HttpResponse PrometheusApi::metadata(const net::HttpRequest& request) const {
  const auto wanted = Parameters(request).get("metric");
  std::string out = "{";
  for (const auto& metric : deps_.store.metadata()) {
    if (!wanted.empty() && metric.name != wanted) continue;
    if (out.size() > 1) out += ',';
    append_json_text(out, metric.name);
    out += fmt::format(":[{{\"type\":\"{}\",\"help\":", type_name(metric.kind));
    append_json_text(out, metric.help);
    out += ",\"unit\":";
    append_json_text(out, metric.unit);
    out += "}]";
  }
  return json(200, success_json(out + "}"));
}

net::HttpResponse PrometheusApi::format(const net::HttpRequest& request) const {
  const auto text = query::format(Parameters(request).get("query"));
  if (!text) return failed(text.error());
  std::string out;
  append_json_text(out, *text);
  return json(200, success_json(out));
}

} // namespace coalmine::serve
