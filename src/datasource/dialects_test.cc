// What other stores and libraries call the same requests: names, labels, kinds of histogram,
// replicas.
// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <memory>

#include "cohort/count_grid.h"
#include "datasource/label_spelling.h"
#include "datasource/prometheus.h"
#include "datasource/prometheus_answer.h"
#include "datasource/recording.h"
#include "datasource/replicas.h"
#include "datasource/request_series.h"
#include "datasource/series_source.h"
#include "datasource/sparse_histogram.h"
#include "datasource/tracks_for_test.h"
#include "promql/eval/histogram_math.h"
#include "promql/eval/memory_queryable.h"

namespace coalmine::datasource {
namespace {

// Series of one process of the canary, under the labels that a dialect gives it.
class Dialect {
 public:
  explicit Dialect(bool dots = false) : dots_(dots) {}

  // 0 at the first moment, value at the second.
  void counter(const std::string& name, double value, std::vector<Labels::Pair> more = {}) {
    for (const double part : {0.0, 0.5, 1.0})
      data.append(labels(name, more), promql::Sample{at(60 * part), value * part, 0});
  }
  void native(const std::string& name, double count, std::vector<Labels::Pair> more = {}) {
    for (const double part : {0.0, 1.0}) {
      auto h = std::make_shared<promql::NativeHistogram>();
      h->schema = 3;
      h->positive.offset = -24; // (2^(-25/8), 2^-3] s: around 120 ms
      h->positive.counts = {count * part};
      h->count = count * part;
      h->sum = count * part * 0.12;
      data.append(labels(name, more), promql::HistogramSample{at(60 * part), std::move(h), 0});
    }
  }
  TrackCounts counts(const SeriesNames& names = {}, const FailureRule& rule = {}) const {
    const auto source = make_series_cohort_source(data, names);
    auto canary = track("canary");
    canary.failures = rule;
    const auto got = source->counts(canary, at(0), at(60));
    EXPECT_TRUE(got) << got.error().message;
    if (!got || got->routes.empty()) return {};
    route = got->routes[0].route;
    return got->routes[0].counts;
  }

  promql::MemoryQueryable data;
  mutable std::string route;

 private:
  Labels labels(const std::string& name, const std::vector<Labels::Pair>& more) const {
    std::vector<Labels::Pair> out = {{"__name__", name},
                                     {dots_ ? "service.name" : "service_name", "checkout"},
                                     {dots_ ? "deployment.track" : "deployment_track", "canary"},
                                     {dots_ ? "service.instance.id" : "instance", "a"}};
    out.insert(out.end(), more.begin(), more.end());
    return Labels(std::move(out));
  }
  bool dots_;
};

TEST(Dialects, EveryNameOfTheSameRequests) {
  struct Case {
    const char* duration; // the histogram's base
    const char* route;
    const char* status;
    double bound;
    double bound_ms;
    bool dots;
  };
  const Case cases[] = {
      {"http_server_request_duration_seconds", "http_route", "http_response_status_code", 0.1, 100,
       false},
      {"http.server.request.duration_seconds", "http.route", "http.response.status_code", 0.1, 100,
       true},
      {"http.server.request.duration", "http.route", "http.response.status_code", 0.1, 100, true},
      {"http_server_duration_milliseconds", "http_route", "http_status_code", 100, 100, false},
      {"http.server.duration", "http.route", "http.status_code", 50, 50, true},
      {"http_server_requests_seconds", "uri", "status", 0.1, 100, false},
      {"http_request_duration_seconds", "handler", "code", 0.25, 250, false}};
  for (const auto& c : cases) {
    Dialect d(c.dots);
    for (const auto* status : {"200", "503", "404"}) {
      const std::vector<Labels::Pair> of = {{c.route, "/pay"}, {c.status, status}};
      d.counter(std::string(c.duration) + "_count", 100, of);
      d.counter(std::string(c.duration) + "_sum", 5, of);
      auto bucket = of;
      bucket.emplace_back("le", fmt::format("{}", c.bound));
      d.counter(std::string(c.duration) + "_bucket", 60, bucket);
      bucket.back().second = "+Inf";
      d.counter(std::string(c.duration) + "_bucket", 100, bucket);
    }
    const auto counts = d.counts();
    EXPECT_EQ(counts.requests, 300) << c.duration;
    EXPECT_EQ(counts.errors, 100) << c.duration;
    EXPECT_EQ(counts.answered, 300) << c.duration;
    EXPECT_EQ(counts.client_errors, 100) << c.duration;
    EXPECT_EQ(counts.timed, 300) << c.duration;
    EXPECT_EQ(d.route, "/pay") << c.duration;
    ASSERT_NE(counts.bounds_ms, nullptr) << c.duration;
    EXPECT_NEAR(counts.bounds_ms->front(), c.bound_ms, 1e-9) << c.duration;
  }
}

// An application that writes old and new conventions at once, and a counter of its own.
TEST(Dialects, AnInstanceIsCountedByOneName) {
  Dialect d;
  const std::vector<Labels::Pair> ok = {{"http_route", "/pay"}, {"http_status_code", "200"}};
  d.counter("http_server_duration_milliseconds_count", 100, ok);
  d.counter("http_server_request_duration_seconds_count", 100, ok);
  EXPECT_EQ(d.counts().requests, 100);
  d.counter("http_server_request_total", 90, ok);
  d.counter("http_requests_total", 80, ok);
  EXPECT_EQ(d.counts().requests, 90);
}

TEST(Dialects, ACounterWithoutStatusTakesItsErrorsFromTheHistogram) {
  Dialect d;
  d.counter("http_server_request_total", 100, {{"http_route", "/pay"}});
  for (const auto* status : {"200", "500"}) {
    d.counter("http_server_request_duration_seconds_count", 50,
              {{"http_route", "/pay"}, {"http_response_status_code", status}});
  }
  EXPECT_EQ(d.counts().requests, 100);
  EXPECT_EQ(d.counts().errors, 50);
}

// 4xx is the client's error, whatever exception is behind it (ASP.NET Core writes its type).
TEST(Dialects, A4xxIsNoErrorWhateverItsErrorType) {
  for (const auto* name : {"http_server_request_total", "http_requests_total",
                           "http_server_request_duration_seconds_count"}) {
    Dialect d;
    const auto put = [&](const char* status, const char* type, double value) {
      d.counter(
          name, value,
          {{"http_route", "/pay"}, {"http_response_status_code", status}, {"error_type", type}});
    };
    put("404", "Shop.NotFoundException", 30);
    put("429", "429", 20);
    put("499", "cancelled", 10);
    put("503", "Shop.DownException", 4);
    put("200", "java.io.IOException", 2); // the connection broke while answering
    const auto counts = d.counts();
    EXPECT_EQ(counts.requests, 66) << name;
    EXPECT_EQ(counts.errors, 6) << name;
    EXPECT_EQ(counts.client_errors, 60) << name;
  }
}

TEST(Dialects, ClientErrorsAreKnownWhereStatusesAre) {
  Dialect d;
  d.counter("http_server_request_total", 100, {{"http_route", "/pay"}});
  EXPECT_EQ(d.counts().answered, 0) << "no status is known";
  for (const auto& [status, value] : {std::pair("200", 70.0), std::pair("404", 30.0)}) {
    d.counter("http_server_request_duration_seconds_count", value,
              {{"http_route", "/pay"}, {"http_response_status_code", status}});
  }
  EXPECT_EQ(d.counts().requests, 100) << "of the counter";
  EXPECT_EQ(d.counts().answered, 100) << "the histogram says the statuses";
  EXPECT_EQ(d.counts().client_errors, 30);
  Dialect own;
  own.counter("requests", 60, {{"rc", "404"}});
  own.counter("requests", 40, {{"rc", "2xx"}});
  SeriesNames names;
  names.requests = {"requests"};
  names.status_labels = {"rc"};
  EXPECT_EQ(own.counts(names).client_errors, 60) << "whatever the label is called";
  EXPECT_EQ(own.counts(names).answered, 100);
}

// A service's own rule, whatever counts its requests. No request counts twice, as an error and as
// a client error.
TEST(Dialects, StatusesThatCountAsErrors) {
  const FailureRule rule{.also = {{429, 429}, {499, 499}}, .except = {{501, 501}}};
  const auto expect = [&](const Dialect& d, double errors, double client_errors, const char* what) {
    const auto counts = d.counts({}, rule);
    EXPECT_EQ(counts.errors, errors) << what;
    EXPECT_EQ(counts.client_errors, client_errors) << what;
    EXPECT_EQ(counts.answered, 111) << what;
  };
  const auto put = [](Dialect& d, const char* name) {
    for (const auto& [status, value] :
         {std::pair("200", 40.0), std::pair("404", 30.0), std::pair("429", 20.0),
          std::pair("499", 10.0), std::pair("501", 5.0), std::pair("503", 4.0),
          std::pair("5xx", 2.0)}) {
      d.counter(name, value,
                {{"http_route", "/pay"},
                 {"http_response_status_code", status},
                 {"span_kind", "SPAN_KIND_SERVER"},
                 {"status_code", "STATUS_CODE_UNSET"}});
    }
  };
  for (const auto* name :
       {"http_server_request_total", "http_requests_total",
        "http_server_request_duration_seconds_count", "traces_span_metrics_calls_total"}) {
    Dialect d;
    put(d, name);
    expect(d, 36, 30, name);
    EXPECT_EQ(d.counts().errors, 11) << name << " without a rule";
    EXPECT_EQ(d.counts().client_errors, 60) << name;
  }
  Dialect lent;
  lent.counter("http_server_request_total", 111, {{"http_route", "/pay"}});
  put(lent, "http_server_request_duration_seconds_count");
  expect(lent, 36, 30, "the histogram tells what the counter does not");
  // An error counter of the application's own counts what it counts. The rule adds to it where the
  // requests say their status; else what it names are client errors.
  lent.counter("http_server_request_errors_total", 11, {{"http_route", "/pay"}});
  expect(lent, 11, 60, "an error counter, and statuses in the histogram alone");
  Dialect own;
  put(own, "http_server_request_total");
  own.counter("http_server_request_errors_total", 11, {{"http_route", "/pay"}});
  expect(own, 41, 30, "an error counter, and statuses in the counter");
}

TEST(Dialects, SpanMetricsOfACollector) {
  struct Case {
    const char* calls;
    const char* duration;
    bool dots;
  };
  for (const auto& c :
       {Case{"traces_span_metrics_calls_total", "traces_span_metrics_duration_milliseconds", false},
        Case{"traces.span.metrics.calls", "traces.span.metrics.duration", true},
        Case{"calls_total", "duration_milliseconds", false}}) {
    Dialect d(c.dots);
    const std::string kind = c.dots ? "span.kind" : "span_kind";
    const std::string code = c.dots ? "status.code" : "status_code";
    const auto put = [&](const char* of_kind, const char* of_code, double value) {
      const std::vector<Labels::Pair> of = {
          {kind, of_kind}, {code, of_code}, {c.dots ? "span.name" : "span_name", "GET /pay"}};
      d.counter(c.calls, value, of);
      auto bucket = of;
      bucket.emplace_back("le", "100");
      d.counter(std::string(c.duration) + "_bucket", value / 2, bucket);
      bucket.back().second = "+Inf";
      d.counter(std::string(c.duration) + "_bucket", value, bucket);
    };
    put("SPAN_KIND_SERVER", "STATUS_CODE_UNSET", 90);
    put("SPAN_KIND_SERVER", "STATUS_CODE_ERROR", 10);
    put("SPAN_KIND_CLIENT", "STATUS_CODE_ERROR", 70);
    const auto counts = d.counts();
    EXPECT_EQ(counts.requests, 100) << c.calls;
    EXPECT_EQ(counts.errors, 10) << c.calls;
    EXPECT_EQ(counts.timed, 100) << c.calls;
    EXPECT_EQ(d.route, "GET /pay");
    // What the service says itself goes before what a collector saw of it.
    d.counter("http_server_request_total", 1000, {{"http_route", "/pay"}});
    const auto own = d.counts();
    EXPECT_EQ(own.requests, 1000) << c.calls;
    EXPECT_EQ(own.errors, 0) << c.calls;
  }
}

TEST(Dialects, NativeHistograms) {
  for (const bool dots : {false, true}) {
    Dialect d(dots);
    const std::string name =
        dots ? "http.server.request.duration" : "http_server_request_duration_seconds";
    const std::string status = dots ? "http.response.status_code" : "http_response_status_code";
    d.native(name, 80, {{status, "200"}});
    d.native(name, 20, {{status, "500"}});
    const auto counts = d.counts();
    EXPECT_EQ(counts.requests, 100);
    EXPECT_EQ(counts.errors, 20);
    EXPECT_EQ(counts.timed, 100);
    EXPECT_NEAR(counts.sum_ms, 12'000, 1e-6);
    ASSERT_NE(counts.bounds_ms, nullptr);
    const auto bucket = std::ranges::find(counts.bucket_counts, 100) - counts.bucket_counts.begin();
    EXPECT_NEAR(counts.bounds_ms->at(static_cast<std::size_t>(bucket)), 125, 1e-9);
    // The same process also as a classic histogram: the same requests.
    for (const auto* le : {"0.1", "+Inf"}) {
      const std::string base = name;
      d.counter(base + "_bucket", 80, {{status, "200"}, {"le", le}});
    }
    d.counter(name + "_count", 80, {{status, "200"}});
    EXPECT_EQ(d.counts().requests, 100);
  }
}

TEST(Dialects, RangesOfVictoriaMetrics) {
  EXPECT_EQ(upper_of_vmrange("1.136e-01...1.292e-01"), 0.1292);
  EXPECT_EQ(upper_of_vmrange("0...1.000e-09"), 1e-9);
  EXPECT_EQ(upper_of_vmrange("1.000e+18...+Inf"), INFINITY);
  for (const auto* bad : {"", "...", "1...", "...1", "1..2", "a...b"})
    EXPECT_FALSE(upper_of_vmrange(bad)) << bad;
  Dialect d(true);
  const std::string name = "http.server.request.duration";
  d.counter(name + "_bucket", 70, {{"vmrange", "1.136e-01...1.250e-01"}});
  d.counter(name + "_bucket", 30, {{"vmrange", "8.799e-01...1.000e+00"}});
  d.counter(name + "_count", 100);
  d.counter(name + "_sum", 40);
  const auto counts = d.counts();
  EXPECT_EQ(counts.requests, 100);
  EXPECT_EQ(counts.timed, 100);
  EXPECT_NEAR(counts.sum_ms, 40'000, 1e-6);
  double slow = 0;
  for (std::size_t i = 0; i < counts.bucket_counts.size(); ++i) {
    if (i == counts.bounds_ms->size() || counts.bounds_ms->at(i) > 125.1)
      slow += counts.bucket_counts[i];
  }
  EXPECT_EQ(slow, 30);
}

// The resolution of an exponential histogram falls when a value comes that is far from the others:
// all buckets have other bounds then, and nothing restarted.
TEST(SparseTotal, OtherBucketsAreNoRestart) {
  SparseTotal total(1000);
  SparseHistogram fine{{{0.1, 10}, {0.11, 10}, {0.12, 20}}, 40, 4};
  const auto first = total.add(at(0), 0, fine);
  ASSERT_TRUE(first);
  EXPECT_EQ(first->value.count, 40u);
  EXPECT_FALSE(total.add(at(0), 0, fine)) << "the same moment again";
  const SparseHistogram coarse{{{0.125, 42}, {64, 1}}, 43, 70};
  const auto second = total.add(at(10), 0, coarse);
  ASSERT_TRUE(second);
  EXPECT_EQ(second->value.count, 43u);
  EXPECT_EQ(second->value.bounds, first->value.bounds);
  EXPECT_NEAR(second->value.sum, 70'000, 1e-6);
  for (std::size_t i = 0; i < second->value.counts.size(); ++i)
    EXPECT_GE(second->value.counts[i], first->value.counts[i]);
  const auto third = total.add(at(20), 0, {{{0.125, 52}, {64, 1}}, 53, 71});
  ASSERT_TRUE(third);
  EXPECT_EQ(third->value.count, 53u);
  const auto restarted = total.add(at(30), 0, {{{0.125, 2}}, 2, 0.2});
  ASSERT_TRUE(restarted);
  EXPECT_EQ(restarted->value.count, 2u);
}

TEST(SparseTotal, EdgesAreKept) {
  // Every bound of a histogram that is as fine or coarser lies on one of ours, also when the store
  // wrote it with four digits.
  for (int i = -80; i < 40; ++i) {
    const double upper = std::exp2(i / 8.0);
    SparseTotal total(1000);
    const auto got = total.add(at(0), 0, {{{upper * 1.0004, 1}}, 1, upper});
    ASSERT_TRUE(got);
    const auto place = std::ranges::find(got->value.counts, 1u) - got->value.counts.begin();
    EXPECT_NEAR(got->value.bounds->at(static_cast<std::size_t>(place)) / 1000, upper, upper * 1e-9);
  }
}

promql::HistogramSample answered(const std::string& buckets) {
  const auto got = parse_matrix(
      R"({"status":"success","data":{"resultType":"matrix","result":[{"metric":{"__name__":"h"},)"
      R"("histograms":[[1700000000,{"count":"7","sum":"1.5","buckets":)" +
      buckets + "}]]}]}}");
  EXPECT_TRUE(got) << got.error().message;
  return got && got->size() == 1 && got->front().histograms.size() == 1
             ? got->front().histograms.front()
             : promql::HistogramSample{0, std::make_shared<promql::NativeHistogram>(), 0};
}

TEST(NativeAnswer, TheSchemaFollowsFromTheBuckets) {
  // As Prometheus 3.16 answers: schema 5, with a zero bucket.
  const auto fine = answered(R"([[3,"-1e-09","1e-09","1"],)"
                             R"([0,"0.007645094235060155","0.0078125","2"],)"
                             R"([0,"0.00870614642653041","0.008896786209036653","4"]])");
  EXPECT_EQ(fine.value->schema, 5);
  EXPECT_EQ(fine.value->count, 7);
  EXPECT_EQ(fine.value->sum, 1.5);
  EXPECT_EQ(fine.value->zero_count, 1);
  const auto buckets = promql::buckets_of(*fine.value);
  EXPECT_NEAR(buckets.back().upper, 0.008896786209036653, 1e-15);
  EXPECT_EQ(buckets.back().count, 4);
  const auto coarse = answered(R"([[0,"0.0625","1","3"],[0,"1","16","4"]])");
  EXPECT_EQ(coarse.value->schema, -2);
  // Bounds of the application's own.
  const auto custom =
      answered(R"([[0,"-Inf","0.005","1"],[0,"0.1","0.25","5"],[0,"10","+Inf","1"]])");
  EXPECT_EQ(custom.value->schema, promql::kCustomSchema);
  EXPECT_EQ(custom.value->custom_bounds, (std::vector<double>{0.005, 0.1, 0.25, 10}));
  EXPECT_EQ(custom.value->positive.counts, (std::vector<double>{1, 0, 5, 0, 1}));
  EXPECT_EQ(sparse_of(*custom.value).buckets,
            (std::map<double, double>{{0.005, 1}, {0.25, 5}, {INFINITY, 1}}));
  const auto negative = answered(R"([[1,"-2","-1","3"],[0,"1","2","4"]])");
  EXPECT_EQ(negative.value->schema, 0);
  EXPECT_EQ(negative.value->negative.counts, std::vector<double>{3});
  for (const auto* bad : {R"([[0,"a","2","1"]])", R"([[0,"1","2"]])", R"({"a":1})",
                          R"([[0,"2","1","1"]])", R"([[0,"1","2","-1"]])"}) {
    EXPECT_FALSE(
        parse_matrix(R"({"status":"success","data":{"resultType":"matrix","result":[{"metric":{},)"
                     R"("histograms":[[1,{"count":"1","sum":"1","buckets":)" +
                     std::string(bad) + "}]]}]}}"))
        << bad;
  }
  EXPECT_FALSE(parse_matrix(R"({"status":"success","isPartial":true,"data":{"resultType":"matrix",)"
                            R"("result":[]}})"));
}

TEST(LabelSpelling, AsksInTheWaysTheSourceHas) {
  promql::MemoryQueryable data;
  const SeriesNames names;
  const std::vector<Matcher> asked = {{"service_name", Matcher::Op::equal, "checkout"},
                                      {"deployment_track", Matcher::Op::equal, "canary"},
                                      {"deployment_environment", Matcher::Op::regexp, "prod|"}};
  const auto put = [&](std::vector<Labels::Pair> labels) {
    labels.emplace_back("__name__", "http_server_request_duration_seconds_count");
    data.append(Labels(std::move(labels)), promql::Sample{at(0), 1, 0});
  };
  const auto of = [&] { return LabelSpelling(data, names).of(asked, at(0)); };
  EXPECT_EQ(of(), std::vector<std::vector<Matcher>>{asked});
  put({{"service_name", "cart"}, {"deployment_track", "canary"}});
  EXPECT_EQ(of(), std::vector<std::vector<Matcher>>{asked});
  put({{"service.name", "checkout"}, {"deployment.track", "canary"}});
  ASSERT_EQ(of().size(), 2u);
  EXPECT_EQ(
      selector_text(of()[1]),
      R"({"service.name"="checkout","deployment.track"="canary",deployment_environment=~"prod|"})");
  data.clear();
  put({{"service.name", "checkout"}, {"deployment.track", "canary"}});
  ASSERT_EQ(of().size(), 1u);
  EXPECT_EQ(of()[0][0].name, "service.name");
}

TEST(Recording, NamesInQuotes) {
  const auto got = parse_recording(
      "{\"http.server.request_total\",\"service.name\"=\"a\", b=\"c\"} 5 1700000000\n"
      "up{\"service.name\"=\"a\"} 1 1700000000\n");
  ASSERT_TRUE(got) << got.error().message;
  const auto series =
      (*got)->data.select({{{"service.name", Matcher::Op::equal, "a"}}, 0, INT64_MAX, 100});
  ASSERT_EQ(series->size(), 2u);
  EXPECT_EQ(series->at(0).labels.metric_name(), "http.server.request_total");
  EXPECT_EQ(series->at(0).labels.get("b"), "c");
  for (const auto* bad :
       {"{\"a\",\"b\"} 1 1", "x{\"a\"} 1 1", "{\"\"} 1 1", "{\"a\"=\"b\"} 1 1", "{\"a} 1 1"})
    EXPECT_FALSE(parse_recording(bad)) << bad;
}

TEST(Replicas, OneProcessCountsOnce) {
  SeriesNames names;
  promql::MemoryQueryable data;
  const auto put = [&](const char* replica, double offset, double from, double to) {
    for (double t = from; t <= to; t += 15) {
      data.append(Labels::of({{"__name__", "http_server_request_total"},
                              {"service_name", "checkout"},
                              {"deployment_track", "canary"},
                              {"instance", "a"},
                              {"replica", replica}}),
                  promql::Sample{at(t + offset), 1000 + 2 * (t + offset), 0});
    }
  };
  put("one", 0, -300, 600);
  put("two", 0.1, -300, 600);
  const auto counts = [&] {
    const auto got =
        make_series_cohort_source(data, names)->counts(track("canary"), at(0), at(600));
    EXPECT_TRUE(got);
    return got && got->routes.size() == 1 ? got->routes[0].counts.requests : -1;
  };
  EXPECT_NEAR(counts(), 1200, 1);
  // The first one is away for a while: the other fills the gap, and nothing looks like a restart.
  data.clear();
  put("one", 0, -300, 150);
  put("one", 0, 450, 600);
  put("two", 0.1, -300, 600);
  EXPECT_NEAR(counts(), 1200, 1);
  data.clear();
  put("one", 0, -300, 150);
  put("two", 0.1, -300, 600);
  EXPECT_NEAR(counts(), 2 * 585.1, 1) << "its newest sample in the window";

  // Without an instance the label may be the process.
  promql::Series a{Labels::of({{"__name__", "x"}, {"replica", "0"}}), {{at(0), 1, 0}}, {}};
  promql::Series b{Labels::of({{"__name__", "x"}, {"replica", "1"}}), {{at(0), 1, 0}}, {}};
  EXPECT_EQ(merge_replicas({a, b}, names.replica_labels, names.instance_labels).size(), 2u);
}

// Two servers that collected the same processes under a label that is not known as one of replicas.
TEST(Replicas, AnUnknownLabelIsTold) {
  promql::MemoryQueryable data;
  const auto put = [&](const char* label, const char* value, double offset, double rate) {
    for (const auto* name :
         {"http_request_duration_seconds_count", "http_request_duration_seconds_sum"}) {
      for (double t = -300; t <= 600; t += 15) {
        const double of = std::string_view(name).ends_with("_sum") ? 0.1 * rate : rate;
        data.append(Labels::of({{"__name__", name},
                                {"service_name", "checkout"},
                                {"deployment_track", "canary"},
                                {"instance", "a"},
                                {label, value}}),
                    promql::Sample{at(t + offset), 1000 + of * (t + offset), 0});
      }
    }
  };
  const auto told = [&] {
    return make_series_cohort_source(data, {})->counted_twice(track("canary"), at(600));
  };
  put("prom_server", "one", 0, 2);
  EXPECT_EQ(told(), "");
  put("prom_server", "two", 4, 2);
  EXPECT_TRUE(
      told().starts_with("series that differ only in prom_server (one, two) count the same"))
      << told();
  data.clear();
  put("tenant", "one", 0, 2);
  put("tenant", "two", 4, 2.5);
  EXPECT_EQ(told(), "") << "they count other requests";
  data.clear();
  put("replica", "one", 0, 2);
  put("replica", "two", 4, 2);
  EXPECT_EQ(told(), "") << "counted once";
  data.clear();
  put("pod", "one", 0, 2);
  put("pod", "two", 4, 2);
  EXPECT_EQ(told(), "") << "two processes";
}

// Counts may be the same by chance, sums of durations are not: all series must run together.
TEST(Replicas, TheSameLoadIsNotTheSameRequests) {
  const auto one = [](const char* name, const char* op, double rate) {
    promql::Series out{Labels::of({{"__name__", name}, {"op", op}}), {}, {}};
    for (double t = 0; t <= 300; t += 15) out.floats.push_back({at(t), rate * t, 0});
    return out;
  };
  std::vector<promql::Series> all = {one("x_count", "read", 2), one("x_count", "write", 2)};
  EXPECT_TRUE(find_run_together(all, {"__name__"}));
  EXPECT_FALSE(find_run_together(all, {"__name__", "op"}));
  all.push_back(one("x_sum", "read", 0.3));
  all.push_back(one("x_sum", "write", 0.4));
  EXPECT_FALSE(find_run_together(all, {"__name__"}));
  EXPECT_FALSE(
      find_run_together({one("x_count", "read", 0), one("x_count", "write", 0)}, {"__name__"}))
      << "nothing happened";
}

// A reader that comes again and again gives the grid the same counts as one that reads once.
TEST(Dialects, AFeedContinuesSparseTotals) {
  promql::MemoryQueryable data;
  const auto put = [&](const char* of_track, double t, double scale) {
    auto h = std::make_shared<promql::NativeHistogram>();
    h->schema = t < 200 ? 5 : 3; // it gets coarser on the way
    const auto fine = [&](int index) { return t < 200 ? index * 4 : index; };
    h->positive.offset = fine(-24);
    h->positive.counts = {scale * (t + 700)};
    h->count = scale * (t + 700);
    h->sum = h->count * 0.12;
    data.append(Labels::of({{"__name__", "http_server_request_duration_seconds"},
                            {"service_name", "checkout"},
                            {"deployment_track", of_track},
                            {"instance", of_track}}),
                promql::HistogramSample{at(t), std::move(h), 0});
  };
  for (double t = -600; t <= 600; t += 15) {
    put("canary", t, 1);
    put("stable", t + 3, 8);
  }
  const auto source = make_series_count_feed_source(data, {});
  cohort::GridOptions options;
  options.origin_ms = kOrigin;
  options.unseen_instances_begin_at_zero = true;
  cohort::CountGrid grid(options);
  const auto feed = source->open({track("canary"), track("stable"), kOrigin});
  double requests = 0;
  double timed = 0;
  for (double now = 0; now <= 600; now += 20) {
    ASSERT_TRUE(feed->read(grid, at(now)));
    for (const auto& cell : grid.close(at(now))) {
      requests += cell.total.stable.requests;
      timed += cell.total.stable.timed;
    }
  }
  EXPECT_NEAR(requests, 8 * 590, 8 * 40);
  EXPECT_NEAR(timed, requests, 8);
}

} // namespace
} // namespace coalmine::datasource
