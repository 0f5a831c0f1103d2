// A recording: samples in a text file, to be judged without any server. The format is OpenMetrics
// text with timestamps, one sample a line, as `promtool tsdb create-blocks-from openmetrics` reads
// and `promtool tsdb dump-openmetrics` writes it:
//
//   http_server_request_total{service_name="shop",deployment_track="canary"} 1027 1700000000.123
//   # EOF
//
// A name that Prometheus did not allow before UTF-8 names is in quotes, that of the metric inside
// the braces: {"http.server.request_total","service.name"="shop"} 1027 1700000000.123
//
// Timestamps are seconds with a fraction; from 1e11 on they are read as milliseconds (the older
// text format). Comments and exemplars are skipped. Samples of one series ascend in time; lines of
// different series may be mixed.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"
#include "promql/eval/memory_queryable.h"

namespace coalmine::datasource {

inline constexpr std::size_t kMaxRecordingBytes = 1u << 30;
inline constexpr std::size_t kMaxRecordingSamples = 20'000'000;

struct Recording {
  promql::MemoryQueryable data;
  std::int64_t first_ms = 0;
  std::int64_t last_ms = 0; // of all samples; 0: there are none
  std::size_t samples = 0;
};

// invalid_argument names the line. For untrusted input.
Result<std::unique_ptr<Recording>> parse_recording(std::string_view text);
Result<std::unique_ptr<Recording>> read_recording(const std::string& path);

} // namespace coalmine::datasource
