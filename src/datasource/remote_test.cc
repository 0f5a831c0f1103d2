// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <set>

#include "cohort/count_grid.h"
#include "datasource/fake_store_for_test.h"
#include "datasource/prometheus.h"
#include "datasource/prometheus_answer.h"
#include "datasource/recording.h"
#include "datasource/series_source.h"
#include "datasource/store_cohorts.h"
#include "net/unkind_client_for_test.h"
#include "promql/eval/memory_queryable.h"

namespace coalmine::datasource {
namespace {

using cohort::CohortSelector;

constexpr std::int64_t kEpoch = 1'700'000'000'000;
std::int64_t at_second(double seconds) { return kEpoch + std::llround(seconds * 1000); }

CohortSelector track(const char* name) {
  return {{{"service_name", Matcher::Op::equal, "checkout"},
           {"deployment_track", Matcher::Op::equal, name}}};
}

// Gives the answers in order and repeats the last one.
class ScriptedHttp final : public net::HttpClient {
 public:
  std::vector<Result<net::HttpResponse>> answers;
  std::vector<net::ClientRequest> requests;

  Result<net::HttpResponse> fetch(const net::ClientRequest& request) override {
    requests.push_back(request);
    const auto i = std::min(requests.size(), answers.size()) - 1;
    if (!answers[i]) return net::unkind_failure(request, answers[i].error().message);
    return answers[i];
  }
  Status stream(const net::ClientRequest&, const std::function<bool(std::string_view)>&) override {
    return {};
  }
};

net::HttpResponse answer(int status, std::string body) {
  net::HttpResponse out;
  out.status = status;
  out.body = std::move(body);
  return out;
}

PrometheusOptions quick(std::string url = "http://prometheus:9090/") {
  PrometheusOptions out;
  out.url = std::move(url);
  out.retry_wait_ms = 0;
  return out;
}

TEST(Prometheus, AsksForRawSamples) {
  ScriptedHttp http;
  http.answers.push_back(answer(200, R"({"status":"success","data":{"resultType":"matrix","result":[
    {"metric":{"__name__":"up","job":"a\"b"},
      "values":[[1700000000.123,"1"],[1700000015,"2.5"],[1700000030,"NaN"]]}]}})"));
  auto options = quick();
  options.user = "me";
  options.password = "s3cret:x";
  options.headers = {{"X-Scope-OrgID", "team"}};
  const auto prometheus = make_prometheus(options, http);
  ASSERT_TRUE(prometheus);
  const auto series = (*prometheus)
                          ->select({{{"__name__", Matcher::Op::equal, "up"},
                                     {"job", Matcher::Op::regexp, "a\"b|\\d"}},
                                    at_second(0),
                                    at_second(30),
                                    100});
  ASSERT_TRUE(series) << series.error().message;
  ASSERT_EQ(series->size(), 1u);
  EXPECT_EQ((*series)[0].labels.get("job"), "a\"b");
  ASSERT_EQ((*series)[0].floats.size(), 3u);
  EXPECT_EQ((*series)[0].floats[0].time_ms, at_second(0.123));
  EXPECT_EQ((*series)[0].floats[1].value, 2.5);
  const auto& request = http.requests.at(0);
  EXPECT_EQ(request.method, "POST");
  EXPECT_EQ(request.url, "http://prometheus:9090/api/v1/query");
  EXPECT_EQ(request.body,
            "query=%7B__name__%3D%22up%22%2Cjob%3D%7E%22a%5C%22b%7C%5C%5Cd%22%7D%5B30001ms%5D&time="
            "1700000030.000");
  EXPECT_EQ(net::header(request.headers, "Authorization"), "Basic bWU6czNjcmV0Ong=");
  EXPECT_EQ(net::header(request.headers, "X-Scope-OrgID"), "team");
}

TEST(Prometheus, FailuresAreNotNoData) {
  struct Case {
    const char* name;
    Result<net::HttpResponse> answer;
    ErrorCode code;
    std::size_t tries;
    const char* says;
  };
  const auto down = std::unexpected(
      Error{ErrorCode::unavailable, "cannot reach http://prometheus:9090: refused"});
  const Case cases[] = {
      {"no connection", down, ErrorCode::unavailable, 3, "cannot reach"},
      {"503", answer(503, "Service Unavailable"), ErrorCode::unavailable, 3,
       "answered 503: Service Unavailable"},
      {"429", answer(429, ""), ErrorCode::unavailable, 3, "429"},
      {"401", answer(401, ""), ErrorCode::permission_denied, 1, "credentials"},
      {"400",
       answer(400, R"({"status":"error","errorType":"bad_data","error":"parse error at 1"})"),
       ErrorCode::invalid_argument, 1, "parse error at 1"},
      {"too many samples",
       answer(422, R"({"status":"error","errorType":"execution","error":"query processing would )"
                   R"(load too many samples into memory in query execution"})"),
       ErrorCode::resource_exhausted, 1, "was asked for too much: query processing would load"},
      {"404", answer(404, "404 page not found"), ErrorCode::failed_precondition, 1,
       "has no Prometheus API"},
      {"a page", answer(200, "<html>login</html>"), ErrorCode::internal, 1,
       "not one of Prometheus's API"},
      {"half an answer",
       answer(200, R"({"status":"success","data":{"resultType":"matrix","result":[{"metric":{)"),
       ErrorCode::internal, 1, "not JSON"},
      {"another type",
       answer(200, R"({"status":"success","data":{"resultType":"vector","result":[]}})"),
       ErrorCode::internal, 1, "no matrix"},
      {"nonsense inside",
       answer(200, R"({"status":"success","data":{"resultType":"matrix","result":[{"metric":{},)"
                   R"("values":[["x",1]]}]}})"),
       ErrorCode::internal, 1, "sample"},
      {"error in a success", answer(200, R"({"status":"error","error":"out of memory"})"),
       ErrorCode::invalid_argument, 1, "out of memory"},
  };
  for (const auto& c : cases) {
    ScriptedHttp http;
    http.answers = {c.answer};
    const auto prometheus = make_prometheus(quick(), http).value();
    const auto got = prometheus->select(
        {{{"__name__", Matcher::Op::equal, "up"}}, at_second(0), at_second(30), 100});
    ASSERT_FALSE(got) << c.name;
    EXPECT_EQ(got.error().code, c.code) << c.name << ": " << got.error().message;
    EXPECT_NE(got.error().message.find(c.says), std::string::npos) << got.error().message;
    EXPECT_NE(got.error().message.find("prometheus:9090"), std::string::npos)
        << got.error().message;
    EXPECT_EQ(http.requests.size(), c.tries) << c.name;
    const auto source = make_series_cohort_source(*prometheus, {});
    EXPECT_FALSE(source->counts(track("canary"), at_second(0), at_second(60)))
        << "an outage is never \"no data\"";
  }
  ScriptedHttp flaky;
  flaky.answers = {
      down,
      answer(
          200,
          R"({"status":"success","data":{"resultType":"scalar","result":[1700000000,"+Inf"]}})")};
  const auto value = make_prometheus(quick(), flaky).value()->evaluate("1/0", at_second(0));
  ASSERT_TRUE(value);
  EXPECT_TRUE(std::isinf(value->at(0).value));
  EXPECT_FALSE(make_prometheus(quick("prometheus:9090"), flaky));
}

// What cannot be reached or refuses may repeat the request in any form.
TEST(Prometheus, NoErrorNamesASecret) {
  auto options = quick("http://me:Hush1234@prometheus:9090/p?token=Hush1234");
  options.bearer_token = "Hush1234";
  options.password = "Hush1234";
  options.headers = {{"X-Api-Key", "Hush1234"}};
  const std::string echo = "Cannot POST /p/api/v1/query?token=Hush1234 X-Api-Key: Hush1234";
  std::vector<Result<net::HttpResponse>> answers = {
      std::unexpected(Error{ErrorCode::unavailable, "refused"}),
      answer(200, R"({"status":"error","error":")" + echo + R"("})")};
  for (const int status : {301, 400, 401, 403, 404, 413, 422, 429, 500})
    answers.push_back(answer(status, std::string(180, 'x') + echo));
  for (const auto& one : answers) {
    ScriptedHttp http;
    http.answers = {one};
    const auto prometheus = make_prometheus(options, http).value();
    EXPECT_EQ(prometheus->shown_url(), "http://prometheus:9090/p");
    const promql::Selection up{
        {{"__name__", Matcher::Op::equal, "up"}}, at_second(0), at_second(30), 100};
    for (const auto& error :
         {prometheus->select(up).error(), prometheus->label_values("a", up).error()}) {
      EXPECT_EQ(error.message.find("Hush"), std::string::npos) << error.message;
      EXPECT_NE(error.message.find("prometheus:9090"), std::string::npos) << error.message;
    }
    EXPECT_EQ(http.requests.at(0).url,
              "http://me:Hush1234@prometheus:9090/p/api/v1/query?token=Hush1234");
  }
  ScriptedHttp none;
  const auto bad = make_prometheus(quick("prometheus?token=Hush1234"), none);
  EXPECT_EQ(bad.error().message.find("Hush"), std::string::npos);
}

TEST(Prometheus, NoAnswerBreaksTheParser) {
  const std::string good = R"({"status":"success","data":{"resultType":"matrix",)"
                           R"("result":[{"metric":{"a":"b"},"values":[[1,"2"]]}]}})";
  for (std::size_t i = 0; i < good.size(); ++i) {
    for (const char c : {'{', '[', '"', '0', 'n', '}'}) {
      auto bad = good;
      bad[i] = c;
      (void)parse_matrix(bad);
      (void)parse_instant(bad);
      (void)parse_label_sets(bad);
      (void)parse_strings(bad);
      (void)parse_matrix(std::string_view(good).substr(0, i));
    }
  }
  EXPECT_FALSE(parse_matrix(std::string(100'000, '[')));
}

TEST(Recording, Reads) {
  const auto got = parse_recording(
      "# HELP x things\n# TYPE x counter\n"
      "x{a=\"1\",b=\"q\\\"\\\\\\n\",} 5 1700000000.5\n"
      "x{a=\"1\",b=\"q\\\"\\\\\\n\"} 6 1700000001.5 # {trace_id=\"1\"} 1\r\n"
      "y 1e3 1700000000500\n\nz +Inf 12\n# EOF\n");
  ASSERT_TRUE(got) << got.error().message;
  const auto x = (*got)->data.select({{{"__name__", Matcher::Op::equal, "x"}}, 0, INT64_MAX, 100});
  ASSERT_EQ(x->size(), 1u);
  EXPECT_EQ((*x)[0].labels.get("b"), "q\"\\\n");
  EXPECT_EQ((*x)[0].floats[1].time_ms, at_second(1.5));
  EXPECT_EQ((*got)
                ->data.select({{{"__name__", Matcher::Op::equal, "y"}}, 0, INT64_MAX, 100})
                ->at(0)
                .floats[0]
                .time_ms,
            at_second(0.5));
  EXPECT_EQ((*got)->samples, 4u);
  EXPECT_EQ((*got)->last_ms, at_second(1.5));
  for (const auto* bad :
       {"x", "x 1", "x{a} 1 1", "x{a=\"b} 1 1", "x{a=\"b\" 1 1", "1x 1 1", "x one 1", "x 1 one",
        "x 1 1 1", "x 1 1e300", "x 1 5\nx 1 5", "x 1 5\nx 1 4", "{a=\"b\"} 1 1"}) {
    const auto failed = parse_recording(bad);
    ASSERT_FALSE(failed) << bad;
    EXPECT_NE(failed.error().message.find("line "), std::string::npos) << failed.error().message;
  }
}

TEST(RequestSeries, FamiliesOfManyDialects) {
  struct Case {
    const char* name;
    const char* text;
    double requests, errors, timed;
    double bound; // the first, in ms
  };
  const std::string l =
      R"(service_name="checkout",deployment_track="canary",instance="a",http_route="/pay")";
  const auto line = [&](const std::string& name, const std::string& more, double value) {
    std::string out;
    for (int i = 0; i <= 1; ++i)
      out += fmt::format("{}{{{}{}}} {} {}\n", name, l, more, value * i, 1'700'000'000 + 60 * i);
    return out;
  };
  const std::string seed = line("http_server_request_total", "", 100) +
                           line("http_server_request_errors_total", "", 7) +
                           line("http_server_request_duration_bucket", ",le=\"100\"", 60) +
                           line("http_server_request_duration_bucket", ",le=\"250\"", 90) +
                           line("http_server_request_duration_bucket", ",le=\"+Inf\"", 100);
  const std::string conventions =
      line("http_server_request_duration_seconds_count", ",http_response_status_code=\"200\"", 90) +
      line("http_server_request_duration_seconds_count", ",http_response_status_code=\"503\"", 8) +
      line("http_server_request_duration_seconds_count", ",error_type=\"timeout\"", 2) +
      line("http_server_request_duration_seconds_count",
           ",http_response_status_code=\"404\",error_type=\"404\"", 5) +
      line("http_server_request_duration_seconds_bucket",
           ",http_response_status_code=\"200\",le=\"0.1\"", 50) +
      line("http_server_request_duration_seconds_bucket",
           ",http_response_status_code=\"200\",le=\"+Inf\"", 90);
  const std::string codes = line("http_server_request_total", ",code=\"200\"", 95) +
                            line("http_server_request_total", ",code=\"500\"", 5);
  const Case cases[] = {{"the seed's names", seed.c_str(), 100, 7, 100, 100},
                        {"semantic conventions", conventions.c_str(), 105, 10, 90, 100},
                        {"status codes on the counter", codes.c_str(), 100, 5, 0, 0}};
  for (const auto& c : cases) {
    // Lines of one series must ascend; each series was written at once.
    const auto recording = parse_recording(c.text);
    ASSERT_TRUE(recording) << c.name << recording.error().message;
    const auto counts = make_series_cohort_source((*recording)->data, {})
                            ->counts(track("canary"), at_second(0), at_second(60));
    ASSERT_TRUE(counts);
    ASSERT_EQ(counts->routes.size(), 1u) << c.name;
    EXPECT_EQ(counts->routes[0].route, "/pay");
    EXPECT_EQ(counts->routes[0].counts.requests, c.requests) << c.name;
    EXPECT_EQ(counts->routes[0].counts.errors, c.errors) << c.name;
    EXPECT_EQ(counts->routes[0].counts.timed, c.timed) << c.name;
    if (c.bound > 0) {
      EXPECT_NEAR(counts->routes[0].counts.bounds_ms->at(0), c.bound, 1e-9);
    }
    EXPECT_EQ(counts->instances, std::vector<std::string>{"a"});
  }
}

TEST(RequestSeries, OtherLabelsAndHalfScrapes) {
  SeriesNames names;
  names.service_label = "job";
  names.route_labels = {"handler"};
  const std::string of = R"({job="checkout",deployment_track="canary",pod="p",handler="/x")";
  const std::string requests = "http_server_request_total" + of + "} ";
  const std::string bucket = "http_server_request_duration_bucket" + of;
  const std::string quick = bucket + R"(,le="100"} )", all = bucket + R"(,le="+Inf"} )";
  const auto recording = parse_recording(
      requests + "1 1700000000\n" + requests + "5 1700000060\n" + quick + "1 1700000000\n" + quick +
      "4 1700000060\n" + all + "1 1700000000\n" + all + "4 1700000030\n" + all + "5 1700000060\n");
  ASSERT_TRUE(recording) << recording.error().message;
  const auto source = make_series_cohort_source((*recording)->data, names);
  const auto counts = source->counts(track("canary"), at_second(0), at_second(60));
  ASSERT_TRUE(counts);
  ASSERT_EQ(counts->routes.size(), 1u);
  EXPECT_EQ(counts->routes[0].route, "/x");
  EXPECT_EQ(counts->routes[0].counts.requests, 4);
  EXPECT_EQ(counts->routes[0].counts.timed, 4);
  EXPECT_EQ(counts->instances, std::vector<std::string>{"p"});
  const auto nobody = source->counts(track("stable"), at_second(0), at_second(60));
  ASSERT_TRUE(nobody);
  EXPECT_FALSE(nobody->any_series);
}

// The same releases in the embedded store (with start times) and in a source without them.
class Both : public ::testing::Test {
 protected:
  struct Point {
    double second, value;
  };
  void counter(std::string_view name, const char* of_track, const char* instance, double start,
               const std::vector<Point>& points) {
    const auto labels = Labels::of({{std::string(kMetricName), std::string(name)},
                                    {"service_name", "checkout"},
                                    {"deployment_track", of_track},
                                    {"service_version", "2"},
                                    {"instance", instance},
                                    {"http_route", "/pay"}});
    SeriesData s;
    s.id = SeriesId{store_.series.size() + 1};
    s.labels = std::make_shared<const Labels>(labels);
    s.kind = MetricKind::counter;
    for (const auto& p : points) {
      s.floats.push_back({at_second(p.second), at_second(start), p.value});
      memory_.append(labels, promql::Sample{at_second(p.second), p.value, 0});
    }
    store_.series.push_back(std::move(s));
  }
  void histogram(const char* of_track, const char* instance, double start,
                 const std::vector<Point>& points) {
    const auto labels = Labels::of({{std::string(kMetricName), std::string(kDurationName)},
                                    {"service_name", "checkout"},
                                    {"deployment_track", of_track},
                                    {"service_version", "2"},
                                    {"instance", instance},
                                    {"http_route", "/pay"}});
    SeriesData s;
    s.id = SeriesId{store_.series.size() + 1};
    s.labels = std::make_shared<const Labels>(labels);
    s.kind = MetricKind::histogram;
    const auto bounds =
        std::make_shared<const std::vector<double>>(std::vector<double>{10, 100, 500});
    for (const auto& p : points) {
      const auto n = static_cast<std::uint64_t>(p.value);
      const std::vector<std::uint64_t> counts = {n / 2, n / 4, n / 8, n - n / 2 - n / 4 - n / 8};
      s.classic.push_back(
          {at_second(p.second), at_second(start), false, {bounds, counts, n, p.value * 20}});
      std::uint64_t below = 0;
      const char* le[] = {"10", "100", "500", "+Inf"};
      for (std::size_t i = 0; i < 4; ++i) {
        below += counts[i];
        memory_.append(
            labels.with(kMetricName, "http_server_request_duration_bucket").with("le", le[i]),
            promql::Sample{at_second(p.second), static_cast<double>(below), 0});
      }
      memory_.append(labels.with(kMetricName, "http_server_request_duration_sum"),
                     promql::Sample{at_second(p.second), p.value * 20, 0});
    }
    store_.series.push_back(std::move(s));
  }
  void instance(const char* of_track, const char* name, double start, double from, double every,
                double rate, double bad) {
    std::vector<Point> requests, errors, timed;
    for (double t = from; t <= 900; t += every) {
      requests.push_back({t, std::floor(rate * (t - start))});
      errors.push_back({t, std::floor(bad * (t - start))});
    }
    counter(kRequestsName, of_track, name, start, requests);
    counter(kErrorsName, of_track, name, start, errors);
    histogram(of_track, name, start, requests);
  }

  datasource::FakeStore store_;
  promql::MemoryQueryable memory_;
};

TEST_F(Both, GiveTheSameCountsWhereBothRulesAgree) {
  instance("stable", "s1", -7200, -590, 15, 50, 0.4);
  instance("stable", "s2", -7200, -588, 60, 30, 0.2);
  instance("canary", "c1", -7200, -592, 15, 4, 0.1);
  instance("canary", "c2", 100, 115, 15, 5,
           0.4); // first seen after the window began: from 0 in both
  const auto embedded = make_store_cohort_source(store_);
  const auto remote = make_series_cohort_source(memory_, {});
  for (const auto* name : {"canary", "stable"}) {
    for (const double to : {300.0, 600.0, 900.0}) {
      const auto a = embedded->counts(track(name), at_second(0), at_second(to));
      const auto b = remote->counts(track(name), at_second(0), at_second(to));
      ASSERT_TRUE(a && b);
      ASSERT_EQ(a->routes.size(), 1u);
      ASSERT_EQ(b->routes.size(), 1u);
      EXPECT_EQ(a->routes[0].counts.requests, b->routes[0].counts.requests);
      EXPECT_EQ(a->routes[0].counts.errors, b->routes[0].counts.errors);
      EXPECT_EQ(a->routes[0].counts.bucket_counts, b->routes[0].counts.bucket_counts);
      EXPECT_EQ(a->routes[0].counts.sum_ms, b->routes[0].counts.sum_ms);
      EXPECT_EQ(a->instances, b->instances);
      EXPECT_EQ(a->last_ms, b->last_ms);
      EXPECT_TRUE(a->any_series && b->any_series);
    }
  }
}

TEST_F(Both, GiveTheSameCells) {
  instance("stable", "s1", -7200, -590, 15, 50, 0.4);
  instance("stable", "s2", -7200, -588, 60, 30, 0.2);
  instance("canary", "c1", -7200, -592, 15, 4, 0.1);
  const auto embedded = make_store_count_feed_source(store_);
  const auto remote = make_series_count_feed_source(memory_, {});
  std::vector<std::vector<CountCell>> cells(2);
  for (int i = 0; i < 2; ++i) {
    const auto& source = i == 0 ? *embedded : *remote;
    cohort::GridOptions options;
    options.origin_ms = kEpoch;
    options.unseen_instances_begin_at_zero = source.traits().unseen_instances_begin_at_zero;
    cohort::CountGrid grid(options);
    const auto feed = source.open({track("canary"), track("stable"), kEpoch});
    ASSERT_TRUE(feed->read(grid, at_second(900)));
    cells[static_cast<std::size_t>(i)] = grid.close(at_second(900));
  }
  ASSERT_GE(cells[0].size(), 10u);
  ASSERT_EQ(cells[0].size(), cells[1].size());
  for (std::size_t i = 0; i < cells[0].size(); ++i) {
    const auto& a = cells[0][i];
    const auto& b = cells[1][i];
    EXPECT_EQ(a.to_ms, b.to_ms);
    EXPECT_NEAR(a.total.canary.requests, b.total.canary.requests, 1e-9);
    EXPECT_NEAR(a.total.stable.errors, b.total.stable.errors, 1e-9);
    ASSERT_EQ(a.total.stable.bucket_counts.size(), b.total.stable.bucket_counts.size());
    for (std::size_t k = 0; k < a.total.stable.bucket_counts.size(); ++k) {
      EXPECT_NEAR(a.total.stable.bucket_counts[k], b.total.stable.bucket_counts[k], 1e-9);
    }
    EXPECT_GT(a.total.stable.timed, 0);
  }
}

// Counters of orders and checkouts, one process a track; the canary's is new.
TEST(SeriesMetricSource, GrowthOfTwoCounters) {
  promql::MemoryQueryable data;
  const auto put = [&](const char* name, const char* track, double seconds, double value,
                       double start_seconds = 0) {
    data.append(Labels::of({{"__name__", name},
                            {"service_name", "checkout"},
                            {"deployment_track", track},
                            {"instance", track}}),
                {at_second(seconds), value, start_seconds == 0 ? 0 : at_second(start_seconds)});
  };
  for (int i = -60; i <= 120; i += 15) {
    put("checkouts_total", "stable", i, 1000 + i);
    put("orders_total", "stable", i, 500 + i / 2.0);
    if (i > 0) put("checkouts_total", "canary", i, 10.0 * i);
    if (i > 30)
      put("orders_total", "canary", i, 4.0 * i); // the counter is absent until the first order
  }
  class NoExpressions final : public promql::ExpressionSource {
   public:
    Result<std::vector<promql::ExpressionValue>> evaluate(const std::string&,
                                                          std::int64_t) const override {
      return std::vector<promql::ExpressionValue>{{{}, 3}};
    }
    Result<std::vector<promql::Series>> evaluate_range(const std::string&, std::int64_t,
                                                       std::int64_t, std::int64_t) const override {
      return std::vector<promql::Series>{};
    }
  } expressions;
  const auto source = make_series_metric_source(data, expressions, {});
  const auto stable = source->ratio(track("stable"), "orders_total", "checkouts_total",
                                    at_second(0), at_second(60));
  ASSERT_TRUE(stable);
  EXPECT_EQ(stable->whole, 60);
  EXPECT_EQ(stable->part, 30);
  const auto canary = source->ratio(track("canary"), "orders_total", "checkouts_total",
                                    at_second(0), at_second(60));
  ASSERT_TRUE(canary);
  EXPECT_EQ(canary->whole, 600); // the first point counts: it began at 0
  EXPECT_EQ(canary->part, 240);
  const auto none =
      source->ratio(track("other"), "orders_total", "checkouts_total", at_second(0), at_second(60));
  ASSERT_TRUE(none);
  EXPECT_FALSE(none->any_series);
  EXPECT_EQ(source->value("sum(x)", {}, at_second(0))->value(), 3);
}

} // namespace
} // namespace coalmine::datasource
