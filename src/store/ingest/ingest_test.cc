// What becomes of points that clash with others, and of deltas.
// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "store/ingest/span_facts.h"
#include "store/testing.h"

namespace coalmine::store::testing {
namespace {

using Points = std::vector<std::pair<std::int64_t, double>>;

struct IngestTest : ::testing::Test, Fixture {
  std::shared_ptr<const Resource> app = resource("shop");
  void SetUp() override { open(); }

  std::shared_ptr<const MetricSeries> counter(Temporality temporality, Attributes attributes = {}) {
    return series(app, "jobs", "jobs_total", MetricKind::counter, std::move(attributes), "",
                  temporality);
  }
  Points stored() {
    const auto found = select(*store, "jobs_total");
    return found.size() == 1 ? values(found[0]) : Points{};
  }
};

TEST_F(IngestTest, OfTwoTotalsAtOneInstantOneIsKeptAndTheSenderIsTold) {
  const auto total = counter(Temporality::cumulative);
  const auto start = kNow - 60'000;
  const auto result = append(batch({point(total, start, kNow, 100), point(total, start, kNow, 5)}));
  EXPECT_EQ(result.rejected_points, 1u);
  EXPECT_NE(result.reason.find("two different values at 2023-11-14T22:13:20"), std::string::npos)
      << result.reason;
  EXPECT_NE(result.reason.find("jobs_total{"), std::string::npos) << result.reason;
  EXPECT_EQ(append(batch({point(total, start, kNow, 5)})).rejected_points, 0u) << "a repetition";
  EXPECT_EQ(append(batch({point(total, start, kNow, 100)})).rejected_points, 1u)
      << "in two requests";
  append(batch({point(total, start, kNow + 1000, 101)}));
  EXPECT_EQ(append(batch({point(total, start, kNow, 100)})).rejected_points, 0u);
  EXPECT_EQ(append(batch({point(total, start, kNow, 7)})).rejected_points, 1u) << "late";
  EXPECT_EQ(stored(), (Points{{0, 7}, {1000, 101}})) << "the last";
}

TEST_F(IngestTest, AttributesThatReadAlikeAsLabelsAreTold) {
  const auto dots = counter(Temporality::cumulative, {{"a.b", std::string("x")}});
  const auto line = counter(Temporality::cumulative, {{"a_b", std::string("x")}});
  EXPECT_EQ(append(batch({point(dots, kNow - 1000, kNow, 1), point(line, kNow - 1000, kNow, 2)}))
                .rejected_points,
            1u);
}

TEST_F(IngestTest, WithinAMillisecondTheNewerPointCounts) {
  const auto total = counter(Temporality::cumulative);
  auto later = point(total, kNow - 1000, kNow, 6);
  later.time_ns += 400'000;
  EXPECT_EQ(append(batch({point(total, kNow - 1000, kNow, 5)})).rejected_points, 0u);
  EXPECT_EQ(append(batch({later})).rejected_points, 0u);
  EXPECT_EQ(stored(), (Points{{0, 6}}));
}

TEST_F(IngestTest, AfterARestartARepetitionIsStillOne) {
  const auto total = counter(Temporality::cumulative);
  append(batch({point(total, kNow - 1000, kNow, 5)}));
  reopen();
  EXPECT_EQ(append(batch({point(total, kNow - 1000, kNow, 5)})).rejected_points, 0u);
  EXPECT_EQ(append(batch({point(total, kNow - 1000, kNow, 9)})).rejected_points, 1u);
}

TEST_F(IngestTest, ADeltaThatClashesIsToldAndARepeatedOneIsNot) {
  const auto of = counter(Temporality::delta);
  const auto result =
      append(batch({point(of, kNow - 1000, kNow, 5), point(of, kNow - 2000, kNow, 3)}));
  EXPECT_EQ(result.rejected_points, 1u);
  EXPECT_NE(result.reason.find("two different values"), std::string::npos) << result.reason;
  EXPECT_EQ(append(batch({point(of, kNow - 1000, kNow, 5)})).rejected_points, 0u);
  append(batch({point(of, kNow, kNow + 2000, 0.1), point(of, kNow, kNow + 1000, 0.2)}));
  EXPECT_EQ(append(batch({point(of, kNow, kNow + 1000, 0.2)})).rejected_points, 0u);
  EXPECT_EQ(append(batch({point(of, kNow, kNow + 1000, 0.3)})).rejected_points, 1u);
  const auto got = stored();
  ASSERT_EQ(got.size(), 3u);
  EXPECT_DOUBLE_EQ(got.back().second, 5.3);
}

TEST_F(IngestTest, DeltaHistogramsKeepTheirCountsWhenTheirBoundsChange) {
  const auto of =
      series(app, "wait", "wait_seconds", MetricKind::histogram, {}, "s", Temporality::delta);
  const auto narrow = bounds({1, 2});
  const auto wide = bounds({5});
  append(batch({point(of, kNow - 1000, kNow, classic(narrow, {1, 2, 2}))}));
  append(batch({point(of, kNow, kNow + 10'000, classic(wide, {7, 1}))}));
  append(batch({point(of, kNow + 10'000, kNow + 20'000, classic(wide, {1, 1}))}));
  append(batch({point(of, kNow + 1000, kNow + 15'000, classic(narrow, {0, 3, 0}))})); // late
  append(batch({point(of, kNow + 20'000, kNow + 30'000, classic(wide, {0, 1}))}));
  const auto found = select(*store, "wait_seconds");
  ASSERT_EQ(found.size(), 1u);
  std::vector<std::pair<std::int64_t, std::uint64_t>> got;
  double increase = 0; // as a reader counts that does not know start times
  const ClassicSample* before = nullptr;
  for (const auto& s : found[0].classic) {
    got.emplace_back(s.time_ms - kNow, s.value.count);
    const auto count = static_cast<double>(s.value.count);
    const double past = before == nullptr ? 0 : static_cast<double>(before->value.count);
    increase += count < past ? count : count - past;
    before = &s;
  }
  EXPECT_EQ(got, (std::vector<std::pair<std::int64_t, std::uint64_t>>{
                     {0, 5}, {1, 0}, {10'000, 8}, {15'000, 11}, {20'000, 13}, {30'000, 14}}));
  EXPECT_EQ(increase, 5 + 8 + 2 + 3 + 1) << "all that was sent";
  EXPECT_EQ(found[0].classic[0].start_ms, kNow - 1000);
  EXPECT_EQ(found[0].classic.back().start_ms, kNow) << "the count began again";
}

TEST_F(IngestTest, AHistogramThatDoesNotTellFailedRequestsCountsNoErrors) {
  const auto list = bounds({0.1});
  const auto of = [&](Attributes attributes) {
    return series(app, "http.server.request.duration", "http_server_request_duration_seconds",
                  MetricKind::histogram, std::move(attributes), "s");
  };
  const Attributes route = {{"http.route", std::string("/a")}};
  const auto plain = of(route);
  append(batch({point(plain, kNow - 1000, kNow, classic(list, {10, 0}))}));
  EXPECT_EQ(select(*store, kRequestsName).at(0).source, Source::histogram);
  EXPECT_TRUE(select(*store, kErrorsName).empty()) << "unknown is not zero";
  Batch b = batch({});
  b.spans = table_of({span(app, 1, 1, kNow - 500, kNow, SpanKind::server, StatusCode::error)});
  append(b);
  EXPECT_EQ(select(*store, kRequestsName).at(0).source, Source::spans) << "they count both";
  EXPECT_EQ(select(*store, kErrorsName).at(0).source, Source::spans);
  // Once it tells, it is the better source again, and what had a status is counted.
  auto failed = route;
  failed.emplace_back("http.response.status_code", std::int64_t{500});
  append(batch({point(plain, kNow - 1000, kNow + 1000, classic(list, {11, 0})),
                point(of(failed), kNow - 1000, kNow + 1000, classic(list, {4, 0}))}));
  for (int round = 0; round < 2; ++round) {
    const auto errors = select(*store, kErrorsName);
    ASSERT_EQ(errors.size(), 1u);
    EXPECT_EQ(errors[0].source, Source::histogram);
    EXPECT_EQ(values(errors[0]), (Points{{1000, 4}}));
    EXPECT_EQ(select(*store, kRequestsName).at(0).floats.back().value, 15);
    reopen();
  }
}

TEST(SampledSpans, WhatATraceStateSays) {
  EXPECT_EQ(adjusted_count(""), std::nullopt);
  EXPECT_EQ(adjusted_count("ot=th:0"), 1);
  EXPECT_EQ(adjusted_count("ot=th:8"), 2);
  EXPECT_EQ(adjusted_count("vendor=th:8, ot=rv:0123456789abcd;th:c"), 4);
  EXPECT_NEAR(adjusted_count("ot=th:fd70a4").value(), 100, 0.01);
  EXPECT_EQ(adjusted_count("ot=th:ffffffffffffff"), 1e6) << "bounded";
  for (const auto* damaged : {"ot=th:", "ot=th:xyz", "ot=th:8z", "ot=th:fffffffffffffff", "ot=p:3",
                              "th:8", "other=th:8", "ot=th:-8", ",;="})
    EXPECT_EQ(adjusted_count(damaged), std::nullopt) << damaged;
}

TEST_F(IngestTest, SampledSpansCountForWhatTheyStandFor) {
  std::vector<Span> spans;
  for (std::uint8_t i = 1; i <= 10; ++i) {
    auto one = span(app, i, i, kNow - 1000, kNow - 900, SpanKind::server,
                    i <= 2 ? StatusCode::error : StatusCode::unset);
    one.trace_state = "ot=th:c"; // one of four
    spans.push_back(one);
  }
  spans.push_back(span(app, 11, 11, kNow - 1000, kNow - 900));
  for (std::uint8_t i = 12; i < 14; ++i) {
    spans.push_back(span(app, i, i, kNow - 1000, kNow - 900));
    spans.back().trace_state = "ot=th:5555555555555"; // two of three
  }
  Batch b = batch({});
  b.spans = table_of(spans);
  append(b);
  EXPECT_NEAR(select(*store, kRequestsName).at(0).floats.at(0).value, 40 + 1 + 3, 1e-6);
  EXPECT_NEAR(select(*store, kErrorsName).at(0).floats.at(0).value, 8, 1e-6);
  const auto durations = select(*store, kDurationName).at(0).classic.at(0).value;
  EXPECT_NEAR(static_cast<double>(durations.count), 44, 1) << "whole numbers, the rest comes later";
  EXPECT_NEAR(durations.sum, 4400, 1e-3);
}

// What a sampler at the tail kept is counted beside the requests, also after a restart; a span that
// says how many it stands for is none of these.
TEST_F(IngestTest, SpansOfATailSamplerAreCountedAsSuch) {
  const Attributes mark = {{"tailsampling.policy", std::string("errors")}};
  const auto send = [&](std::uint8_t first, Attributes attributes, std::string state) {
    std::vector<Span> spans;
    for (std::uint8_t i = first; i < first + 3; ++i) {
      spans.push_back(span(app, i, i, clock.wall_ms() - 1000, clock.wall_ms() - 900,
                           SpanKind::server, StatusCode::unset, attributes));
      spans.back().trace_state = state;
    }
    Batch b = batch({}, clock.wall_ms());
    b.spans = table_of(spans);
    append(b);
    clock.advance_ms(5000);
  };
  send(1, {}, "");
  send(11, mark, "ot=th:8");
  EXPECT_TRUE(select(*store, kTailSampledName).empty());
  send(21, mark, "");
  reopen();
  send(31, {{"meta.refinery.reason", std::string("rules/error")}}, "vendor=1");
  send(41, {}, "");
  const auto found = select(*store, kTailSampledName);
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].source, Source::spans);
  EXPECT_EQ(found[0].floats.back().value, 6);
  EXPECT_EQ(select(*store, kRequestsName).at(0).floats.back().value, 18);
}

} // namespace
} // namespace coalmine::store::testing
