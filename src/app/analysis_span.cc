// SPDX-License-Identifier: Apache-2.0
#include "app/analysis_span.h"

#include <fmt/format.h>

#include <algorithm>
#include <protozero/pbf_writer.hpp>
#include <utility>

#include "base/log.h"

namespace coalmine::app {
namespace {

using protozero::pbf_writer;

constexpr std::size_t kMostWaiting = 4096;
constexpr std::size_t kSpansPerRequest = 512;
constexpr std::chrono::milliseconds kTimeout{2000};

// Field numbers of opentelemetry-proto (trace/v1/trace.proto, common/v1/common.proto).
enum RequestField : protozero::pbf_tag_type { kResourceSpans = 1 };
enum ResourceSpansField : protozero::pbf_tag_type { kResource = 1, kScopeSpans = 2 };
enum ResourceField : protozero::pbf_tag_type { kResourceAttributes = 1 };
enum ScopeSpansField : protozero::pbf_tag_type { kScope = 1, kSpans = 2 };
enum ScopeField : protozero::pbf_tag_type { kScopeName = 1, kScopeVersion = 2 };
enum SpanField : protozero::pbf_tag_type {
  kTraceId = 1,
  kSpanId = 2,
  kName = 5,
  kKind = 6,
  kStart = 7,
  kEnd = 8,
  kAttributes = 9
};
enum KeyValueField : protozero::pbf_tag_type { kKey = 1, kValue = 2 };
enum AnyValueField : protozero::pbf_tag_type { kString = 1, kBool = 2, kDouble = 4 };
constexpr int kKindInternal = 1;

// Writes KeyValue messages into one field of one message.
class AttributeWriter {
 public:
  AttributeWriter(pbf_writer& parent, protozero::pbf_tag_type field)
      : parent_(parent), field_(field) {}

  void text(std::string_view key, std::string_view value) {
    write(key, [&](pbf_writer& any) { any.add_string(kString, value.data(), value.size()); });
  }
  void number(std::string_view key, double value) {
    write(key, [&](pbf_writer& any) { any.add_double(kDouble, value); });
  }
  void number(std::string_view key, const std::optional<double>& value) {
    if (value) number(key, *value);
  }
  void flag(std::string_view key, bool value) {
    write(key, [&](pbf_writer& any) { any.add_bool(kBool, value); });
  }

 private:
  template <typename F>
  void write(std::string_view key, F&& value) {
    pbf_writer pair(parent_, field_);
    pair.add_string(kKey, key.data(), key.size());
    pbf_writer any(pair, kValue);
    value(any);
  }

  pbf_writer& parent_;
  const protozero::pbf_tag_type field_;
};

const judge::SignalVerdict* whole_service(const judge::Judgement& judgement,
                                          std::string_view name) {
  for (const auto& signal : judgement.signals) {
    if (signal.subject.route.empty() && signal.subject.signal == name) return &signal;
  }
  return nullptr;
}

bool judged(const judge::SignalVerdict& signal) {
  return signal.verdict == judge::Verdict::pass || signal.verdict == judge::Verdict::regression;
}

void write_attributes(pbf_writer& span, const rollout::VerdictContext& context,
                      const judge::Judgement& judgement) {
  AttributeWriter out(span, kAttributes);
  out.text("canary.service", context.service);
  out.text("canary.version", context.canary_version);
  out.text("canary.stable_version", context.stable_version);
  if (const auto* errors = whole_service(judgement, "error_rate")) {
    out.number("canary.error_rate.canary", errors->measured.canary);
    out.number("canary.error_rate.stable", errors->measured.stable);
    if (judged(*errors))
      out.flag("canary.error_rate.passed", errors->verdict == judge::Verdict::pass);
  }
  if (const auto* p99 = whole_service(judgement, "p99_latency")) {
    out.number("canary.p99.canary_ms", p99->measured.canary);
    out.number("canary.p99.stable_ms", p99->measured.stable);
    if (judged(*p99)) out.flag("canary.p99.passed", p99->verdict == judge::Verdict::pass);
  }
  out.text("canary.decision", judge::to_string(judgement.decision));
  out.number("canary.analysis_duration_min", judgement.analysis_duration_minutes);
  out.text("canary.reason", judgement.reason);
}

} // namespace

std::string encode_analysis_span(const rollout::VerdictContext& context,
                                 const judge::Judgement& judgement, const SpanStamp& stamp) {
  std::string message;
  {
    pbf_writer request(message);
    pbf_writer resource_spans(request, kResourceSpans);
    {
      pbf_writer resource(resource_spans, kResource);
      AttributeWriter attributes(resource, kResourceAttributes);
      attributes.text("service.name", "canary-analyzer");
      attributes.text("service.version", stamp.version);
    }
    pbf_writer scope_spans(resource_spans, kScopeSpans);
    {
      pbf_writer scope(scope_spans, kScope);
      scope.add_string(kScopeName, "canary-analyzer");
      scope.add_string(kScopeVersion, stamp.version);
    }
    pbf_writer span(scope_spans, kSpans);
    span.add_bytes(kTraceId, stamp.trace_id.data(), stamp.trace_id.size());
    span.add_bytes(kSpanId, stamp.span_id.data(), stamp.span_id.size());
    span.add_string(kName, "canary.analysis");
    span.add_enum(kKind, kKindInternal);
    span.add_fixed64(kStart, stamp.time_ns);
    span.add_fixed64(kEnd, stamp.time_ns);
    write_attributes(span, context, judgement);
  }
  return message;
}

AnalysisSpans::AnalysisSpans(Options options, net::HttpClient& http, const Clock& clock,
                             SelfMetrics& metrics)
    : options_(std::move(options)),
      http_(http),
      clock_(clock),
      exported_(metrics.counter("coalmine_analysis_spans_exported_total",
                                "canary.analysis spans that were accepted.")),
      failed_(metrics.counter("coalmine_analysis_spans_failed_total",
                              "canary.analysis spans that the endpoint did not take.")),
      dropped_(metrics.counter("coalmine_analysis_spans_dropped_total",
                               "canary.analysis spans dropped because too many waited.")) {
  timer_.emplace(options_.interval, [this] { send_waiting(); });
}

AnalysisSpans::~AnalysisSpans() {
  stopping_ = true;
  timer_.reset();
  send_waiting();
}

void AnalysisSpans::record(const rollout::VerdictContext& context,
                           const judge::Judgement& judgement) {
  SpanStamp stamp{.trace_id = {},
                  .span_id = {},
                  .time_ns = static_cast<std::uint64_t>(clock_.wall_ns()),
                  .version = options_.version};
  waiting_.with([&](Waiting& waiting) {
    const auto fill = [&](auto& id) {
      for (auto& byte : id) byte = static_cast<char>(waiting.random());
      id[0] = static_cast<char>(id[0] | 1); // an id of zeros is none
    };
    fill(stamp.trace_id);
    fill(stamp.span_id);
  });
  auto encoded = encode_analysis_span(context, judgement, stamp);
  const bool kept = waiting_.with([&](Waiting& waiting) {
    if (waiting.spans.size() >= kMostWaiting) return false;
    waiting.spans.push_back(std::move(encoded));
    return true;
  });
  if (!kept) dropped_.add();
}

void AnalysisSpans::send_waiting() {
  const auto all = waiting_.with([](Waiting& waiting) { return std::exchange(waiting.spans, {}); });
  const std::span spans(all);
  for (std::size_t at = 0; at < spans.size(); at += kSpansPerRequest)
    send(spans.subspan(at, std::min(kSpansPerRequest, spans.size() - at)));
}

void AnalysisSpans::send(std::span<const std::string> spans) {
  const auto count = static_cast<double>(spans.size());
  // At the end what waits is sent, but nobody waits for a timeout after another.
  if (stopping_ && !answering_) return dropped_.add(count);
  net::ClientRequest request;
  request.method = "POST";
  request.url = options_.endpoint + "/v1/traces";
  request.headers = {{"Content-Type", "application/x-protobuf"}};
  if (!options_.bearer_token.empty())
    request.headers.emplace_back("Authorization", "Bearer " + options_.bearer_token);
  // One message after the other is one message with all their resource_spans (Protobuf encoding,
  // "Last One Wins": repeated fields are concatenated).
  for (const auto& span : spans) request.body += span;
  request.timeout = kTimeout;
  request.max_response = 64u << 10;
  const auto response = http_.fetch(request);
  const bool accepted = response && response->status >= 200 && response->status < 300;
  (accepted ? exported_ : failed_).add(count);
  if (!accepted && answering_) {
    log_warn("cannot export canary.analysis spans; later ones will still be sent",
             {{"endpoint", options_.endpoint},
              {"reason",
               response ? fmt::format("HTTP {}", response->status) : response.error().message}});
  }
  answering_ = accepted;
}

} // namespace coalmine::app
