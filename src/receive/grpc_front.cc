// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <memory>
#include <optional>
#include <protozero/pbf_reader.hpp>
#include <protozero/pbf_writer.hpp>
#include <utility>

#include "receive/answers.h"
#include "receive/fronts.h"

namespace coalmine::receive {
namespace {

using net::GrpcStatus;

constexpr std::string_view kHealthCheck = "/grpc.health.v1.Health/Check";
constexpr std::array kServices = {
    std::pair(std::string_view("opentelemetry.proto.collector.trace.v1.TraceService"),
              Signal::traces),
    std::pair(std::string_view("opentelemetry.proto.collector.metrics.v1.MetricsService"),
              Signal::metrics),
    std::pair(std::string_view("opentelemetry.proto.collector.logs.v1.LogsService"), Signal::logs),
};

std::optional<Signal> signal_of_method(std::string_view path) {
  for (const auto& [service, signal] : kServices) {
    if (path.size() == service.size() + 8 && path.starts_with('/') &&
        path.substr(1).starts_with(service) && path.ends_with("/Export")) {
      return signal;
    }
  }
  return std::nullopt;
}

net::GrpcResponse grpc_error(GrpcStatus status, std::string_view message, int retry_after_s = 0) {
  net::GrpcResponse out;
  out.status = status;
  out.status_message = short_message(message);
  // Only back-pressure carries details: RetryInfo is what makes clients try again.
  if (retry_after_s > 0)
    out.status_details = rpc_status(Encoding::protobuf, status, message, retry_after_s);
  return out;
}

// grpc.health.v1: HealthCheckRequest{service = 1: string} -> HealthCheckResponse{status = 1:
// SERVING = 1}.
net::GrpcResponse health(const net::GrpcRequest& request, const Limits& limits) {
  std::string service;
  try {
    auto message = request.compressed ? inflate(request.message, request.encoding, limits)
                                      : Result<std::string>(request.message);
    if (!message) return grpc_error(grpc_code(message.error().code), message.error().message);
    protozero::pbf_reader reader(*message);
    while (reader.next()) {
      if (reader.tag_and_type() ==
          protozero::tag_and_type(1, protozero::pbf_wire_type::length_delimited)) {
        service = reader.get_string();
      } else {
        reader.skip();
      }
    }
  } catch (const protozero::exception& e) {
    return grpc_error(GrpcStatus::invalid_argument,
                      std::string("not a HealthCheckRequest: ") + e.what());
  }
  bool known = service.empty();
  for (const auto& [name, signal] : kServices) known = known || name == service;
  if (!known)
    return grpc_error(GrpcStatus::not_found, "unknown service " + short_message(service, 200));
  net::GrpcResponse out;
  protozero::pbf_writer(out.message).add_enum(1, 1);
  return out;
}

bool known_compression(std::string_view name) {
  return name == "gzip" || name == "deflate" || name == "zstd";
}

} // namespace

// One call on its way.
struct GrpcFront::Job {
  Delivery delivery;
  net::GrpcServer::Reply reply;
};

void GrpcFront::handle(net::GrpcRequest request, net::GrpcServer::Reply reply) {
  const auto signal = signal_of_method(request.path);
  const auto answer = [&](net::GrpcResponse response) {
    intake_.count_request("grpc", signal ? signal_name(*signal) : "",
                          net::to_string(response.status));
    reply(std::move(response));
  };
  if (request.path == kHealthCheck) {
    Limits small = intake_.limits();
    small.max_inflated_bytes = std::min<std::size_t>(small.max_inflated_bytes, 4096);
    return answer(health(request, small));
  }
  const auto refuse = [&](GrpcStatus status, std::string_view message) {
    if (misdirected_) misdirected_->note("otlp_grpc", request.peer, message);
    return answer(grpc_error(status, message));
  };
  if (!signal) {
    return refuse(
        GrpcStatus::unimplemented,
        fmt::format(
            "{} is not served here; OTLP/gRPC is Export of the TraceService, MetricsService and "
            "LogsService of opentelemetry.proto.collector",
            short_message(request.path, 200)));
  }
  if (!authorized(net::header(request.headers, "authorization"), bearer_token_)) {
    return refuse(GrpcStatus::unauthenticated,
                  "this receiver asks for a token; send the metadata authorization: Bearer TOKEN");
  }
  // A message flagged as compressed without a named encoding is taken for what its first bytes say.
  std::string compression;
  if (request.compressed && request.encoding != "identity") compression = request.encoding;
  if (!compression.empty() && !known_compression(compression)) {
    return answer(
        grpc_error(GrpcStatus::unimplemented,
                   fmt::format("grpc-encoding {} is not supported; use gzip, deflate, zstd or none",
                               short_message(compression, 64))));
  }
  auto job = std::make_shared<Job>(Job{{*signal, Encoding::protobuf, std::move(request.message),
                                        compression, std::move(request.peer)},
                                       std::move(reply)});
  // Tasks outlive the front when the receiver ends, so they hold on to intake alone.
  const auto finish = [&intake = intake_](Job& done, net::GrpcResponse response) {
    intake.count_request("grpc", signal_name(done.delivery.signal),
                         net::to_string(response.status));
    done.reply(std::move(response));
  };
  const auto work = [&intake = intake_, job, finish] {
    const auto taken = intake.take(job->delivery);
    if (taken) {
      net::GrpcResponse response;
      response.message = export_response(job->delivery.signal, Encoding::protobuf, taken->rejected,
                                         taken->message);
      return finish(*job, std::move(response));
    }
    const auto status = grpc_code(taken.error().code);
    finish(*job, grpc_error(status, taken.error().message,
                            status == GrpcStatus::unavailable ? kRetryStore : 0));
  };
  if (!runner_.run(job->delivery.body.size(), request.compressed, work))
    finish(*job, grpc_error(GrpcStatus::unavailable,
                            "too many requests are waiting; send again later", kRetryBusy));
}

} // namespace coalmine::receive
