// The seed's `canary.analysis` span: every look and every single analysis, exported as OTLP like
// any other telemetry.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <optional>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/guarded.h"
#include "base/self_metrics.h"
#include "base/timer.h"
#include "judge/judge.h"
#include "net/http_client.h"
#include "rollout/json.h"

namespace coalmine::app {

struct SpanStamp {
  std::array<char, 16> trace_id{};
  std::array<char, 8> span_id{};
  std::uint64_t time_ns = 0; // the analysis took place at this moment
  std::string version;       // of coalmine
};

// One ExportTraceServiceRequest with one span, protobuf. Pure.
//   resource    service.name=canary-analyzer, service.version
//   scope       canary-analyzer
//   span        canary.analysis, INTERNAL (so that no request counts are derived from it), with
//               canary.service canary.version canary.stable_version
//               canary.error_rate.canary canary.error_rate.stable canary.error_rate.passed
//               canary.p99.canary_ms canary.p99.stable_ms canary.p99.passed
//               canary.decision canary.analysis_duration_min canary.reason
// What is not known (no data yet) is left out rather than sent as 0; passed is there once a signal
// was judged.
std::string encode_analysis_span(const rollout::VerdictContext& context,
                                 const judge::Judgement& judgement, const SpanStamp& stamp);

// Sends the spans, off the caller's path and many in a request: record never blocks, and when the
// receiver is slow the newest spans are dropped and counted. Any thread. Destruction sends what
// waits, unless the endpoint has stopped answering.
class AnalysisSpans {
 public:
  struct Options {
    std::string endpoint; // http://127.0.0.1:4318; /v1/traces is added
    std::string bearer_token;
    std::string version;
    std::chrono::milliseconds interval{1000}; // between requests
  };
  // http, clock and metrics must outlive it.
  AnalysisSpans(Options options, net::HttpClient& http, const Clock& clock, SelfMetrics& metrics);
  ~AnalysisSpans();

  void record(const rollout::VerdictContext& context, const judge::Judgement& judgement);

 private:
  struct Waiting {
    std::mt19937_64 random{std::random_device{}()}; // of ids
    std::vector<std::string> spans;                 // encoded requests of one span each
  };
  void send_waiting();
  void send(std::span<const std::string> spans);

  const Options options_;
  net::HttpClient& http_;
  const Clock& clock_;
  Counter& exported_;
  Counter& failed_;
  Counter& dropped_;
  Guarded<Waiting> waiting_;
  bool answering_ =
      true; // of whoever sends; false after a failure, so that one line is logged for an outage
  std::atomic<bool> stopping_{false};
  std::optional<Timer> timer_; // last: it uses everything above
};

} // namespace coalmine::app
