// Unary gRPC over HTTP/2 (nghttp2 inside): path, 5-byte frames, trailers. No gRPC runtime.
// Protocol: gRPC "PROTOCOL-HTTP2.md".
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "base/result.h"
#include "base/self_metrics.h"
#include "net/http.h"
#include "net/http_server.h"

namespace coalmine::net {

// grpc-status numbers.
enum class GrpcStatus : int {
  ok = 0,
  cancelled = 1,
  unknown = 2,
  invalid_argument = 3,
  deadline_exceeded = 4,
  not_found = 5,
  already_exists = 6,
  permission_denied = 7,
  resource_exhausted = 8,
  failed_precondition = 9,
  aborted = 10,
  out_of_range = 11,
  unimplemented = 12,
  internal = 13,
  unavailable = 14,
  data_loss = 15,
  unauthenticated = 16,
};
std::string_view to_string(GrpcStatus status); // OK, INVALID_ARGUMENT …
GrpcStatus to_grpc(ErrorCode code);
int to_http(ErrorCode code); // resource_exhausted is 413, unavailable 503: see the definition

struct GrpcRequest {
  std::string path;    // /opentelemetry.proto.collector.trace.v1.TraceService/Export
  Headers headers;     // metadata, lower-case names
  std::string message; // one message, without the 5-byte prefix, still compressed when `compressed`
  bool compressed = false;
  std::string encoding; // grpc-encoding: gzip …
  std::string peer;
};

struct GrpcResponse {
  GrpcStatus status = GrpcStatus::ok;
  std::string status_message = {}; // percent-encoded by the server
  // A serialized google.rpc.Status, sent as grpc-status-details-bin when not empty.
  std::string status_details = {};
  std::string message = {}; // serialized reply; only with ok
};

class MisdirectedSenders;

class GrpcServer {
 public:
  struct Options {
    Endpoint listen = {};
    std::size_t max_message = 64u << 20; // bytes on the wire; more answers RESOURCE_EXHAUSTED
    std::size_t max_connections = 1024;
    std::uint32_t max_streams = 128;              // per connection
    std::size_t max_in_flight_bytes = 256u << 20; // more answers UNAVAILABLE
    std::string name = "grpc";
    // For the preface, and for a request to arrive whole; then DEADLINE_EXCEEDED.
    std::chrono::seconds request_timeout{60};
    // Without a byte from the client (its pings count); then GOAWAY.
    std::chrono::seconds idle_timeout{1800};
    std::shared_ptr<MisdirectedSenders> misdirected = nullptr; // told who speaks no gRPC
  };
  // Called exactly once, from any thread; dropping it unused answers INTERNAL. When the client is
  // gone, it does nothing.
  using Reply = std::move_only_function<void(GrpcResponse)>;
  // Runs on the server's I/O thread: must be quick, or hand the work to a pool.
  using Handler = std::function<void(GrpcRequest, Reply)>;

  // A client that speaks HTTP/1 here gets an HTTP/1.1 400 that says so. Errors as
  // HttpServer::start.
  static Result<std::unique_ptr<GrpcServer>> start(Options options, Handler handler,
                                                   SelfMetrics& metrics);
  virtual ~GrpcServer() = default;
  virtual Endpoint endpoint() const = 0;
};

} // namespace coalmine::net
