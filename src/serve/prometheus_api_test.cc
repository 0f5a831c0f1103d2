// SPDX-License-Identifier: Apache-2.0
#include "serve/prometheus_api.h"

#include <fstream>

#include "serve/prometheus_request.h"
#include "serve/world_for_test.h"

namespace coalmine::serve {
namespace {

namespace json = boost::json;
using test::form;
using test::request;

class PrometheusApiTest : public test::World {
 protected:
  PrometheusApiTest() {
    for (const auto* job : {"a", "b"}) {
      const auto labels = Labels::of({{"__name__", "up"}, {"job", job}});
      queryable_.append(labels, {990'000, 1, 0});
      queryable_.append(labels, {999'500, job[0] == 'a' ? 1.5 : 2.5, 0});
    }
    for (const auto* i : {"1", "2"})
      queryable_.append(Labels::of({{"__name__", "dup"}, {"i", i}}), {999'000, 1, 0});
  }
};

TEST_F(PrometheusApiTest, AnInstantQueryAnswersAsPrometheusDoes) {
  const std::string wanted =
      R"({"status":"success","data":{"resultType":"vector",)"
      R"("result":[{"metric":{"__name__":"up","job":"a"},"value":[1000,"1.5"]}]}})";
  EXPECT_EQ(ask(request("GET", "/api/v1/query?query=up%7Bjob=%22a%22%7D")).body, wanted);
  EXPECT_EQ(ask(form("/api/v1/query", "query=up%7Bjob%3D%22a%22%7D")).body, wanted);
  EXPECT_EQ(ask(request("GET", "/api/v1/query?query=1%2B1&time=1000.5")).body,
            R"({"status":"success","data":{"resultType":"scalar","result":[1000.500,"2"]}})");
  EXPECT_EQ(ask(request("GET", "/api/v1/query?query=vector(1)&time=2026-11-22T13:32:07.25Z")).body,
            R"({"status":"success","data":{"resultType":"vector","result":[{"metric":{},)"
            R"("value":[1795354327.250,"1"]}]}})");
  EXPECT_EQ(data("/api/v1/query?query=nothing"), R"({"resultType":"vector","result":[]})");
  EXPECT_EQ(data("/api/v1/query?query=%22text%22&time=1"),
            R"({"resultType":"string","result":[1,"text"]})");
}

TEST_F(PrometheusApiTest, ARangeQueryTakesSecondsAndDurations) {
  const auto rows = [&](const std::string& step) {
    return json::serialize(
        ask_json(
            request("GET", "/api/v1/query_range?query=sum(up)&start=990&end=1000&step=" + step))
            .at("data")
            .at("result"));
  };
  EXPECT_EQ(rows("10"), R"([{"metric":{},"values":[[990,"2"],[1000,"4"]]}])");
  EXPECT_EQ(rows("10s"), rows("10"));
  EXPECT_EQ(rows("5.0"), R"([{"metric":{},"values":[[990,"2"],[995,"2"],[1000,"4"]]}])");
  const auto by_form =
      ask_json(form("/api/v1/query_range", "query=sum(up)&start=990&end=1000&step=10"));
  EXPECT_EQ(json::serialize(by_form.at("data").at("result")), rows("10"));
  EXPECT_EQ(ask(request("GET", "/api/v1/query_range?query=1&start=0&end=11000&step=1")).status,
            200);
}

TEST_F(PrometheusApiTest, EveryErrorHasItsTypeStatusAndWording) {
  std::ifstream file(COALMINE_SOURCE_DIR "/tests/serve/prometheus-errors.txt");
  ASSERT_TRUE(file);
  int cases = 0;
  for (std::string line; std::getline(file, line);) {
    if (line.empty() || line[0] == '#') continue;
    std::vector<std::string> parts;
    for (std::size_t at = 0; parts.size() < 4;) {
      const auto end = parts.size() < 3 ? line.find(" | ", at) : line.size();
      ASSERT_NE(end, std::string::npos) << line;
      parts.push_back(line.substr(at, end - at));
      at = end + 3;
    }
    const auto body = ask_json(request("GET", parts[0]), std::stoi(parts[1]));
    EXPECT_EQ(body.at("status").as_string(), "error") << line;
    EXPECT_EQ(body.at("errorType").as_string(), parts[2]) << line;
    const std::string error(body.at("error").as_string());
    if (parts[3].ends_with('*')) {
      EXPECT_TRUE(error.starts_with(parts[3].substr(0, parts[3].size() - 1)) && !error.empty())
          << line << "\n"
          << error;
    } else {
      EXPECT_EQ(error, parts[3]) << line;
    }
    ++cases;
  }
  EXPECT_GT(cases, 25);
}

TEST_F(PrometheusApiTest, OtherMethodsAreNamed) {
  const auto put = ask(request("PUT", "/api/v1/query"));
  EXPECT_EQ(put.status, 405);
  EXPECT_EQ(net::header(put.headers, "Allow"), "GET, POST");
  EXPECT_EQ(ask(request("POST", "/api/v1/label/job/values")).status, 405); // clients then try GET
}

TEST_F(PrometheusApiTest, Listings) {
  EXPECT_EQ(data("/api/v1/labels"), R"(["__name__","i","job"])");
  EXPECT_EQ(data("/api/v1/labels?match[]=up"), R"(["__name__","job"])");
  EXPECT_EQ(data("/api/v1/label/__name__/values"), R"(["dup","up"])");
  EXPECT_EQ(data("/api/v1/label/job/values?match[]=up&match[]=dup"), R"(["a","b"])");
  EXPECT_EQ(data("/api/v1/label/U__job/values"), R"(["a","b"])");
  EXPECT_EQ(data("/api/v1/series?match[]=up&match[]=%7Bjob=%22a%22%7D"),
            R"([{"__name__":"up","job":"a"},{"__name__":"up","job":"b"}])");
  EXPECT_EQ(data("/api/v1/series?match[]=up&start=1&end=2"), "[]");
  EXPECT_EQ(
      json::serialize(ask_json(form("/api/v1/series", "match[]=dup%7Bi%3D%221%22%7D")).at("data")),
      R"([{"__name__":"dup","i":"1"}])");
}

TEST_F(PrometheusApiTest, LimitsCutAndSaySo) {
  for (const auto* target : {"/api/v1/labels?limit=1", "/api/v1/label/job/values?limit=1",
                             "/api/v1/series?match[]=up&limit=1"}) {
    const auto body = ask_json(request("GET", target));
    EXPECT_EQ(body.at("data").as_array().size(), 1u) << target;
    EXPECT_EQ(json::serialize(body.at("warnings")), R"(["results truncated due to limit"])")
        << target;
  }
  for (const auto* target : {"/api/v1/query?query=up&limit=1",
                             "/api/v1/query_range?query=up&start=990&end=1000&step=5&limit=1"}) {
    const auto body = ask_json(request("GET", target));
    EXPECT_EQ(body.at("data").at("result").as_array().size(), 1u) << target;
    EXPECT_TRUE(body.as_object().contains("warnings")) << target;
  }
  EXPECT_FALSE(
      ask_json(request("GET", "/api/v1/query?query=up&limit=2")).as_object().contains("warnings"));
}

TEST_F(PrometheusApiTest, MetadataBuildInfoAndFormat) {
  store_.described = {{"up", MetricKind::gauge, "1", "Is \"up\"."},
                      {"up", MetricKind::counter, "", "Twice."},
                      {"zz", MetricKind::exponential, "s", ""}};
  EXPECT_EQ(data("/api/v1/metadata"),
            R"({"up":[{"type":"gauge","help":"Is \"up\".","unit":"1"},{"type":"counter",)"
            R"("help":"Twice.","unit":""}],"zz":[{"type":"histogram","help":"","unit":"s"}]})");
  EXPECT_EQ(data("/api/v1/metadata?metric=zz"),
            R"({"zz":[{"type":"histogram","help":"","unit":"s"}]})");
  EXPECT_EQ(data("/api/v1/metadata?limit=1&limit_per_metric=1"),
            R"({"up":[{"type":"gauge","help":"Is \"up\".","unit":"1"}]})");
  const auto build = ask_json(request("GET", "/api/v1/status/buildinfo")).at("data").as_object();
  EXPECT_EQ(build.at("version").as_string(), kPrometheusVersion);
  EXPECT_EQ(build.at("revision").as_string(), "coalmine 1.2.3");
  EXPECT_FALSE(build.contains("features"));
  EXPECT_EQ(data("/api/v1/format_query?query=sum(up)by(job)"), "\"sum by (job) (up)\"");
  EXPECT_EQ(data("/api/v1/rules"), R"({"groups":[]})");
  EXPECT_EQ(data("/api/v1/query_exemplars?query=up"), "[]");
}

// Every question fails with the given error.
class BrokenQueryable final : public promql::Queryable {
 public:
  Error error;
  Result<std::vector<promql::Series>> select(const promql::Selection&) const override {
    return std::unexpected(error);
  }
  Result<std::vector<Labels>> series(const promql::Selection&) const override {
    return std::unexpected(error);
  }
  Result<std::vector<std::string>> label_names(const promql::Selection&) const override {
    return std::unexpected(error);
  }
  Result<std::vector<std::string>> label_values(std::string_view,
                                                const promql::Selection&) const override {
    return std::unexpected(error);
  }
};

TEST_F(PrometheusApiTest, FailuresOfTheStoreKeepTheirKind) {
  BrokenQueryable broken;
  const Deps deps{store_, store_, broken, cohorts_, rollouts_, clock_, metrics_, {}, {}, {}};
  const Dispatch dispatch(options_, deps, options_.listen);
  for (const auto* target : {"/api/v1/query?query=up", "/api/v1/series?match[]=up",
                             "/api/v1/labels", "/api/v1/label/x/values"}) {
    broken.error = {ErrorCode::unavailable, "no disk"};
    EXPECT_EQ(dispatch.handle(request("GET", target)).status, 503) << target;
    broken.error = {ErrorCode::resource_exhausted, "too many samples"};
    EXPECT_EQ(dispatch.handle(request("GET", target)).status, 422) << target;
  }
}

TEST_F(PrometheusApiTest, ATimeoutIsAnErrorOfItsOwn) {
  const auto body = ask_json(
      request("GET", "/api/v1/query_range?query=sum(up)&start=0&end=1000&step=1&timeout=0s"), 503);
  EXPECT_EQ(body.at("errorType").as_string(), "timeout");
}

TEST_F(PrometheusApiTest, BigAnswersAreCompressedOnRequest) {
  for (int i = 0; i < 500; ++i)
    queryable_.append(Labels::of({{"__name__", "many"}, {"i", std::to_string(i)}}),
                      {999'000, 1, 0});
  const auto plain = ask(request("GET", "/api/v1/query?query=many"));
  EXPECT_EQ(net::header(plain.headers, "Content-Encoding"), "");
  const auto zipped =
      ask(request("GET", "/api/v1/query?query=many", "", {{"Accept-Encoding", "br, gzip;q=0.8"}}));
  EXPECT_EQ(net::header(zipped.headers, "Content-Encoding"), "gzip");
  EXPECT_EQ(net::header(zipped.headers, "Vary"), "Accept-Encoding");
  EXPECT_LT(zipped.body.size() * 4, plain.body.size());
  const auto refused =
      ask(request("GET", "/api/v1/query?query=many", "", {{"Accept-Encoding", "gzip;q=0.0"}}));
  EXPECT_EQ(refused.body, plain.body);
  EXPECT_EQ(
      net::header(
          ask(request("GET", "/api/v1/query?query=up", "", {{"Accept-Encoding", "gzip"}})).headers,
          "Content-Encoding"),
      "");
}

TEST_F(PrometheusApiTest, QueriesAreCountedByStatus) {
  ask(request("GET", "/api/v1/query?query=up"));
  ask(request("GET", "/api/v1/query?query=("));
  EXPECT_EQ(metrics_.counter("coalmine_queries_total", "", {{"code", "200"}}).value(), 1);
  EXPECT_EQ(metrics_.counter("coalmine_queries_total", "", {{"code", "400"}}).value(), 1);
}

TEST(PrometheusRequest, EscapedLabelNames) {
  EXPECT_EQ(unescaped_label_name("plain"), "plain");
  EXPECT_EQ(unescaped_label_name("U__http_2e_method"), "http.method");
  EXPECT_EQ(unescaped_label_name("U__a__b_1f424_"), "a_b\xF0\x9F\x90\xA4");
  for (const auto* bad : {"U__a_b", "U__a_zz_", "U__a_110000_", "U__a_d800_"})
    EXPECT_EQ(unescaped_label_name(bad), bad);
}

} // namespace
} // namespace coalmine::serve
