// SPDX-License-Identifier: Apache-2.0
#include "serve/dispatch.h"

#include <fmt/format.h>
#include <zlib.h>

#include <exception>

#include "base/log.h"
#include "serve/assets.h"
#include "serve/prometheus_json.h"

namespace coalmine::serve {
namespace {

constexpr std::size_t kWorthCompressing = 4096;

net::HttpResponse text(int status, std::string body, std::string_view type = "text/plain; charset=utf-8") {
  return {.status = status, .headers = {{"Content-Type", std::string(type)}}, .body = std::move(body)};
}

void gzip_if_worth_it(const net::HttpRequest& request, net::HttpResponse& response) {
  if (response.body.size() < kWorthCompressing || net::header(request.headers, "Accept-Encoding").find("gzip") == std::string_view::npos) return;
  z_stream stream{};
  constexpr int kGzipWindow = 15 + 16;
  if (deflateInit2(&stream, 1, Z_DEFLATED, kGzipWindow, 8, Z_DEFAULT_STRATEGY) != Z_OK) return;
  std::string out(deflateBound(&stream, static_cast<uLong>(response.body.size())), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(response.body.data());
  stream.avail_in = static_cast<uInt>(response.body.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  const bool done = deflate(&stream, Z_FINISH) == Z_STREAM_END;
  out.resize(stream.total_out);
  deflateEnd(&stream);
  if (!done) return;
  response.body = std::move(out);
  response.headers.emplace_back("Content-Encoding", "gzip");
  response.headers.emplace_back("Vary", "Accept-Encoding");
}

void harden(net::HttpResponse& response) {
  response.headers.emplace_back("Content-Security-Policy", "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'");
  response.headers.emplace_back("X-Content-Type-Options", "nosniff");
  response.headers.emplace_back("Referrer-Policy", "no-referrer");
}

bool is_prometheus(const net::HttpRequest& request) { return request.path.starts_with("/api/v1/"); }

} // namespace

bool is_query(const net::HttpRequest& request) { return is_prometheus(request); }

Dispatch::Dispatch(const Options& options, const Deps& deps, net::Endpoint bound)
    : deps_(deps), guard_(options, std::move(bound)), prometheus_(options, deps), own_(options, deps) {}

std::optional<net::HttpResponse> Dispatch::refusal(const net::HttpRequest& request) const {
  const auto allowed = guard_.check(request);
  if (allowed) return std::nullopt;
  auto refused = is_prometheus(request)
                     ? net::HttpResponse{.status = error_response(allowed.error()).status,
                                         .headers = {{"Content-Type", "application/json"}},
                                         .body = error_json(to_string(allowed.error().code), allowed.error().message)}
                     : error_response(allowed.error());
  if (allowed.error().code == ErrorCode::unauthenticated) refused.headers.emplace_back("WWW-Authenticate", "Bearer");
  harden(refused);
  return refused;
}

net::HttpResponse Dispatch::handle(const net::HttpRequest& request) const {
  if (auto refused = refusal(request)) return std::move(*refused);
  net::HttpResponse response;
  try {
    response = route(request);
  } catch (const std::exception& e) {
    // The edge where exceptions of libraries end (out of memory among them).
    log_error("request failed", {{"path", request.path}, {"what", e.what()}});
    response = error_response({ErrorCode::internal, fmt::format("{} failed: {}", request.path, e.what())});
  }
  gzip_if_worth_it(request, response);
  harden(response);
  return response;
}

net::HttpResponse Dispatch::route(const net::HttpRequest& request) const {
  if (request.path == "/healthz") return text(200, "ok\n");
  if (request.path == "/readyz") return deps_.ready && !deps_.ready() ? text(503, "not ready\n") : text(200, "ready\n");
  if (request.path == "/metrics") return text(200, deps_.metrics.render(), "text/plain; version=0.0.4; charset=utf-8");
  if (is_prometheus(request)) {
    auto response = prometheus_.answer(request);
    deps_.metrics.counter("coalmine_queries_total", "Requests to the Prometheus API by HTTP status.", {{"code", fmt::format("{}", response.status)}}).add();
    return response;
  }
  if (request.path.starts_with("/v1/")) return own_.answer(request);
  return page(request);
}

// Addresses of the page's own views (/r/checkout/42) are all answered by its one HTML file.
net::HttpResponse Dispatch::page(const net::HttpRequest& request) const {
  if (request.method != "GET" && request.method != "HEAD") {
    return error_response({ErrorCode::not_found, fmt::format("there is no {} {}", request.method, request.path)});
  }
  const auto* asset = find_asset(request.path);
  const bool looks_like_file = request.path.rfind('.') != std::string::npos && request.path.rfind('.') > request.path.rfind('/');
  if (asset == nullptr && !looks_like_file) asset = find_asset("/index.html");
  if (asset == nullptr) {
    if (assets().empty()) return text(200, "coalmine is running. The page was not built into this binary; ./dev build does. The API is at /v1/.\n");
    return text(404, fmt::format("there is no {}\n", request.path));
  }
  if (net::header(request.headers, "If-None-Match") == asset->etag) return {.status = 304, .headers = {{"ETag", std::string(asset->etag)}}, .body = {}};
  auto response = text(200, std::string(asset->content), content_type(asset->path));
  response.headers.emplace_back("ETag", std::string(asset->etag));
  // Files under /assets/ carry their hash in their name.
  response.headers.emplace_back("Cache-Control", asset->path.starts_with("/assets/") ? "public, max-age=31536000, immutable" : "no-cache");
  return response;
}

} // namespace coalmine::serve
