// SPDX-License-Identifier: Apache-2.0
#include "trace/failures.h"

#include <gtest/gtest.h>

#include <span>

#include "datasource/fake_store_for_test.h"
#include "datasource/store_traces.h"

namespace coalmine::datasource {
namespace {

constexpr std::uint64_t kMs = 1'000'000;

std::shared_ptr<const Resource> resource(std::string service = "checkout",
                                         std::string version = "2.4.0",
                                         std::string track = "canary") {
  return make_resource({{"service.name", std::move(service)},
                        {"service.version", std::move(version)},
                        {"deployment.track", std::move(track)}},
                       "127.0.0.1");
}

SpanEvent exception(std::string type, std::string message) {
  return {0,
          "exception",
          {{"exception.type", std::move(type)}, {"exception.message", std::move(message)}}};
}

class Failures : public ::testing::Test {
 protected:
  // A span of trace number `trace` with id and parent as small numbers (0: a root), 10 ms long by
  // default.
  Span& span(std::uint8_t trace, std::uint8_t id, std::uint8_t parent, std::string name,
             SpanKind kind, StatusCode status, std::shared_ptr<const Resource> from = resource()) {
    Span s;
    s.resource = std::move(from);
    s.trace_id[15] = trace;
    s.span_id[7] = id;
    s.parent_span_id[7] = parent;
    s.name = std::move(name);
    s.kind = kind;
    s.status = status;
    s.start_ns = (1000u + trace * 100u + id) * kMs;
    s.end_ns = s.start_ns + 10 * kMs;
    store_.spans.push_back({std::move(s), {}});
    return store_.spans.back().span;
  }
  std::vector<trace::Failure> find(std::size_t limit = 20) {
    trace::FailureFilter filter;
    filter.service = "checkout";
    filter.version = "2.4.0";
    filter.track = "canary";
    filter.limit = limit;
    const auto out = trace::find_failures(*traces_, filter);
    EXPECT_TRUE(out) << out.error().message;
    return out.value_or(std::vector<trace::Failure>{});
  }
  FakeStore store_;
  std::unique_ptr<trace::TraceSource> traces_ = make_store_trace_source(store_);
};

TEST_F(Failures, DeepestSpanLeadsAndTheEntryTellsTheRest) {
  span(1, 9, 0, "GET /", SpanKind::server, StatusCode::error, resource("gateway", "1.0", "stable"));
  auto& entry = span(1, 1, 9, "POST /api/pay", SpanKind::server, StatusCode::error);
  entry.attributes = {{"http.route", "/api/pay"},
                      {"http.response.status_code", std::int64_t{500}},
                      {"error.type", "500"}};
  entry.end_ns = entry.start_ns + 212 * kMs;
  span(1, 2, 1, "Cart.load", SpanKind::internal, StatusCode::unset);
  auto& charge = span(1, 3, 1, "PaymentClient.charge", SpanKind::client, StatusCode::error);
  charge.status_message = "charge failed";
  charge.events = {{0, "retry", {{"exception.message", "not an exception"}}},
                   exception("Timeout", "first try"),
                   exception("NullPointerException", "wallet.token is null"),
                   {0, "cleanup", {}}};
  span(1, 4, 3, "bank", SpanKind::server, StatusCode::error, resource("bank", "7", ""));
  const auto got = find();
  ASSERT_EQ(got.size(), 1u);
  EXPECT_EQ(got[0].error, "charge failed");
  EXPECT_DOUBLE_EQ(got[0].duration_ms, 212);
  EXPECT_EQ(got[0].endpoint, "/api/pay");
  EXPECT_EQ(got[0].version, "2.4.0");
  EXPECT_EQ(got[0].track, "canary");
  EXPECT_EQ(got[0].time_ms, 1101);
  EXPECT_EQ(to_hex(got[0].trace_id), "00000000000000000000000000000001");
  ASSERT_EQ(got[0].failed_spans.size(), 2u);
  EXPECT_EQ(got[0].failed_spans[0].name, "PaymentClient.charge");
  EXPECT_EQ(got[0].failed_spans[0].exception_type, "NullPointerException");
  EXPECT_EQ(got[0].failed_spans[0].exception_message, "wallet.token is null");
  EXPECT_EQ(got[0].failed_spans[1].name, "POST /api/pay");
}

TEST_F(Failures, WhatIsShownWhenThereIsNoStatusMessage) {
  auto& s = span(1, 1, 0, "POST /pay", SpanKind::server, StatusCode::error);
  EXPECT_EQ(find().at(0).error, "error without a message");
  s.attributes = {{"http.status_code", std::int64_t{503}}};
  EXPECT_EQ(find().at(0).error, "HTTP 503");
  s.attributes.emplace_back("error.type", "503");
  EXPECT_EQ(find().at(0).error, "HTTP 503");
  s.attributes.back().second = "ECONNREFUSED";
  EXPECT_EQ(find().at(0).error, "ECONNREFUSED");
  s.events = {{0, "exception", {{"exception.type", "OSError"}}}};
  EXPECT_EQ(find().at(0).error, "OSError");
  s.events = {exception("OSError", "refused")};
  EXPECT_EQ(find().at(0).error, "refused");
  s.status_message = "payment broke";
  EXPECT_EQ(find().at(0).error, "payment broke");
}

// nginx, Envoy and Echo set no status. What counts as an error is also listed.
TEST_F(Failures, AServerErrorWithoutAStatusFails) {
  span(1, 1, 0, "GET /a", SpanKind::server, StatusCode::unset).attributes = {
      {"http.response.status_code", std::int64_t{503}}};
  span(2, 1, 0, "GET /b", SpanKind::server, StatusCode::unset).attributes = {
      {"http.status_code", std::string("500")}};
  span(3, 1, 0, "GET /c", SpanKind::server, StatusCode::unset).attributes = {
      {"http.response.status_code", std::int64_t{404}}, {"error.type", std::string("E")}};
  span(4, 1, 0, "GET /d", SpanKind::server, StatusCode::ok).attributes = {
      {"http.response.status_code", std::int64_t{503}}};
  const auto got = find();
  ASSERT_EQ(got.size(), 2u);
  EXPECT_EQ(got[0].endpoint, "GET /b");
  EXPECT_EQ(got[0].error, "HTTP 500");
  EXPECT_EQ(got[1].error, "HTTP 503");
}

// The rule of the service, and no errors of requests that are not counted as failed.
TEST_F(Failures, WhatTheServiceCountsAsFailed) {
  const auto answered = [&](std::uint8_t trace, std::int64_t status) {
    span(trace, 1, 0, "GET /a", SpanKind::server, StatusCode::unset).attributes = {
        {"http.response.status_code", status}};
    span(trace, 2, 1, "call", SpanKind::client, StatusCode::error);
  };
  answered(1, 200);
  answered(2, 429);
  answered(3, 501);
  answered(4, 503);
  span(5, 1, 0, "/grpc", SpanKind::server, StatusCode::unset);
  span(5, 2, 1, "call", SpanKind::client, StatusCode::error);
  const auto listed = [&] {
    std::vector<int> out;
    for (const auto& failure : find()) out.push_back(failure.trace_id[15]);
    return out;
  };
  EXPECT_EQ(listed(), (std::vector{5, 4, 3}));
  store_.rules = FailureRules(
      FailureRules::ByService{{"checkout", {.also = {{429, 429}}, .except = {{501, 501}}}}});
  EXPECT_EQ(listed(), (std::vector{5, 4, 2}));
  EXPECT_EQ(find().at(2).error, "HTTP 429");
}

TEST_F(Failures, AClientAndAServerSpanMayShareAnId) {
  const auto front = resource("front", "1.0", "stable");
  span(1, 1, 0, "GET /", SpanKind::server, StatusCode::error, front);
  span(1, 2, 1, "call", SpanKind::client, StatusCode::error, front);
  span(1, 2, 1, "POST /pay", SpanKind::server, StatusCode::error);
  span(1, 3, 2, "charge", SpanKind::internal, StatusCode::error);
  const auto got = find();
  ASSERT_EQ(got.size(), 1u);
  EXPECT_EQ(got[0].endpoint, "POST /pay");
  ASSERT_EQ(got[0].failed_spans.size(), 2u) << "the caller's spans are not the canary's";
  EXPECT_EQ(got[0].failed_spans[0].name, "charge") << "the deepest";
}

TEST_F(Failures, ExceptionFromALogRecord) {
  span(1, 1, 0, "POST /pay", SpanKind::server, StatusCode::error);
  LogRecord plain;
  plain.severity = 17;
  plain.body = "it broke";
  LogRecord log;
  log.attributes = {{"exception.type", "KeyError"}, {"exception.message", "token"}};
  store_.spans.back().logs = {log, plain};
  const auto got = find();
  EXPECT_EQ(got.at(0).failed_spans.at(0).exception_type, "KeyError");
  EXPECT_EQ(got.at(0).failed_spans.at(0).exception_message, "token");
  EXPECT_EQ(got.at(0).error, "token");
}

TEST_F(Failures, OkAboveSuppressesErrorsBelow) {
  span(1, 1, 0, "POST /pay", SpanKind::server, StatusCode::ok);
  span(1, 2, 1, "first try", SpanKind::client, StatusCode::error);
  span(2, 1, 0, "POST /pay", SpanKind::server, StatusCode::unset);
  span(2, 2, 1, "worker", SpanKind::internal, StatusCode::error);
  const auto got = find();
  ASSERT_EQ(got.size(), 1u);
  EXPECT_EQ(got[0].trace_id[15], 2);
  EXPECT_EQ(got[0].endpoint, "POST /pay");
}

TEST_F(Failures, HandledTracesDoNotUseUpTheLimit) {
  for (std::uint8_t t = 10; t < 60; ++t) {
    const bool handled = t >= 20; // the forty newest
    span(t, 1, 0, "POST /pay", SpanKind::server, handled ? StatusCode::ok : StatusCode::error);
    if (handled) span(t, 2, 1, "try", SpanKind::client, StatusCode::error);
  }
  const auto got = find(5);
  ASSERT_EQ(got.size(), 5u);
  EXPECT_EQ(got[0].trace_id[15], 19);
  EXPECT_EQ(got[4].trace_id[15], 15);
  EXPECT_EQ(find(100).size(), 10u);
  EXPECT_TRUE(find(0).empty());
}

TEST_F(Failures, OnlyTheCohort) {
  span(1, 1, 0, "POST /pay", SpanKind::server, StatusCode::error,
       resource("checkout", "2.3.0", "stable"));
  span(2, 1, 0, "POST /pay", SpanKind::server, StatusCode::error,
       resource("checkout", "2.4.0", "stable"));
  span(3, 1, 0, "POST /pay", SpanKind::server, StatusCode::error,
       resource("other", "2.4.0", "canary"));
  span(4, 1, 0, "POST /pay", SpanKind::server, StatusCode::error);
  span(5, 1, 0, "POST /pay", SpanKind::server, StatusCode::unset);
  ASSERT_EQ(find().size(), 1u);
  trace::FailureFilter any;
  any.service = "checkout";
  EXPECT_EQ(trace::find_failures(*traces_, any)->size(), 3u);
  any.from_ms = 1250;
  EXPECT_EQ(trace::find_failures(*traces_, any)->size(), 1u);
}

TEST_F(Failures, NewestFirstAndLimited) {
  for (const int t : {3, 9, 1, 7})
    span(static_cast<std::uint8_t>(t), 1, 0, "POST /pay", SpanKind::server, StatusCode::error);
  const auto got = find(3);
  ASSERT_EQ(got.size(), 3u);
  EXPECT_EQ(got[0].trace_id[15], 9);
  EXPECT_EQ(got[1].trace_id[15], 7);
  EXPECT_EQ(got[2].trace_id[15], 3);
}

TEST_F(Failures, WithoutAnEntrySpanTheLocalRootStandsIn) {
  span(1, 1, 8, "nightly job", SpanKind::internal,
       StatusCode::unset); // its parent was never received
  auto& failed = span(1, 2, 1, "", SpanKind::client, StatusCode::error);
  failed.end_ns = failed.start_ns - 5;
  auto got = find();
  ASSERT_EQ(got.size(), 1u);
  EXPECT_EQ(got[0].endpoint, "nightly job");
  EXPECT_EQ(got[0].failed_spans.at(0).name, "");
  store_.spans.erase(store_.spans.begin());
  got = find();
  EXPECT_EQ(got.at(0).endpoint, "unknown");
  EXPECT_EQ(got.at(0).duration_ms, 0);
}

// As Go's otelhttp names its spans.
TEST_F(Failures, ARouteInTheSpansNameIsTheEndpoint) {
  span(1, 1, 0, "GET /cart/{id}", SpanKind::server, StatusCode::error);
  EXPECT_EQ(find().at(0).endpoint, "/cart/{id}");
}

TEST_F(Failures, AServiceThatCallsItselfShowsTheOuterRequest) {
  span(1, 1, 0, "POST /outer", SpanKind::server, StatusCode::error);
  span(1, 2, 1, "call", SpanKind::client, StatusCode::error);
  span(1, 3, 2, "POST /inner", SpanKind::server, StatusCode::error);
  EXPECT_EQ(find().at(0).endpoint, "POST /outer");
  store_.spans[0].span.status = StatusCode::unset;
  EXPECT_EQ(find().at(0).endpoint, "POST /inner");
}

TEST_F(Failures, CyclesOfParentsEnd) {
  span(1, 1, 2, "a", SpanKind::server, StatusCode::error);
  span(1, 2, 3, "b", SpanKind::internal, StatusCode::error);
  span(1, 3, 1, "c", SpanKind::internal, StatusCode::error);
  span(1, 4, 4, "own parent", SpanKind::internal, StatusCode::error);
  const auto got = find();
  ASSERT_EQ(got.size(), 1u);
  EXPECT_EQ(got[0].failed_spans.size(), 4u);
}

TEST_F(Failures, ErrorsAreHandedOn) {
  EXPECT_EQ(trace::find_failures(*traces_, {}).error().code, ErrorCode::invalid_argument);
  store_.broken = Error{ErrorCode::unavailable, "disk gone"};
  trace::FailureFilter filter;
  filter.service = "checkout";
  EXPECT_EQ(trace::find_failures(*traces_, filter).error().code, ErrorCode::unavailable);
}

// Counts what is read of the traces.
class CountingTraces final : public trace::TraceSource {
 public:
  explicit CountingTraces(const trace::TraceSource& inner) : inner_(inner) {}
  mutable int reads = 0;
  Result<std::vector<StoredSpan>> find_spans(const SpanFilter& filter) const override {
    return inner_.find_spans(filter);
  }
  Result<std::vector<StoredSpan>> trace(const TraceId& id) const override {
    ++reads;
    return inner_.trace(id);
  }
  Result<std::vector<std::vector<StoredSpan>>> traces(std::span<const TraceId> ids) const override {
    ++reads;
    return inner_.traces(ids);
  }
  const FailureRules& failures() const override { return inner_.failures(); }

 private:
  const trace::TraceSource& inner_;
};

TEST_F(Failures, ManyAreReadTogetherAndASearchThatTakesLongIsGivenUp) {
  for (std::uint8_t i = 1; i <= 200; ++i)
    span(i, 1, 0, "GET /", SpanKind::server, StatusCode::error);
  const CountingTraces counting(*traces_);
  trace::FailureFilter filter;
  filter.service = "checkout";
  filter.limit = 10'000;
  const auto all = trace::find_failures(counting, filter);
  ASSERT_TRUE(all);
  EXPECT_EQ(all->size(), 200u);
  EXPECT_LE(counting.reads, 5);
  int asked = 0;
  filter.give_up = [&] { return ++asked > 2; };
  const auto late = trace::find_failures(counting, filter);
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().code, ErrorCode::deadline_exceeded);
  EXPECT_NE(late.error().message.find("limit"), std::string::npos);
  EXPECT_EQ(asked, 3);
}

} // namespace
} // namespace coalmine::datasource
