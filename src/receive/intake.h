// One OTLP request, whatever it came over: inflate, decode, append to the store, count.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/result.h"
#include "base/self_metrics.h"
#include "receive/otlp.h"
#include "receive/series_cache.h"
#include "store/store.h"

namespace coalmine::receive {

// One request's payload as it arrived.
struct Delivery {
  Signal signal = Signal::traces;
  Encoding encoding = Encoding::protobuf;
  std::string body;
  std::string compression; // gzip, …; "" none
  std::string peer;        // host:port
};

// The answer to the client of an accepted request.
struct Accepted {
  std::size_t rejected = 0;
  std::string message; // one sentence, "" when nothing was rejected
};

// Runs on the decode pool, several threads at once. Borrows store, clock and metrics.
class Intake {
 public:
  Intake(Limits limits, store::Store& store, const Clock& clock, SelfMetrics& metrics)
      : limits_(limits), store_(store), clock_(clock), metrics_(metrics) {}

  // Returns once the store has all items that were not rejected. Errors as decode, inflate and
  // Store::append give them; never throws.
  Result<Accepted> take(const Delivery& delivery);

  // How a request ended. protocol: http or grpc; signal: traces, metrics, logs, or "" for a path
  // that is none; code: 200, OK …
  void count_request(std::string_view protocol, std::string_view signal, std::string_view code);
  const Limits& limits() const { return limits_; }

 private:
  Result<Accepted> decode_and_append(const Delivery& delivery);
  void count(Signal signal, const Decoded& decoded, std::size_t rejected_by_store);

  const Limits limits_;
  store::Store& store_;
  const Clock& clock_;
  SelfMetrics& metrics_;
  SeriesCache cache_;
};

// gzip's first two bytes, which no OTLP request in protobuf or JSON starts with: some clients
// compress and do not say so.
bool looks_gzipped(std::string_view body);
// The peer without its port: 127.0.0.1:5 -> 127.0.0.1, [::1]:5 -> ::1.
std::string_view host_of(std::string_view peer);
// "Bearer X" carries the token; compares in constant time. An empty token lets everyone in.
bool authorized(std::string_view authorization, std::string_view token);

} // namespace coalmine::receive
