// SPDX-License-Identifier: Apache-2.0
#include "serve/dispatch.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <exception>

#include "base/log.h"
#include "serve/answer.h"
#include "serve/assets.h"

namespace coalmine::serve {
namespace {

// Paths below these are never views of the page.
constexpr std::array<std::string_view, 3> kApis = {"/api/", "/v1/", "/tempo/"};

bool is_prometheus(const net::HttpRequest& request) { return request.path.starts_with("/api/"); }

bool is_api(const net::HttpRequest& request) {
  return std::ranges::any_of(kApis, [&](auto prefix) { return request.path.starts_with(prefix); });
}

bool is_otlp(const net::HttpRequest& request) {
  constexpr std::array<std::string_view, 3> kPaths = {"/v1/traces", "/v1/metrics", "/v1/logs"};
  return request.method == "POST" && std::ranges::find(kPaths, request.path) != kPaths.end();
}

// An error answer in the form of the requested API.
net::HttpResponse in_form(const net::HttpRequest& request, const Error& error) {
  return is_prometheus(request) ? prometheus_error(error) : error_answer(error);
}

} // namespace

Dispatch::Dispatch(const Options& options, const Deps& deps, net::Endpoint bound)
    : deps_(deps),
      guard_(options, std::move(bound)),
      prometheus_(options, deps),
      own_(options, deps),
      page_(assets()),
      paths_(all_routes()) {}

std::vector<Route> Dispatch::all_routes() const {
  std::vector<Route> all = {
      {"GET", "/healthz", Lane::quick,
       [](const auto&, const Segments&) { return text_answer(200, "ok\n"); }},
      {"GET", "/readyz", Lane::quick,
       [this](const auto&, const Segments&) {
         return deps_.ready && !deps_.ready() ? text_answer(503, "not ready\n")
                                              : text_answer(200, "ready\n");
       }},
      {"GET", "/metrics", Lane::quick,
       [this](const auto&, const Segments&) {
         return text_answer(200, deps_.metrics.render(),
                            "text/plain; version=0.0.4; charset=utf-8");
       }},
  };
  if (deps_.remote_write) {
    all.push_back({"POST", "/api/v1/write", Lane::ingest,
                   [this](const net::HttpRequest& request, const Segments&) {
                     return deps_.remote_write(request);
                   }});
  }
  std::ranges::move(prometheus_.routes(), std::back_inserter(all));
  std::ranges::move(own_.routes(), std::back_inserter(all));
  return all;
}

Lane Dispatch::lane(const net::HttpRequest& request) const {
  const auto found = paths_.find(request.method, request.path);
  return found.route == nullptr ? Lane::quick : found.route->lane;
}

std::optional<net::HttpResponse> Dispatch::refusal(const net::HttpRequest& request) const {
  const auto allowed = guard_.check(request);
  if (allowed) return std::nullopt;
  auto refused = in_form(request, allowed.error());
  if (allowed.error().code == ErrorCode::unauthenticated) {
    // Basic makes a browser ask for it; its password is the token.
    refused.headers.emplace_back("WWW-Authenticate", "Bearer");
    refused.headers.emplace_back("WWW-Authenticate", "Basic realm=\"coalmine\", charset=\"UTF-8\"");
  }
  harden(refused);
  return refused;
}

net::HttpResponse Dispatch::busy(const net::HttpRequest& request, const std::string& why) const {
  auto answer = in_form(request, {ErrorCode::unavailable, why});
  answer.headers.emplace_back("Retry-After", "1");
  harden(answer);
  count(request, answer);
  return answer;
}

// Telemetry that came to the API is told where it belongs before anything else is asked of it.
net::HttpResponse Dispatch::misdirected(const net::HttpRequest& request) const {
  const auto what = fmt::format(
      "this is coalmine's API; OTLP/HTTP goes to the OTLP/HTTP port, 4318 by default: "
      "POST {} there",
      request.path);
  if (deps_.misdirected) deps_.misdirected->note("api", request.peer, what);
  auto answer = error_answer({ErrorCode::not_found, what});
  harden(answer);
  return answer;
}

net::HttpResponse Dispatch::handle(const net::HttpRequest& request) const {
  if (is_otlp(request)) return misdirected(request);
  if (auto refused = refusal(request)) return std::move(*refused);
  net::HttpResponse answer;
  try {
    answer = route(request);
  } catch (const std::exception& e) {
    // The edge where exceptions of libraries end (out of memory among them).
    log_error("request failed", {{"path", request.path}, {"what", e.what()}});
    answer = in_form(request,
                     {ErrorCode::internal, fmt::format("{} failed: {}", request.path, e.what())});
  }
  count(request, answer);
  compress(request, answer);
  harden(answer);
  return answer;
}

net::HttpResponse Dispatch::route(const net::HttpRequest& request) const {
  const auto found = paths_.find(request.method, request.path);
  if (found.route != nullptr) return found.route->handler(request, found.segments);
  const bool reads = request.method == "GET" || request.method == "HEAD";
  if (found.allow.empty() && reads && !is_api(request)) return page_.answer(request);
  return unknown(request, found.allow);
}

net::HttpResponse Dispatch::unknown(const net::HttpRequest& request,
                                    const std::string& allow) const {
  if (allow.empty()) {
    return in_form(request, {ErrorCode::not_found,
                             fmt::format("there is no {} {}; docs/http-api.md lists all paths",
                                         request.method, request.path)});
  }
  auto answer =
      in_form(request, {ErrorCode::invalid_argument,
                        fmt::format("{} takes {}, not {}", request.path, allow, request.method)});
  answer.status = 405;
  answer.headers.emplace_back("Allow", allow);
  return answer;
}

void Dispatch::count(const net::HttpRequest& request, const net::HttpResponse& answer) const {
  if (!is_prometheus(request) || request.path == "/api/v1/write") return;
  deps_.metrics
      .counter("coalmine_queries_total", "Requests to the Prometheus API by HTTP status.",
               {{"code", fmt::format("{}", answer.status)}})
      .add();
}

} // namespace coalmine::serve
