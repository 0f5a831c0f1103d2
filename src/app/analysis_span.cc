// SPDX-License-Identifier: Apache-2.0
#include "app/analysis_span.h"

#include <fmt/format.h>

#include <algorithm>
#include <protozero/pbf_writer.hpp>
#include <utility>
#include <variant>

#include "base/log.h"
#include "net/secrets.h"
#include "telemetry/batch.h"

namespace coalmine::app {
namespace {

using protozero::pbf_writer;

constexpr std::size_t kMostWaiting = 4096;
constexpr std::ptrdiff_t kMostDelivered = 512; // at once
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

void write_attributes(pbf_writer& parent, protozero::pbf_tag_type field,
                      const Attributes& attributes) {
  for (const auto& [key, value] : attributes) {
    pbf_writer pair(parent, field);
    pair.add_string(kKey, key);
    pbf_writer any(pair, kValue);
    if (const auto* text = std::get_if<std::string>(&value)) any.add_string(kString, *text);
    if (const auto* number = std::get_if<double>(&value)) any.add_double(kDouble, *number);
    if (const auto* flag = std::get_if<bool>(&value)) any.add_bool(kBool, *flag);
  }
}

void write_span(pbf_writer& out, const Span& span) {
  const auto add_id = [&](protozero::pbf_tag_type field, const auto& id) {
    out.add_bytes(field, reinterpret_cast<const char*>(id.data()), id.size());
  };
  add_id(kTraceId, span.trace_id);
  add_id(kSpanId, span.span_id);
  out.add_string(kName, span.name);
  out.add_enum(kKind, kKindInternal);
  out.add_fixed64(kStart, span.start_ns);
  out.add_fixed64(kEnd, span.end_ns);
  write_attributes(out, kAttributes, span.attributes);
}

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

Attributes attributes_of(const rollout::VerdictContext& context,
                         const judge::Judgement& judgement) {
  Attributes out;
  const auto measured = [&](const char* key, const std::optional<double>& value) {
    if (value) out.emplace_back(key, *value);
  };
  out.emplace_back("canary.service", context.service);
  out.emplace_back("canary.version", context.canary_version);
  out.emplace_back("canary.stable_version", context.stable_version);
  if (const auto* errors = whole_service(judgement, "error_rate")) {
    measured("canary.error_rate.canary", errors->measured.canary);
    measured("canary.error_rate.stable", errors->measured.stable);
    if (judged(*errors))
      out.emplace_back("canary.error_rate.passed", errors->verdict == judge::Verdict::pass);
  }
  if (const auto* p99 = whole_service(judgement, "p99_latency")) {
    measured("canary.p99.canary_ms", p99->measured.canary);
    measured("canary.p99.stable_ms", p99->measured.stable);
    if (judged(*p99)) out.emplace_back("canary.p99.passed", p99->verdict == judge::Verdict::pass);
  }
  out.emplace_back("canary.decision", std::string(judge::to_string(judgement.decision)));
  out.emplace_back("canary.analysis_duration_min", judgement.analysis_duration_minutes);
  out.emplace_back("canary.reason", judgement.reason);
  return out;
}

class EndpointTarget final : public SpanTarget {
 public:
  EndpointTarget(std::string url, net::HttpClient& http) : url_(std::move(url)), http_(http) {}

  std::string name() const override { return net::shown_url(url_); }
  Status deliver(const std::vector<Span>& spans) override {
    net::ClientRequest request;
    request.method = "POST";
    request.url = net::with_path(url_, "/v1/traces");
    request.headers = {{"Content-Type", "application/x-protobuf"}};
    request.body = encode_analysis_spans(spans);
    request.timeout = kTimeout;
    request.max_response = 64u << 10;
    TRY_ASSIGN(const auto response, net::fetch_discreetly(http_, request));
    if (response.status >= 200 && response.status < 300) return {};
    return fail(ErrorCode::unavailable, fmt::format("HTTP {}", response.status));
  }

 private:
  const std::string url_;
  net::HttpClient& http_;
};

class StoreTarget final : public SpanTarget {
 public:
  StoreTarget(store::Store& store, const Clock& clock) : store_(store), clock_(clock) {}

  std::string name() const override { return "self"; }
  Status deliver(const std::vector<Span>& spans) override {
    Batch batch;
    batch.received_ms = clock_.wall_ms();
    batch.spans = table_of(spans);
    TRY(store_.append(batch));
    return {};
  }

 private:
  store::Store& store_;
  const Clock& clock_;
};

} // namespace

std::shared_ptr<const Resource> analysis_resource(const std::string& version) {
  return make_resource({{"service.name", std::string(kAnalyzer)}, {"service.version", version}},
                       "127.0.0.1");
}

Span make_analysis_span(std::shared_ptr<const Resource> resource,
                        const rollout::VerdictContext& context, const judge::Judgement& judgement,
                        const SpanStamp& stamp) {
  Span out;
  out.resource = std::move(resource);
  out.trace_id = stamp.trace_id;
  out.span_id = stamp.span_id;
  out.name = "canary.analysis";
  out.kind = SpanKind::internal;
  out.start_ns = stamp.time_ns;
  out.end_ns = stamp.time_ns;
  out.attributes = attributes_of(context, judgement);
  return out;
}

std::string encode_analysis_spans(const std::vector<Span>& spans) {
  std::string message;
  if (spans.empty()) return message;
  const Resource& from = *spans.front().resource;
  {
    pbf_writer request(message);
    pbf_writer resource_spans(request, kResourceSpans);
    {
      pbf_writer resource(resource_spans, kResource);
      write_attributes(resource, kResourceAttributes, from.attributes);
    }
    pbf_writer scope_spans(resource_spans, kScopeSpans);
    {
      pbf_writer scope(scope_spans, kScope);
      scope.add_string(kScopeName, kAnalyzer.data(), kAnalyzer.size());
      scope.add_string(kScopeVersion, from.version);
    }
    for (const auto& span : spans) {
      pbf_writer out(scope_spans, kSpans);
      write_span(out, span);
    }
  }
  return message;
}

std::unique_ptr<SpanTarget> make_endpoint_target(std::string url, net::HttpClient& http) {
  while (url.ends_with('/')) url.pop_back();
  return std::make_unique<EndpointTarget>(std::move(url), http);
}

std::unique_ptr<SpanTarget> make_store_target(store::Store& store, const Clock& clock) {
  return std::make_unique<StoreTarget>(store, clock);
}

AnalysisSpans::AnalysisSpans(const Options& options, std::unique_ptr<SpanTarget> target,
                             const Clock& clock, SelfMetrics& metrics)
    : resource_(analysis_resource(options.version)),
      target_(std::move(target)),
      clock_(clock),
      exported_(metrics.counter("coalmine_analysis_spans_exported_total",
                                "canary.analysis spans that were accepted.")),
      failed_(metrics.counter("coalmine_analysis_spans_failed_total",
                              "canary.analysis spans that the endpoint did not take.")),
      dropped_(metrics.counter("coalmine_analysis_spans_dropped_total",
                               "canary.analysis spans dropped because too many waited.")) {
  timer_.emplace(options.interval, [this] { deliver_waiting(); });
}

AnalysisSpans::~AnalysisSpans() {
  stopping_ = true;
  timer_.reset();
  deliver_waiting();
}

void AnalysisSpans::record(const rollout::VerdictContext& context,
                           const judge::Judgement& judgement) {
  auto span = make_analysis_span(resource_, context, judgement, stamp());
  const bool kept = waiting_.with([&](Waiting& waiting) {
    if (waiting.spans.size() >= kMostWaiting) return false;
    waiting.spans.push_back(std::move(span));
    return true;
  });
  if (!kept) dropped_.add();
}

SpanStamp AnalysisSpans::stamp() {
  SpanStamp out;
  out.time_ns = static_cast<std::uint64_t>(clock_.wall_ns());
  waiting_.with([&](Waiting& waiting) {
    const auto fill = [&](auto& id) {
      for (auto& byte : id) byte = static_cast<std::uint8_t>(waiting.random());
      id[0] |= 1; // an id of zeros means none
    };
    fill(out.trace_id);
    fill(out.span_id);
  });
  return out;
}

void AnalysisSpans::deliver_waiting() {
  const auto all = waiting_.with([](Waiting& waiting) { return std::exchange(waiting.spans, {}); });
  for (auto at = all.begin(); at != all.end();) {
    const auto end = at + std::min<std::ptrdiff_t>(kMostDelivered, all.end() - at);
    deliver(std::vector<Span>(at, end));
    at = end;
  }
}

void AnalysisSpans::deliver(const std::vector<Span>& spans) {
  const auto count = static_cast<double>(spans.size());
  // At the end the waiting spans are delivered, but nobody waits for one timeout after another.
  if (stopping_ && !answering_) return dropped_.add(count);
  const auto done = target_->deliver(spans);
  (done ? exported_ : failed_).add(count);
  if (!done && answering_) {
    log_warn("cannot export canary.analysis spans; later ones will still be sent",
             {{"endpoint", target_->name()}, {"reason", done.error().message}});
  }
  answering_ = done.has_value();
}

} // namespace coalmine::app
