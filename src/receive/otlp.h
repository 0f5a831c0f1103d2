// OTLP payloads to Batch. Pure functions; any thread. Used by the receiver, the fuzz targets and
// the benchmarks.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "base/result.h"
#include "receive/receiver.h"
#include "telemetry/batch.h"

namespace coalmine::receive {

class SeriesCache;

enum class Signal { traces, metrics, logs };
enum class Encoding { protobuf, json };

// Parts of the payload that were left out (zero ids, unspecified temporality …); reported as
// partial success.
struct Decoded {
  Batch batch;
  std::size_t rejected = 0; // spans, data points or log records, by signal
  std::string reason;       // one sentence, "" when nothing was rejected
  // Further numbers, for the counters at /metrics.
  std::size_t items = 0;         // spans, data points or log records in the payload, kept or not
  std::size_t logs_not_kept = 0; // accepted, but neither an exception nor an error of a trace
  std::size_t dropped_attributes = 0; // beyond Limits::max_attributes, or without a key
  std::size_t cut_values = 0;         // beyond Limits::max_value_bytes or max_depth
  // Short reason (bad_id, no_temporality …) -> number of items.
  std::map<std::string, std::size_t, std::less<>> rejected_by;
};

// payload: an Export*ServiceRequest, inflated. sender: the peer's address without port, for
// resources without any instance id. invalid_argument: not decodable (the message says at which
// byte or key). resource_exhausted: decodes to far more memory than the limits allow for. Views
// into payload do not survive the call. cache: filled by earlier payloads, for protobuf; may be
// null; always used with the same limits.
Result<Decoded> decode(Signal signal, Encoding encoding, std::string_view payload,
                       std::string_view sender, std::int64_t now_ms, const Limits& limits,
                       SeriesCache* cache = nullptr);

// The one bounded inflate for both protocols. encoding: gzip, deflate, zstd, identity or ""; others
// fail invalid_argument. resource_exhausted as soon as a limit is passed, without having allocated
// more than the limit.
Result<std::string> inflate(std::string_view body, std::string_view encoding, const Limits& limits);

} // namespace coalmine::receive
