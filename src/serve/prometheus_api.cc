// SPDX-License-Identifier: Apache-2.0
#include "serve/prometheus_api.h"

#include <fmt/format.h>

#include <map>
#include <set>

#include "promql/engine.h"
#include "serve/answer.h"
#include "serve/ast_json.h"
#include "serve/prometheus_json.h"
#include "serve/prometheus_request.h"

namespace coalmine::serve {
namespace {

constexpr std::size_t kMaxAnswerBytes = 256u << 20;
constexpr std::string_view kTruncated = "results truncated due to limit";
constexpr int kClientClosedRequest = 499; // Prometheus's own, for a query that was given up

net::HttpResponse bad_data(std::string_view message) {
  return json_answer(400, error_json("bad_data", message));
}

net::HttpResponse failed(const promql::QueryError& error) {
  using Kind = promql::QueryError::Kind;
  switch (error.kind) {
    case Kind::bad_data: return bad_data(invalid_parameter("query", error.message));
    case Kind::execution: return json_answer(422, error_json("execution", error.message));
    case Kind::timeout: return json_answer(503, error_json("timeout", error.message));
    case Kind::canceled:
      return json_answer(kClientClosedRequest, error_json("canceled", error.message));
    case Kind::unavailable: return json_answer(503, error_json("unavailable", error.message));
    case Kind::unimplemented:
      return json_answer(422, error_json("execution", "not evaluated yet: " + error.message));
  }
  return json_answer(500, error_json("internal", error.message));
}

std::string json_texts(const std::set<std::string>& texts, std::size_t limit) {
  std::string out = "[";
  std::size_t count = 0;
  for (const auto& text : texts) {
    if (limit > 0 && count == limit) break;
    if (count++ > 0) out += ',';
    append_json_string(out, text);
  }
  return out + "]";
}

// Drops the entries beyond the limit and says so.
void truncate(promql::QueryResult& result, std::size_t limit) {
  if (limit == 0) return;
  const auto cut = [&](std::vector<promql::ResultSeries>& series) {
    if (series.size() <= limit) return;
    series.resize(limit);
    result.warnings.emplace_back(kTruncated);
  };
  if (auto* vector = std::get_if<promql::Vector>(&result.value)) cut(vector->series);
  if (auto* matrix = std::get_if<promql::Matrix>(&result.value)) cut(matrix->series);
}

net::HttpResponse query_answered(promql::QueryOutcome<promql::QueryResult> result,
                                 std::size_t limit) {
  if (!result) return failed(result.error());
  truncate(*result, limit);
  auto json = result_json(*result, kMaxAnswerBytes);
  if (!json) return prometheus_error(json.error());
  return json_answer(200, std::move(*json));
}

Notes truncation(std::size_t size, std::size_t limit) {
  return limit > 0 && size > limit ? Notes{std::string(kTruncated)} : Notes{};
}

// Asks once per selection and merges the answers: sorted, without duplicates.
template <typename T, typename Ask>
Result<std::set<T>> united(const std::vector<promql::Selection>& selections, Ask ask) {
  std::set<T> out;
  for (const auto& selection : selections) {
    Result<std::vector<T>> some = ask(selection);
    if (!some) return std::unexpected(std::move(some).error());
    out.insert(std::make_move_iterator(some->begin()), std::make_move_iterator(some->end()));
  }
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

void append_metadata(std::string& out, const MetricMetadata& metric) {
  out += "{\"type\":";
  append_json_string(out, type_name(metric.kind));
  out += ",\"help\":";
  append_json_string(out, metric.help);
  out += ",\"unit\":";
  append_json_string(out, metric.unit);
  out += '}';
}

} // namespace

net::HttpResponse prometheus_error(const Error& error) {
  switch (error.code) {
    case ErrorCode::invalid_argument: return bad_data(error.message);
    case ErrorCode::resource_exhausted:
      return json_answer(422, error_json("execution", error.message));
    case ErrorCode::not_found: return json_answer(404, error_json("not_found", error.message));
    case ErrorCode::unavailable: return json_answer(503, error_json("unavailable", error.message));
    case ErrorCode::deadline_exceeded:
      return json_answer(503, error_json("timeout", error.message));
    case ErrorCode::permission_denied:
      return json_answer(403, error_json("forbidden", error.message));
    case ErrorCode::unauthenticated:
      return json_answer(401, error_json("unauthorized", error.message));
    default: return json_answer(500, error_json("internal", error.message));
  }
}

std::vector<Route> PrometheusApi::routes() const {
  std::vector<Route> out;
  const auto get = [&](std::string_view path, Lane lane, Handler handler) {
    out.push_back({"GET", path, lane, std::move(handler)});
  };
  const auto get_and_post = [&](std::string_view path, net::HttpResponse (PrometheusApi::*answer)(
                                                           const net::HttpRequest&) const) {
    for (const std::string_view method : {"GET", "POST"}) {
      out.push_back(
          {method, path, Lane::query, [this, answer](const net::HttpRequest& r, const Segments&) {
             return (this->*answer)(r);
           }});
    }
  };
  get_and_post("/api/v1/query", &PrometheusApi::instant);
  get_and_post("/api/v1/query_range", &PrometheusApi::range);
  get_and_post("/api/v1/series", &PrometheusApi::series);
  get_and_post("/api/v1/labels", &PrometheusApi::label_names);
  for (const std::string_view method : {"GET", "POST"}) {
    out.push_back({method, "/api/v1/format_query", Lane::quick,
                   [](const net::HttpRequest& request, const Segments&) {
                     const auto text = promql::format(Parameters(request).get("query"));
                     if (!text) return failed(text.error());
                     std::string quoted;
                     append_json_string(quoted, *text);
                     return json_answer(200, success_json(quoted));
                   }});
  }
  get("/api/v1/label/*/values", Lane::query,
      [this](const auto& request, const Segments& s) { return label_values(request, s[0]); });
  get("/api/v1/metadata", Lane::query,
      [this](const auto& request, const Segments&) { return metadata(request); });
  get("/api/v1/status/buildinfo", Lane::quick,
      [this](const auto&, const Segments&) { return build_info(); });
  // Clients ask this to see whether a Prometheus is there.
  out.push_back({"GET", "/-/healthy", Lane::quick, [](const auto&, const Segments&) {
                   return text_answer(200, "Prometheus Server is Healthy.\n");
                 }});
  out.push_back({"GET", "/-/ready", Lane::quick, [this](const auto&, const Segments&) {
                   if (deps_.ready && !deps_.ready())
                     return text_answer(503, "Service Unavailable\n");
                   return text_answer(200, "Prometheus Server is Ready.\n");
                 }});
  // Asked for by dashboards; this server has no exemplars, rules or alerts.
  const auto none = [](std::string_view data) {
    return [data](const net::HttpRequest&, const Segments&) {
      return json_answer(200, success_json(data));
    };
  };
  get_and_post("/api/v1/query_exemplars", &PrometheusApi::exemplars);
  get_and_post("/api/v1/parse_query", &PrometheusApi::parsed);
  get("/api/v1/rules", Lane::quick, none("{\"groups\":[]}"));
  get("/api/v1/alerts", Lane::quick, none("{\"alerts\":[]}"));
  return out;
}

net::HttpResponse PrometheusApi::instant(const net::HttpRequest& request) const {
  const Parameters parameters(request);
  const auto limit = limit_of(parameters);
  if (!limit) return bad_data(limit.error());
  const auto time = time_of(parameters, "time", deps_.clock.wall_ms());
  if (!time) return bad_data(time.error());
  auto options = eval_options(parameters, options_.query_timeout_ms, deps_.clock);
  if (!options) return bad_data(options.error());
  if (request.client_gone)
    options->canceled = [gone = request.client_gone] { return gone->load(); };
  return query_answered(
      promql::instant(deps_.queryable, parameters.get("query"), *time, *options, deps_.clock),
      *limit);
}

net::HttpResponse PrometheusApi::range(const net::HttpRequest& request) const {
  const Parameters parameters(request);
  const auto limit = limit_of(parameters);
  if (!limit) return bad_data(limit.error());
  const auto times = range_times(parameters);
  if (!times) return bad_data(times.error());
  auto options = eval_options(parameters, options_.query_timeout_ms, deps_.clock);
  if (!options) return bad_data(options.error());
  if (request.client_gone)
    options->canceled = [gone = request.client_gone] { return gone->load(); };
  options->helpers = deps_.query_helpers;
  options->slices = deps_.query_slices;
  return query_answered(promql::range(deps_.queryable, parameters.get("query"), times->start_ms,
                                      times->end_ms, times->step_ms, *options, deps_.clock),
                        *limit);
}

// No exemplars are kept. The request is checked anyway, so that mistakes are reported.
net::HttpResponse PrometheusApi::exemplars(const net::HttpRequest& request) const {
  const Parameters parameters(request);
  const auto from = time_of(parameters, "start", 0);
  if (!from) return bad_data(from.error());
  const auto to = time_of(parameters, "end", deps_.clock.wall_ms());
  if (!to) return bad_data(to.error());
  if (*to < *from)
    return bad_data(invalid_parameter("end", "end timestamp must not be before start timestamp"));
  const auto text = promql::format(parameters.get("query"));
  if (!text) return failed(text.error());
  return json_answer(200, success_json("[]"));
}

net::HttpResponse PrometheusApi::parsed(const net::HttpRequest& request) const {
  const auto tree = promql::parse(Parameters(request).get("query"), true);
  if (!tree) return failed(tree.error());
  return json_answer(200, success_json(ast_json(**tree)));
}

net::HttpResponse PrometheusApi::series(const net::HttpRequest& request) const {
  const Parameters parameters(request);
  if (parameters.all("match[]").empty()) return bad_data("no match[] parameter provided");
  const auto limit = limit_of(parameters);
  if (!limit) return bad_data(limit.error());
  const auto wanted = selections(parameters);
  if (!wanted) return bad_data(wanted.error());
  const auto found = united<Labels>(
      *wanted, [&](const auto& selection) { return deps_.queryable.series(selection); });
  if (!found) return prometheus_error(found.error());
  std::string out = "[";
  std::size_t count = 0;
  for (const auto& one : *found) {
    if (*limit > 0 && count == *limit) break;
    if (count++ > 0) out += ',';
    append_labels(out, one);
  }
  return json_answer(200, success_json(out + "]", truncation(found->size(), *limit)));
}

net::HttpResponse PrometheusApi::label_names(const net::HttpRequest& request) const {
  const Parameters parameters(request);
  const auto limit = limit_of(parameters);
  if (!limit) return bad_data(limit.error());
  const auto wanted = selections(parameters);
  if (!wanted) return bad_data(wanted.error());
  const auto found = united<std::string>(
      *wanted, [&](const auto& selection) { return deps_.queryable.label_names(selection); });
  if (!found) return prometheus_error(found.error());
  return json_answer(200,
                     success_json(json_texts(*found, *limit), truncation(found->size(), *limit)));
}

net::HttpResponse PrometheusApi::label_values(const net::HttpRequest& request,
                                              const std::string& label) const {
  const Parameters parameters(request);
  const auto limit = limit_of(parameters);
  if (!limit) return bad_data(limit.error());
  const auto wanted = selections(parameters);
  if (!wanted) return bad_data(wanted.error());
  const auto name = unescaped_label_name(label);
  const auto found = united<std::string>(*wanted, [&](const auto& selection) {
    return deps_.queryable.label_values(name, selection);
  });
  if (!found) return prometheus_error(found.error());
  return json_answer(200,
                     success_json(json_texts(*found, *limit), truncation(found->size(), *limit)));
}

net::HttpResponse PrometheusApi::metadata(const net::HttpRequest& request) const {
  const Parameters parameters(request);
  const auto limit = parameters.integer("limit", -1);
  if (!limit) return bad_data("limit must be a number");
  const auto per_metric = parameters.integer("limit_per_metric", -1);
  if (!per_metric) return bad_data("limit_per_metric must be a number");
  const auto wanted = parameters.get("metric");
  std::map<std::string, std::vector<MetricMetadata>> by_name;
  for (auto& metric : deps_.holdings.metadata()) {
    if (wanted.empty() || metric.name == wanted) by_name[metric.name].push_back(std::move(metric));
  }
  std::string out = "{";
  std::int64_t count = 0;
  for (const auto& [name, metrics] : by_name) {
    if (*limit >= 0 && count == *limit) break;
    if (count++ > 0) out += ',';
    append_json_string(out, name);
    out += ":[";
    std::int64_t shown = 0;
    for (const auto& metric : metrics) {
      if (*per_metric > 0 && shown == *per_metric) break;
      if (shown++ > 0) out += ',';
      append_metadata(out, metric);
    }
    out += ']';
  }
  return json_answer(200, success_json(out + "}"));
}

net::HttpResponse PrometheusApi::build_info() const {
  std::string out = "{\"version\":";
  append_json_string(out, kPrometheusVersion);
  out += ",\"revision\":";
  append_json_string(out, "coalmine " + options_.version);
  // No "features": clients take a server that lists any for another product.
  return json_answer(
      200, success_json(out + R"(,"branch":"","buildUser":"","buildDate":"","goVersion":""})"));
}

} // namespace coalmine::serve
