// Spans and exception logs: found newest first, whole traces, repeated requests.
// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "store/testing.h"

namespace coalmine::store::testing {
namespace {

struct SpansTest : ::testing::Test, Fixture {
  std::shared_ptr<const Resource> stable = resource("shop");
  std::shared_ptr<const Resource> canary = resource("shop", "canary", "2");
  void SetUp() override { open(); }

  AppendResult send(std::vector<Span> spans, std::vector<LogRecord> logs = {}) {
    Batch b;
    b.received_ms = clock.wall_ms();
    b.spans = std::move(spans);
    b.logs = std::move(logs);
    return append(b);
  }
  std::vector<int> found(const SpanFilter& filter) {
    const auto spans = store->find_spans(filter);
    EXPECT_TRUE(spans);
    std::vector<int> out;
    for (const auto& s : *spans) out.push_back(s.span.trace_id[0]);
    return out;
  }
};

SpanFilter shop() {
  SpanFilter out;
  out.service = "shop";
  return out;
}

TEST_F(SpansTest, NewestFirstWithFilters) {
  send({span(canary, 1, 1, kNow - 9000, kNow, SpanKind::server, StatusCode::error), span(stable, 2, 1, kNow - 8000, kNow)});
  send({span(canary, 3, 1, kNow - 3000, kNow), span(canary, 4, 1, kNow - 12'000, kNow, SpanKind::server, StatusCode::error)});
  send({span(canary, 5, 1, kNow - 5000, kNow, SpanKind::server, StatusCode::error)});
  send({span(resource("other"), 6, 1, kNow - 1000, kNow, SpanKind::server, StatusCode::error)});
  for (int round = 0; round < 2; ++round) {
    EXPECT_EQ(found(shop()), (std::vector<int>{3, 5, 2, 1, 4}));
    auto filter = shop();
    filter.errors_only = true;
    EXPECT_EQ(found(filter), (std::vector<int>{5, 1, 4}));
    filter.limit = 2;
    EXPECT_EQ(found(filter), (std::vector<int>{5, 1}));
    filter.limit = 0;
    EXPECT_EQ(found(filter), std::vector<int>{});
    filter = shop();
    filter.track = "stable";
    EXPECT_EQ(found(filter), (std::vector<int>{2}));
    filter = shop();
    filter.version = "2";
    filter.from_ms = kNow - 9000;
    filter.to_ms = kNow - 4000;
    EXPECT_EQ(found(filter), (std::vector<int>{5, 1}));
    filter.version = "3";
    EXPECT_EQ(found(filter), std::vector<int>{});
    reopen();
  }
}

TEST_F(SpansTest, OneSpanATraceTheRequestItself) {
  send({span(canary, 1, 1, kNow - 100, kNow, SpanKind::server, StatusCode::error),
        span(canary, 1, 2, kNow - 50, kNow, SpanKind::client, StatusCode::error)});
  const auto spans = store->find_spans(shop());
  ASSERT_EQ(spans->size(), 1u);
  EXPECT_EQ((*spans)[0].span.kind, SpanKind::server);
}

TEST_F(SpansTest, ATraceIsPutTogetherFromItsParts) {
  send({span(canary, 7, 2, kNow - 50, kNow, SpanKind::client)});
  LogRecord log;
  log.resource = canary;
  log.time_ns = ns(kNow - 10);
  log.trace_id.fill(7);
  log.span_id.fill(2);
  log.severity = 17;
  log.attributes = {{"exception.message", std::string("boom")}};
  send({}, {log});
  send({}, {log}); // repeated
  send({span(canary, 7, 1, kNow - 100, kNow)});
  for (int round = 0; round < 2; ++round) {
    TraceId id;
    id.fill(7);
    const auto trace = store->trace(id);
    ASSERT_TRUE(trace);
    ASSERT_EQ(trace->size(), 2u);
    EXPECT_EQ((*trace)[0].span.span_id[0], 1);
    EXPECT_EQ((*trace)[1].logs.size(), 1u);
    const auto found = store->find_spans(shop());
    ASSERT_EQ(found->size(), 1u);
    id.fill(8);
    EXPECT_TRUE(store->trace(id)->empty());
    reopen();
  }
}

TEST_F(SpansTest, LogsComeWithWhatIsFound) {
  LogRecord log;
  log.resource = canary;
  log.time_ns = ns(kNow - 10);
  log.trace_id.fill(7);
  log.span_id.fill(1);
  send({}, {log});
  clock.advance_ms(5000);
  send({span(canary, 7, 1, kNow - 100, kNow)});
  const auto found = store->find_spans(shop());
  ASSERT_EQ(found->size(), 1u);
  EXPECT_EQ((*found)[0].logs.size(), 1u);
}

TEST_F(SpansTest, RepeatedSpansAreStoredOnceAlsoAcrossARestart) {
  const auto s = span(canary, 1, 1, kNow - 100, kNow);
  send({s, s});
  send({s});
  reopen();
  send({s, span(canary, 1, 2, kNow - 90, kNow)});
  TraceId id;
  id.fill(1);
  EXPECT_EQ(store->trace(id)->size(), 2u);
  const auto requests = select(*store, kRequestsName);
  ASSERT_EQ(requests.size(), 1u);
  EXPECT_EQ(requests[0].floats.back().value, 2);
}

TEST_F(SpansTest, ImpossibleTimesAreRejected) {
  const auto result = send({span(canary, 1, 1, 0, 0), span(canary, 2, 1, kNow + 3600'000, kNow + 3600'001), span(canary, 3, 1, kNow, kNow - 5)});
  EXPECT_EQ(result.rejected_spans, 2u);
  EXPECT_NE(result.reason, "");
  EXPECT_EQ(found(shop()), (std::vector<int>{3})) << "an end before the start is odd but telling";
}

TEST_F(SpansTest, ManySegmentsAgainstAPlainList) {
  std::vector<std::pair<std::int64_t, int>> all;
  std::uint32_t state = 1;
  for (int i = 0; i < 200; ++i) {
    state = state * 1664525 + 1013904223;
    const std::int64_t start = kNow - static_cast<std::int64_t>(state % 1'000'000);
    send({span(canary, static_cast<std::uint8_t>(i), 1, start, start + 5)});
    all.emplace_back(start, i);
  }
  std::ranges::sort(all, std::greater{});
  auto filter = shop();
  filter.limit = 25;
  const auto spans = found(filter);
  ASSERT_EQ(spans.size(), 25u);
  for (std::size_t i = 0; i < spans.size(); ++i) EXPECT_EQ(spans[i], all[i].second);
}

} // namespace
} // namespace coalmine::store::testing
