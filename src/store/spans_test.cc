// Spans and exception logs: search newest first, whole traces, repeated requests.
// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>

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
    b.spans = table_of(spans);
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

TEST_F(SpansTest, AServerErrorWithoutAStatusIsFoundAsAnError) {
  const auto with_status = [&](std::uint8_t id, std::int64_t code, SpanKind kind) {
    return span(canary, id, 1, kNow - 1000 * id, kNow, kind, StatusCode::unset,
                {{"http.response.status_code", code}});
  };
  send({with_status(1, 200, SpanKind::server), with_status(2, 503, SpanKind::server)});
  send({with_status(3, 503, SpanKind::client)});
  send({with_status(4, 500, SpanKind::server)});
  auto filter = shop();
  filter.errors_only = true;
  EXPECT_EQ(found(filter), (std::vector<int>{2, 4}));
  reopen();
  EXPECT_EQ(found(filter), (std::vector<int>{2, 4}));
}

TEST_F(SpansTest, NewestFirstWithFilters) {
  send({span(canary, 1, 1, kNow - 9000, kNow, SpanKind::server, StatusCode::error),
        span(stable, 2, 1, kNow - 8000, kNow)});
  send({span(canary, 3, 1, kNow - 3000, kNow),
        span(canary, 4, 1, kNow - 12'000, kNow, SpanKind::server, StatusCode::error)});
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

TEST_F(SpansTest, SeveralTracesAreReadAsEachAlone) {
  std::vector<TraceId> ids;
  for (std::uint8_t i = 1; i <= 100; ++i) {
    send({span(canary, i, 1, kNow - 100 * i, kNow),
          span(stable, static_cast<std::uint8_t>(101 - i), 2, kNow - 50 * i, kNow)});
    ids.push_back(span(canary, i, 1, 0, 0).trace_id);
  }
  ids.push_back(span(canary, 200, 1, 0, 0).trace_id); // nobody sent it
  const auto together = store->traces(ids);
  ASSERT_TRUE(together);
  ASSERT_EQ(together->size(), ids.size());
  for (std::size_t i = 0; i < ids.size(); ++i) {
    const auto alone = store->trace(ids[i]);
    ASSERT_TRUE(alone);
    ASSERT_EQ((*together)[i].size(), alone->size()) << i;
    EXPECT_EQ(alone->size(), i == 100 ? 0u : 2u);
    for (std::size_t k = 0; k < alone->size(); ++k)
      EXPECT_EQ((*together)[i][k].span.span_id, (*alone)[k].span.span_id);
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
  const auto result =
      send({span(canary, 1, 1, 0, 0), span(canary, 2, 1, kNow + 3600'000, kNow + 3600'001),
            span(canary, 3, 1, kNow, kNow - 5)});
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

TEST_F(SpansTest, ByAttribute) {
  const auto with = [&](std::uint8_t id, Attributes attributes) {
    return span(canary, id, 1, kNow - id, kNow, SpanKind::server, StatusCode::unset,
                std::move(attributes));
  };
  send({with(1, {{"http.route", std::string("/a")}, {"code", std::int64_t{200}}}),
        with(2, {{"http.route", std::string("/b")}}), with(3, {})});
  auto filter = shop();
  filter.attributes = {{"http.route", "/a"}};
  EXPECT_EQ(found(filter), (std::vector<int>{1}));
  filter.attributes = {{"http.route", "/a"}, {"code", "200"}};
  EXPECT_EQ(found(filter), (std::vector<int>{1}));
  filter.attributes = {{"http.route", "/a"}, {"code", "500"}};
  EXPECT_TRUE(found(filter).empty());
  filter.attributes = {{"service.instance.id", "i1"}};
  EXPECT_EQ(found(filter), (std::vector<int>{1, 2, 3})) << "of the resource";
}

struct Expected {
  std::int64_t start = 0;
  bool error = false;
  bool canary = false;
  int route = 0;
};

// Appends, repeats, merges and restarts against a plain map.
TEST_F(SpansTest, AgreesWithAMapUnderRandomOperations) {
  std::mt19937 random(4);
  std::map<int, Expected> model; // by number, which is the trace id
  options.retention_ms = 1LL << 40;
  reopen();
  std::vector<Span> last;
  int next = 1;
  for (int step = 0; step < 120; ++step) {
    clock.advance_ms(random() % 20'000);
    const auto now = clock.wall_ms();
    std::vector<Span> spans = random() % 4 == 0 ? last : std::vector<Span>();
    for (auto n = random() % 8; n > 0; --n) {
      const Expected e{now - static_cast<std::int64_t>(random() % 60'000), random() % 5 == 0,
                       random() % 2 == 0, static_cast<int>(random() % 3)};
      Span s = span(e.canary ? canary : stable, 1, 1, e.start, e.start + 5, SpanKind::server,
                    e.error ? StatusCode::error : StatusCode::unset,
                    {{"http.route", "/" + std::to_string(e.route)}, {"n", std::int64_t{next}}});
      std::memcpy(s.trace_id.data(), &next, sizeof next);
      model[next++] = e;
      spans.push_back(std::move(s));
    }
    last = spans;
    send(spans);
    if (random() % 15 == 0) {
      ASSERT_TRUE(store->maintain());
    }
    if (random() % 30 == 0) reopen();
    if (random() % 6 != 0) continue;
    auto filter = shop();
    filter.limit = 1000;
    filter.errors_only = random() % 2 == 0;
    if (random() % 2 == 0) filter.track = "canary";
    if (random() % 2 == 0) filter.attributes = {{"http.route", "/1"}};
    if (random() % 2 == 0) filter.from_ms = now - static_cast<std::int64_t>(random() % 300'000);
    std::set<std::int64_t> wanted;
    for (const auto& [n, e] : model) {
      if ((e.error || !filter.errors_only) && (e.canary || !filter.track) &&
          (e.route == 1 || filter.attributes.empty()) && e.start >= filter.from_ms) {
        wanted.insert(n);
      }
    }
    std::set<std::int64_t> seen;
    const auto answer = store->find_spans(filter);
    ASSERT_TRUE(answer);
    for (const auto& s : *answer)
      seen.insert(std::get<std::int64_t>(*find_attribute(s.span.attributes, "n")));
    EXPECT_EQ(seen, wanted) << "step " << step;
  }
  EXPECT_EQ(damaged(), 0);
  const auto requests = select(*store, kRequestsName);
  double total = 0;
  for (const auto& data : requests) total += data.floats.back().value;
  EXPECT_EQ(total, static_cast<double>(model.size()));
}

// The budget drops healthy traces first and evenly. Each remaining span says how many it stands
// for.
TEST_F(SpansTest, TheBudgetKeepsWhatTells) {
  options.span_budget_bytes = 15'000;
  reopen();
  int failing = 0;
  for (int i = 0; i < 40; ++i) {
    std::vector<Span> spans;
    for (int k = 0; k < 100; ++k) {
      const int n = i * 100 + k;
      const bool fails = n % 100 == 7;
      const bool slow = n % 400 == 9;
      failing += fails ? 1 : 0;
      Span s = span(canary, 1, 1, kNow - 50'000 + n, kNow - 50'000 + n + (slow ? 900 : n % 50),
                    SpanKind::server, fails ? StatusCode::error : StatusCode::unset,
                    {{"n", std::int64_t{n}}, {"noise", std::to_string(n * 2654435761u)}});
      std::memcpy(s.trace_id.data(), &n, sizeof n);
      spans.push_back(std::move(s));
    }
    send(std::move(spans));
  }
  ASSERT_TRUE(store->maintain());
  EXPECT_LT(store->stats().disk_bytes, 100'000'000u);
  auto filter = shop();
  filter.limit = 10'000;
  for (int round = 0; round < 2; ++round) {
    const auto kept = store->find_spans(filter);
    ASSERT_TRUE(kept);
    EXPECT_LT(kept->size(), 3000u);
    int failing_kept = 0;
    int slow_kept = 0;
    double standing_for = 0;
    for (const auto& s : *kept) {
      failing_kept += s.span.status == StatusCode::error ? 1 : 0;
      slow_kept += s.span.end_ns - s.span.start_ns > 800'000'000 ? 1 : 0;
      standing_for += s.span.stands_for;
    }
    EXPECT_EQ(failing_kept, failing);
    EXPECT_EQ(slow_kept, 10);
    EXPECT_NEAR(standing_for, 4000, 600);
    const auto requests = select(*store, kRequestsName);
    ASSERT_EQ(requests.size(), 1u);
    EXPECT_EQ(requests[0].floats.back().value, 4000) << "counts do not come from what was kept";
    reopen();
  }
}

} // namespace
} // namespace coalmine::store::testing
