// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "base/text.h"
#include "receive/answers.h"
#include "receive/fronts.h"
#include "receive/text.h"

namespace coalmine::receive {
namespace {

std::optional<Signal> signal_of_path(std::string_view path) {
  if (path == "/v1/traces") return Signal::traces;
  if (path == "/v1/metrics") return Signal::metrics;
  if (path == "/v1/logs") return Signal::logs;
  return std::nullopt;
}

// Without parameters ("; charset=utf-8"), lower case.
std::string media_type(std::string_view value) {
  value = value.substr(0, value.find(';'));
  while (!value.empty() && (value.back() == ' ' || value.back() == '\t')) value.remove_suffix(1);
  return ascii_lower(value);
}

std::optional<Encoding> encoding_of(std::string_view type) {
  if (type == "application/x-protobuf") return Encoding::protobuf;
  if (type == "application/json") return Encoding::json;
  return std::nullopt;
}

net::HttpResponse http_error(int status, Encoding encoding, ErrorCode code,
                             std::string_view message, int retry_after_s = 0) {
  net::HttpResponse out;
  out.status = status;
  out.headers = {{"Content-Type", std::string(content_type(encoding))}};
  if (retry_after_s > 0) out.headers.emplace_back("Retry-After", fmt::format("{}", retry_after_s));
  out.body = rpc_status(encoding, grpc_code(code), message, retry_after_s);
  return out;
}

std::string wrong_type(const std::string& type) {
  if (type.starts_with("application/grpc"))
    return "this is the OTLP/HTTP port; send OTLP/gRPC to the gRPC port (4317 by default)";
  bool cut = false;
  return fmt::format(
      "the content type \"{}\" is not supported; send application/x-protobuf or application/json",
      safe_text(type, 100, cut));
}

std::string nothing_at(std::string_view path) {
  if (path == "/api/v1/write")
    return "this is the OTLP/HTTP port; Prometheus remote write goes to the API's port (7070 by "
           "default)";
  return fmt::format(
      "there is nothing at {}; OTLP/HTTP is POST /v1/traces, /v1/metrics and /v1/logs",
      short_message(path, 200));
}

} // namespace

// One request on its way.
struct HttpFront::Job {
  Delivery delivery;
  std::unique_ptr<net::Responder> responder;
};

void HttpFront::handle(net::HttpRequest request, std::unique_ptr<net::Responder> responder) {
  const auto signal = signal_of_path(request.path);
  const auto type = media_type(net::header(request.headers, "content-type"));
  const auto encoding = encoding_of(type);
  const auto answer = [&](net::HttpResponse response) {
    intake_.count_request("http", signal ? signal_name(*signal) : "",
                          fmt::format("{}", response.status));
    responder->send(std::move(response));
  };
  const auto refuse = [&](int status, ErrorCode code, std::string_view message) {
    // What is sent, and not looked at with a browser.
    if (misdirected_ && request.method == "POST")
      misdirected_->note("otlp_http", request.peer, message);
    return http_error(status, encoding.value_or(Encoding::json), code, message);
  };
  if (!signal) return answer(refuse(404, ErrorCode::not_found, nothing_at(request.path)));
  if (request.method != "POST") {
    auto response = refuse(405, ErrorCode::unimplemented,
                           fmt::format("{} is read with POST only", request.path));
    response.headers.emplace_back("Allow", "POST");
    return answer(std::move(response));
  }
  if (!authorized(net::header(request.headers, "authorization"), bearer_token_)) {
    auto response =
        refuse(401, ErrorCode::unauthenticated,
               "this receiver asks for a token; set the header Authorization: Bearer TOKEN");
    response.headers.emplace_back("WWW-Authenticate", "Bearer");
    return answer(std::move(response));
  }
  if (!encoding) return answer(refuse(415, ErrorCode::invalid_argument, wrong_type(type)));
  const auto compression = media_type(net::header(request.headers, "content-encoding"));
  auto job = std::make_shared<Job>(
      Job{{*signal, *encoding, std::move(request.body), compression, std::move(request.peer)},
          std::move(responder)});
  // Tasks outlive the front when the receiver ends, so they hold on to intake alone.
  const auto finish = [&intake = intake_](Job& done, net::HttpResponse response) {
    intake.count_request("http", signal_name(done.delivery.signal),
                         fmt::format("{}", response.status));
    done.responder->send(std::move(response));
  };
  const auto work = [&intake = intake_, job, finish] {
    const auto taken = intake.take(job->delivery);
    const auto& d = job->delivery;
    if (taken) {
      return finish(*job, {200,
                           {{"Content-Type", std::string(content_type(d.encoding))}},
                           export_response(d.signal, d.encoding, taken->rejected, taken->message)});
    }
    const auto& error = taken.error();
    const int status = http_code(error.code);
    finish(*job, http_error(status, d.encoding, error.code, error.message,
                            status == 503 ? kRetryStore : 0));
  };
  if (!runner_.run(job->delivery.body.size(), !compression.empty(), work)) {
    finish(*job, http_error(429, *encoding, ErrorCode::unavailable,
                            "too many requests are waiting; send again later", kRetryBusy));
  }
}

net::HttpResponse HttpFront::transport_error(int status, std::string_view message) {
  intake_.count_request("http", "", fmt::format("{}", status));
  const auto code = status == 413                    ? ErrorCode::resource_exhausted
                    : status == 429 || status == 503 ? ErrorCode::unavailable
                    : status >= 500                  ? ErrorCode::internal
                                                     : ErrorCode::invalid_argument;
  return http_error(status, Encoding::json, code, message, status == 503 ? kRetryBusy : 0);
}

} // namespace coalmine::receive
