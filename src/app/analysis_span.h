// The seed's `canary.analysis` span: every look and every single analysis becomes a span, stored
// here or exported as OTLP.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/guarded.h"
#include "base/result.h"
#include "base/self_metrics.h"
#include "base/timer.h"
#include "judge/judge.h"
#include "net/http_client.h"
#include "rollout/json.h"
#include "store/store.h"
#include "telemetry/span.h"

namespace coalmine::app {

struct SpanStamp {
  TraceId trace_id{};
  SpanId span_id{};
  std::uint64_t time_ns = 0; // the moment of the analysis; start and end of the span
};

// The service.name of these spans.
inline constexpr std::string_view kAnalyzer = "canary-analyzer";

// The resource of these spans: service.name=kAnalyzer, service.version=version. Its instance
// is 127.0.0.1, as if the receiver had got them over loopback.
std::shared_ptr<const Resource> analysis_resource(const std::string& version);

// The span of one analysis. Pure.
//   canary.analysis, INTERNAL (so that no request counts are derived from it), with
//   canary.service canary.version canary.stable_version
//   canary.error_rate.canary canary.error_rate.stable canary.error_rate.passed
//   canary.p99.canary_ms canary.p99.stable_ms canary.p99.passed
//   canary.decision canary.analysis_duration_min canary.reason
// A number that is not known (no data yet) is left out rather than sent as 0; passed is there once
// a signal was judged.
Span make_analysis_span(std::shared_ptr<const Resource> resource,
                        const rollout::VerdictContext& context, const judge::Judgement& judgement,
                        const SpanStamp& stamp);

// One ExportTraceServiceRequest, protobuf. The scope is canary-analyzer with the version of the
// first span's resource; all spans have the same resource. Pure.
std::string encode_analysis_spans(const std::vector<Span>& spans);

// Where AnalysisSpans delivers. deliver() runs on one thread at a time.
class SpanTarget {
 public:
  virtual ~SpanTarget() = default;
  // The target's name, for the log.
  virtual std::string name() const = 0;
  // All spans have the same resource. An error: none of them was taken.
  virtual Status deliver(const std::vector<Span>& spans) = 0;
};

// Posts to url/v1/traces, OTLP/HTTP; blocks for 2 s at most. http must outlive it.
std::unique_ptr<SpanTarget> make_endpoint_target(std::string url, net::HttpClient& http);

// Appends to the embedded store, without the way over our own listener. store and clock must
// outlive it.
std::unique_ptr<SpanTarget> make_store_target(store::Store& store, const Clock& clock);

// Delivers the spans on a thread of its own, many at once. record() never blocks: when the target
// is slow, the newest spans are dropped and counted. Any thread. Destruction delivers the waiting
// spans, unless the target has stopped answering.
class AnalysisSpans {
 public:
  struct Options {
    std::string version;                      // of coalmine
    std::chrono::milliseconds interval{1000}; // between deliveries
  };
  // clock and metrics must outlive it.
  AnalysisSpans(const Options& options, std::unique_ptr<SpanTarget> target, const Clock& clock,
                SelfMetrics& metrics);
  ~AnalysisSpans();

  void record(const rollout::VerdictContext& context, const judge::Judgement& judgement);

 private:
  struct Waiting {
    std::mt19937_64 random{std::random_device{}()}; // of ids
    std::vector<Span> spans;
  };
  SpanStamp stamp();
  void deliver_waiting();
  void deliver(const std::vector<Span>& spans);

  // Constant after construction.
  const std::shared_ptr<const Resource> resource_;
  const std::unique_ptr<SpanTarget> target_;
  const Clock& clock_;
  // With their own synchronisation.
  Counter& exported_;
  Counter& failed_;
  Counter& dropped_;
  Guarded<Waiting> waiting_;
  std::atomic<bool> stopping_{false};
  // The delivering thread's. False after a failure, so that an outage is logged once.
  bool answering_ = true;
  std::optional<Timer> timer_; // last: it uses everything above
};

} // namespace coalmine::app
