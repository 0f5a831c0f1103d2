// OTLP in: gRPC and HTTP, protobuf and JSON, decoded by streaming visitors into a Batch and
// appended to the store. Protocol: opentelemetry.io/docs/specs/otlp 1.11.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <memory>
#include <optional>

#include "base/clock.h"
#include "base/result.h"
#include "base/self_metrics.h"
#include "net/http_server.h"
#include "store/store.h"
#include "telemetry/resource.h"

namespace coalmine::receive {

// What is read of one request, and how much. Over a size limit: HTTP 413, gRPC RESOURCE_EXHAUSTED,
// both without retry.
struct Limits {
  std::size_t max_wire_bytes = 64u << 20;
  std::size_t max_inflated_bytes = 64u << 20;
  double max_inflate_ratio = 200; // checked beyond the first MiB
  int max_depth = 64;             // nesting of AnyValue and of JSON
  // Per span, point, resource or record. More are dropped and counted.
  std::size_t max_attributes = 512;
  // One attribute value. Longer ones are cut and counted.
  std::size_t max_value_bytes = 64u << 10;
  PromotedAttributes promoted; // the resource attributes that become labels
};

struct Options {
  net::Endpoint grpc{"127.0.0.1", 4317};
  net::Endpoint http{"127.0.0.1", 4318};
  Limits limits;
  std::size_t threads = 2; // decode and append
  // Waiting requests. More are answered as retryable (429 with Retry-After, UNAVAILABLE).
  std::size_t queue_limit = 256;
  std::string bearer_token;                                       // "": no token is needed
  std::shared_ptr<net::MisdirectedSenders> misdirected = nullptr; // null: nobody is told of them
};

// Both listeners and the decode pool. Destruction stops the listeners, then finishes the accepted
// requests.
class Receiver {
 public:
  static Result<std::unique_ptr<Receiver>> start(Options options, store::Store& store,
                                                 const Clock& clock, SelfMetrics& metrics);
  virtual ~Receiver() = default;
  virtual net::Endpoint grpc_endpoint() const = 0;
  virtual net::Endpoint http_endpoint() const = 0;
};

} // namespace coalmine::receive
