// SPDX-License-Identifier: Apache-2.0
#include "app/analysis_span.h"

#include <gtest/gtest.h>

#include <condition_variable>
#include <mutex>

#include "net/unkind_client_for_test.h"
#include "receive/otlp.h"
#include "store/testing.h"

namespace coalmine::app {
namespace {

judge::SignalVerdict signal(std::string name, std::string route, judge::Verdict verdict,
                            double canary, double stable) {
  judge::SignalVerdict v;
  v.subject.signal = std::move(name);
  v.subject.route = std::move(route);
  v.verdict = verdict;
  v.measured.canary = canary;
  v.measured.stable = stable;
  return v;
}

judge::Judgement judgement() {
  judge::Judgement j;
  j.decision = judge::Decision::rollback;
  j.analysis_duration_minutes = 12.5;
  j.reason = "the error rate is 30.00% on canary against 1.00% on stable";
  j.signals = {signal("error_rate", "", judge::Verdict::regression, 0.30, 0.01),
               signal("p99_latency", "", judge::Verdict::pass, 190, 182),
               signal("error_rate", "/api/pay", judge::Verdict::pass, 0.5, 0.5)};
  return j;
}

const rollout::VerdictContext kContext{.service = "checkout-service",
                                       .canary_version = "2.4.0",
                                       .stable_version = "2.3.0",
                                       .from_ms = 0,
                                       .to_ms = 0};

SpanStamp stamp() {
  SpanStamp s;
  s.trace_id[0] = 7;
  s.span_id[7] = 9;
  s.time_ns = 1'795'354'927'000'000'000;
  return s;
}

Span span_of(const judge::Judgement& judgement) {
  return make_analysis_span(analysis_resource("0.1.0"), kContext, judgement, stamp());
}

// What our own receiver reads.
Batch received(const std::string& payload) {
  auto decoded = receive::decode(receive::Signal::traces, receive::Encoding::protobuf, payload,
                                 "127.0.0.1", 1'795'354'927'000, {});
  EXPECT_TRUE(decoded) << (decoded ? "" : decoded.error().message);
  if (!decoded) return {};
  return std::move(decoded->batch);
}

TEST(AnalysisSpan, HasTheSeedsAttributes) {
  const auto batch = received(encode_analysis_spans({span_of(judgement())}));
  ASSERT_EQ(batch.spans.rows.size(), 1u);
  const auto span = batch.spans.span(0);
  EXPECT_EQ(span.name, "canary.analysis");
  EXPECT_EQ(span.kind, SpanKind::internal);
  EXPECT_EQ(span.resource->service, "canary-analyzer");
  EXPECT_EQ(span.resource->track, "");
  EXPECT_EQ(span.start_ns, 1'795'354'927'000'000'000u);
  const std::vector<std::pair<std::string, AttributeValue>> expected{
      {"canary.service", std::string("checkout-service")},
      {"canary.version", std::string("2.4.0")},
      {"canary.stable_version", std::string("2.3.0")},
      {"canary.error_rate.canary", 0.30},
      {"canary.error_rate.stable", 0.01},
      {"canary.error_rate.passed", false},
      {"canary.p99.canary_ms", 190.0},
      {"canary.p99.stable_ms", 182.0},
      {"canary.p99.passed", true},
      {"canary.decision", std::string("rollback")},
      {"canary.analysis_duration_min", 12.5},
      {"canary.reason", std::string("the error rate is 30.00% on canary against 1.00% on stable")},
  };
  EXPECT_EQ(span.attributes, expected);
}

TEST(AnalysisSpan, WhatIsNotKnownIsLeftOut) {
  judge::Judgement empty;
  auto line = signal("error_rate", "", judge::Verdict::watching, 0.1, 0.1);
  line.measured.stable.reset();
  empty.signals = {line};
  const auto batch = received(encode_analysis_spans({span_of(empty)}));
  ASSERT_EQ(batch.spans.rows.size(), 1u);
  const auto attributes = batch.spans.span(0).attributes;
  EXPECT_NE(find_attribute(attributes, "canary.error_rate.canary"), nullptr);
  EXPECT_EQ(find_attribute(attributes, "canary.error_rate.stable"), nullptr);
  EXPECT_EQ(find_attribute(attributes, "canary.error_rate.passed"), nullptr);
  EXPECT_EQ(find_attribute(attributes, "canary.p99.canary_ms"), nullptr);
  EXPECT_EQ(attribute_text(attributes, "canary.decision"), "continue");
}

// Keeps requests; while held, fetch does not return.
class Collector final : public net::HttpClient {
 public:
  Result<net::HttpResponse> fetch(const net::ClientRequest& request) override {
    std::unique_lock lock(mutex);
    requests.push_back(request);
    changed.notify_all();
    changed.wait(lock, [this] { return !held; });
    if (status == 0) return net::unkind_failure(request);
    net::HttpResponse response;
    response.status = status;
    return response;
  }
  Status stream(const net::ClientRequest&, const std::function<bool(std::string_view)>&) override {
    return {};
  }
  void release() {
    std::lock_guard lock(mutex);
    held = false;
    changed.notify_all();
  }
  std::mutex mutex;
  std::condition_variable changed;
  bool held = false;
  int status = 200;
  std::vector<net::ClientRequest> requests;
};

std::string counter_line(const SelfMetrics& metrics, const std::string& name) {
  const std::string text = metrics.render();
  const auto at = text.find("\n" + name + " ");
  return at == std::string::npos ? "" : text.substr(at + 1, text.find('\n', at + 1) - at - 1);
}

TEST(AnalysisSpans, AreSentWithDistinctIds) {
  Collector collector;
  ManualClock clock;
  SelfMetrics metrics;
  {
    AnalysisSpans spans({.version = "1"}, make_endpoint_target("http://127.0.0.1:4318/", collector),
                        clock, metrics);
    spans.record(kContext, judgement());
    spans.record(kContext, judgement());
  }
  ASSERT_EQ(collector.requests.size(), 1u);
  EXPECT_EQ(collector.requests[0].url, "http://127.0.0.1:4318/v1/traces");
  EXPECT_EQ(net::header(collector.requests[0].headers, "content-type"), "application/x-protobuf");
  const auto spans = spans_of(received(collector.requests[0].body).spans);
  ASSERT_EQ(spans.size(), 2u);
  EXPECT_NE(spans[0].trace_id, spans[1].trace_id);
  EXPECT_EQ(counter_line(metrics, "coalmine_analysis_spans_exported_total"),
            "coalmine_analysis_spans_exported_total 2");
}

TEST(AnalysisSpans, AnEndpointsSecretsAreNotLogged) {
  Collector collector;
  const auto target = make_endpoint_target("http://me:Hush1234@c:4318/?token=Hush1234", collector);
  EXPECT_EQ(target->name(), "http://c:4318/");
  collector.status = 0;
  Span span;
  span.resource = analysis_resource("1");
  const auto failed = target->deliver({span});
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().message.find("Hush"), std::string::npos) << failed.error().message;
  ASSERT_EQ(collector.requests.size(), 1u);
  EXPECT_EQ(collector.requests[0].url, "http://me:Hush1234@c:4318/v1/traces?token=Hush1234");
}

TEST(AnalysisSpans, ASlowEndpointCostsSpansNotTime) {
  Collector collector;
  collector.held = true;
  ManualClock clock;
  SelfMetrics metrics;
  {
    AnalysisSpans spans({.version = "1", .interval = std::chrono::milliseconds(1)},
                        make_endpoint_target("http://x", collector), clock, metrics);
    spans.record(kContext, judgement());
    {
      std::unique_lock lock(collector.mutex);
      collector.changed.wait(lock, [&] { return collector.requests.size() == 1; });
    }
    for (int i = 0; i < 5000; ++i) spans.record(kContext, judgement());
    EXPECT_EQ(metrics.counter("coalmine_analysis_spans_dropped_total", "").value(), 5000 - 4096);
    collector.release();
  }
  EXPECT_EQ(collector.requests.size(), 1u + 4096 / 512);
  EXPECT_EQ(metrics.counter("coalmine_analysis_spans_exported_total", "").value(), 1 + 4096);
}

TEST(AnalysisSpans, ADeadEndpointDoesNotHoldUpTheEnd) {
  Collector collector;
  collector.held = true;
  collector.status = 0;
  ManualClock clock;
  SelfMetrics metrics;
  auto spans =
      std::make_unique<AnalysisSpans>(AnalysisSpans::Options{.version = "1"},
                                      make_endpoint_target("http://x", collector), clock, metrics);
  for (int i = 0; i < 50; ++i) spans->record(kContext, judgement());
  std::thread ending([&] { spans.reset(); });
  collector.release();
  ending.join();
  EXPECT_GE(metrics.counter("coalmine_analysis_spans_failed_total", "").value(), 1);
}

struct OwnStore {
  OwnStore() {
    store::Options options;
    options.directory = directory.path();
    auto opened = store::Store::open(std::move(options), clock, metrics);
    EXPECT_TRUE(opened) << (opened ? "" : opened.error().message);
    if (opened) store = std::move(*opened);
  }
  std::vector<StoredSpan> found() const {
    SpanFilter filter;
    filter.service = "canary-analyzer";
    return store->find_spans(filter).value();
  }

  TempDir directory;
  ManualClock clock{1'795'354'928'000};
  SelfMetrics metrics;
  std::unique_ptr<store::Store> store;
};

TEST(StoreTarget, StoresASpanAsTheReceiverWould) {
  OwnStore direct;
  OwnStore through_receiver;
  ASSERT_TRUE(direct.store && through_receiver.store);
  ASSERT_TRUE(make_store_target(*direct.store, direct.clock)->deliver({span_of(judgement())}));
  auto batch = received(encode_analysis_spans({span_of(judgement())}));
  batch.received_ms = through_receiver.clock.wall_ms();
  ASSERT_TRUE(through_receiver.store->append(batch));

  const auto ours = direct.found();
  const auto theirs = through_receiver.found();
  ASSERT_EQ(ours.size(), 1u);
  ASSERT_EQ(theirs.size(), 1u);
  const Span& a = ours[0].span;
  const Span& b = theirs[0].span;
  EXPECT_EQ(a.resource->attributes, b.resource->attributes);
  EXPECT_EQ(a.resource->labels, b.resource->labels);
  EXPECT_EQ(a.resource->instance, "127.0.0.1");
  EXPECT_EQ(a.trace_id, b.trace_id);
  EXPECT_EQ(a.span_id, b.span_id);
  EXPECT_EQ(a.parent_span_id, b.parent_span_id);
  EXPECT_EQ(a.name, b.name);
  EXPECT_EQ(a.kind, b.kind);
  EXPECT_EQ(a.start_ns, b.start_ns);
  EXPECT_EQ(a.end_ns, b.end_ns);
  EXPECT_EQ(a.status, b.status);
  EXPECT_EQ(a.flags, b.flags);
  EXPECT_EQ(a.attributes, b.attributes);
  EXPECT_EQ(a.attributes, span_of(judgement()).attributes);
  EXPECT_EQ(direct.store->presence().size(), through_receiver.store->presence().size());
}

TEST(AnalysisSpans, ReachTheStoreOnTheirOwnThread) {
  OwnStore own;
  ASSERT_TRUE(own.store);
  {
    AnalysisSpans spans({.version = "1"}, make_store_target(*own.store, own.clock), own.clock,
                        own.metrics);
    spans.record(kContext, judgement());
    spans.record(kContext, judgement());
  }
  EXPECT_EQ(own.found().size(), 2u);
  EXPECT_EQ(counter_line(own.metrics, "coalmine_analysis_spans_exported_total"),
            "coalmine_analysis_spans_exported_total 2");
}

} // namespace
} // namespace coalmine::app
