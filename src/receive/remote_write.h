// Prometheus remote write 1.0 in: POST bodies of snappy-compressed prometheus.WriteRequest to a
// Batch and into the store, by the same path as OTLP metrics. Protocol:
// prometheus.io/docs/specs/prw/remote_write_spec.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <map>
#include <mutex>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/result.h"
#include "base/self_metrics.h"
#include "net/http.h"
#include "receive/receiver.h"
#include "store/store.h"
#include "telemetry/batch.h"

namespace coalmine::receive {

// The contents of a WriteRequest, and the counts of items not kept.
struct WriteDecoded {
  Batch batch;
  std::size_t samples = 0;   // floats, staleness markers and histograms in the payload
  std::size_t exemplars = 0; // read and not kept
  std::size_t rejected = 0;  // samples of series that cannot be kept
  std::string reason;        // of the first of them
  std::map<std::string, std::string> help; // metric family -> its help text
};

// payload: inflated. invalid_argument when it is not a WriteRequest. Pure; any thread.
// The resource of a series is made of its labels that resources have (PromotedAttributes).
Result<WriteDecoded> decode_remote_write(std::string_view payload, std::int64_t now_ms,
                                         const Limits& limits);

// Answers one request, whoever listens: 204 when all is kept, 400 when some item can never be kept
// (the sender drops the request), 5xx when sending again is right. Any thread, several at once.
// Borrows store, clock and metrics.
class RemoteWrite {
 public:
  RemoteWrite(Limits limits, store::Store& store, const Clock& clock, SelfMetrics& metrics)
      : limits_(limits), store_(store), clock_(clock), metrics_(metrics) {}

  net::HttpResponse handle(const net::HttpRequest& request);

 private:
  net::HttpResponse answer(const net::HttpRequest& request);
  Result<WriteDecoded> read(const net::HttpRequest& request);
  void remember(WriteDecoded& decoded);

  const Limits limits_;
  store::Store& store_;
  const Clock& clock_;
  SelfMetrics& metrics_;
  std::mutex mutex_;                        // guards help_
  std::map<std::string, std::string> help_; // family -> help; comes in requests without samples
};

} // namespace coalmine::receive
