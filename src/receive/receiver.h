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

namespace coalmine::receive {

// What a request may cost at most. Over a size limit: HTTP 413, gRPC RESOURCE_EXHAUSTED, both
// without retry.
struct Limits {
  std::size_t max_wire_bytes = 64u << 20;
  std::size_t max_inflated_bytes = 64u << 20;
  double max_inflate_ratio = 200; // checked beyond the first MiB
  int max_depth = 64;             // nesting of AnyValue and of JSON
  std::size_t max_attributes =
      512; // per span, point, resource or record; the rest is dropped and counted
  std::size_t max_value_bytes = 64u
                                << 10; // of one attribute value; longer ones are cut and counted
};

struct Options {
  net::Endpoint grpc{"127.0.0.1", 4317};
  net::Endpoint http{"127.0.0.1", 4318};
  Limits limits;
  std::size_t threads = 2; // decode and append
  std::size_t queue_limit =
      256; // requests waiting; more answers retryable (429 with Retry-After, UNAVAILABLE)
  std::string bearer_token; // "": none asked for
};

// Both listeners and the decode pool. Destruction stops the listeners, then finishes what was
// accepted.
class Receiver {
 public:
  static Result<std::unique_ptr<Receiver>> start(Options options, store::Store& store,
                                                 const Clock& clock, SelfMetrics& metrics);
  virtual ~Receiver() = default;
  virtual net::Endpoint grpc_endpoint() const = 0;
  virtual net::Endpoint http_endpoint() const = 0;
};

} // namespace coalmine::receive
