// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <boost/json.hpp>

#include "query/store_queryable.h"
#include "serve/dispatch.h"
#include "serve/prometheus_json.h"

namespace coalmine::serve {
namespace {

namespace json = boost::json;

class FakeStore final : public store::Store {
 public:
  std::vector<store::SeriesData> series;
  std::vector<store::StoredSpan> spans;
  Result<store::AppendResult> append(const Batch&) override { return store::AppendResult{}; }
  Result<std::vector<store::SeriesData>> select(const store::SelectRequest& request) const override {
    std::vector<store::SeriesData> out;
    for (const auto& one : series) {
      bool fits = true;
      for (const auto& m : request.matchers) fits = fits && (m.op != Matcher::Op::equal || one.labels->get(m.name) == m.value);
      if (fits) out.push_back(one);
    }
    return out;
  }
  std::vector<std::string> label_names(const store::SelectRequest&) const override { return {"__name__", "job"}; }
  std::vector<std::string> label_values(std::string_view, const store::SelectRequest&) const override { return {"a"}; }
  std::vector<store::MetricMetadata> metadata() const override { return {{"up", MetricKind::gauge, "1", "Is \"up\"."}}; }
  Result<std::vector<store::StoredSpan>> find_spans(const store::SpanFilter&) const override { return spans; }
  Result<std::vector<store::StoredSpan>> trace(const TraceId&) const override { return spans; }
  std::vector<store::Presence> presence() const override { return {{"shop", "canary", "2", "i1", "", 1, 2, 0}}; }
  store::StoreStats stats() const override { return {}; }
  Status maintain() override { return {}; }
};

class FakeCohorts final : public query::CohortSource {
 public:
  Result<query::CohortCounts> counts(const query::CohortSelector&, std::int64_t, std::int64_t) const override { return query::CohortCounts{}; }
};

class FakeRollouts final : public rollout::Controller {
 public:
  std::vector<rollout::RolloutStatus> all;
  std::string last_reason;
  Result<RolloutId> start(const rollout::StartRequest& request) override {
    if (request.service != "shop") return fail(ErrorCode::not_found, "no config names " + request.service);
    return RolloutId{7};
  }
  Status command(RolloutId, rollout::Command, const std::string&, const std::string& reason) override {
    last_reason = reason;
    return {};
  }
  std::vector<rollout::RolloutStatus> list() const override { return all; }
  std::optional<rollout::RolloutStatus> get(RolloutId id) const override {
    for (const auto& one : all) {
      if (one.id == id) return one;
    }
    return std::nullopt;
  }
  std::vector<rollout::RolloutSpec> specs() const override { return {}; }
  std::function<void()> subscribe(std::function<void(const rollout::RolloutStatus&)>) override {
    return [] {};
  }
};

class ServeTest : public ::testing::Test {
 protected:
  ServeTest() {
    rollout::RolloutStatus status;
    status.id = {7};
    status.service = "shop";
    status.reason = "because";
    rollouts_.all.push_back(std::move(status));
    options_.version = "1.2.3";
    store::SeriesData up;
    up.labels = std::make_shared<Labels>(Labels::of({{"__name__", "up"}, {"job", "a"}}));
    up.floats = {{999'000, 0, 1.5}};
    store_.series.push_back(std::move(up));
  }
  net::HttpRequest request(std::string method, std::string path, std::string body = "", net::Headers more = {}) const {
    const auto question = path.find('?');
    net::HttpRequest out;
    out.method = std::move(method);
    out.query = question == std::string::npos ? "" : path.substr(question + 1);
    out.path = path.substr(0, question);
    out.headers = {{"Host", "localhost:7070"}};
    if (out.method == "POST") out.headers.emplace_back("Content-Type", "application/json");
    for (auto& header : more) {
      std::erase_if(out.headers, [&](const auto& h) { return h.first == header.first; });
      out.headers.push_back(header);
    }
    out.body = std::move(body);
    return out;
  }
  net::HttpResponse ask(const net::HttpRequest& r) { return Dispatch(options_, deps_, options_.listen).handle(r); }
  json::value ask_json(const net::HttpRequest& r, int status = 200) {
    const auto response = ask(r);
    EXPECT_EQ(response.status, status) << response.body;
    return json::parse(response.body);
  }

  FakeStore store_;
  std::unique_ptr<query::Queryable> queryable_ = query::make_store_queryable(store_);
  FakeCohorts cohorts_;
  FakeRollouts rollouts_;
  ManualClock clock_{1'000'000};
  SelfMetrics metrics_;
  Options options_;
  Deps deps_{store_, *queryable_, cohorts_, rollouts_, clock_, metrics_, {}, {}};
};

TEST_F(ServeTest, PrometheusQueryAnswersInPrometheusForm) {
  const auto body = ask_json(request("GET", "/api/v1/query?query=up"));
  EXPECT_EQ(json::serialize(body), R"({"status":"success","data":{"resultType":"vector","result":[{"metric":{"__name__":"up","job":"a"},"value":[1000,"1.5"]}]}})");
  const auto form = request("POST", "/api/v1/query", "query=up&time=1000.5", {{"Content-Type", "application/x-www-form-urlencoded"}});
  EXPECT_NE(ask(form).body.find("[1000.5,\"1.5\"]"), std::string::npos);
}

TEST_F(ServeTest, PrometheusErrorsCarryTypeAndMessage) {
  for (const auto& [path, status, type] : std::vector<std::tuple<std::string, int, std::string>>{
           {"/api/v1/query?query=sum(", 400, "bad_data"},
           {"/api/v1/query?query=up&time=x", 400, "bad_data"},
           {"/api/v1/query_range?query=up&start=10&end=5&step=1", 400, "bad_data"},
           {"/api/v1/query_range?query=up&start=1&end=5&step=0", 400, "bad_data"},
           {"/api/v1/query_range?query=up&start=0&end=100000&step=1", 400, "bad_data"},
           {"/api/v1/series", 400, "bad_data"},
           {"/api/v1/nothing", 404, "not_found"}}) {
    const auto body = ask_json(request("GET", path), status);
    EXPECT_EQ(body.at("status").as_string(), "error") << path;
    EXPECT_EQ(body.at("errorType").as_string(), type) << path;
    EXPECT_FALSE(body.at("error").as_string().empty()) << path;
  }
}

TEST_F(ServeTest, PrometheusListings) {
  EXPECT_EQ(json::serialize(ask_json(request("GET", "/api/v1/labels")).at("data")), R"(["__name__","job"])");
  EXPECT_EQ(json::serialize(ask_json(request("GET", "/api/v1/label/job/values")).at("data")), R"(["a"])");
  EXPECT_EQ(json::serialize(ask_json(request("GET", "/api/v1/series?match[]=up")).at("data")), R"([{"__name__":"up","job":"a"}])");
  EXPECT_EQ(ask_json(request("GET", "/api/v1/metadata")).at("data").at("up").at(0).at("help").as_string(), "Is \"up\".");
  EXPECT_EQ(ask_json(request("GET", "/api/v1/status/buildinfo")).at("data").at("version").as_string(), "1.2.3");
}

TEST_F(ServeTest, RolloutsAreListedStartedAndCommanded) {
  EXPECT_EQ(ask_json(request("GET", "/v1/rollouts")).at("rollouts").as_array().size(), 1u);
  EXPECT_EQ(ask_json(request("GET", "/v1/rollouts/7")).at("reason").as_string(), "because");
  EXPECT_EQ(ask_json(request("POST", "/v1/rollouts", R"({"service":"shop"})"), 201).at("id").to_number<int>(), 7);
  ask_json(request("POST", "/v1/rollouts", R"({"service":"other"})"), 404);
  ask_json(request("POST", "/v1/rollouts", R"({"service":7})"), 400);
  ask_json(request("POST", "/v1/rollouts", R"([])"), 400);
  ask_json(request("POST", "/v1/rollouts", ""), 400);
  ask_json(request("GET", "/v1/rollouts/8"), 404);
  ask_json(request("GET", "/v1/rollouts/x"), 400);
  ask_json(request("POST", "/v1/rollouts/7/abort", R"({"reason":"why"})"));
  EXPECT_EQ(rollouts_.last_reason, "why");
  ask_json(request("POST", "/v1/rollouts/7/explode", "{}"), 404);
}

TEST_F(ServeTest, AnalyzeWithoutDataIsNotAVerdictAboutTheCanary) {
  const auto body = ask_json(request("POST", "/v1/analyze", R"({"service":"shop","canary_version":"2"})"));
  EXPECT_EQ(body.at("schema").as_string(), "coalmine.verdict/v1");
  EXPECT_EQ(body.at("decision").as_string(), "continue");
  ask_json(request("POST", "/v1/analyze", R"({"service":"shop","window":"soon"})"), 400);
}

TEST_F(ServeTest, TracesAndFailures) {
  ask_json(request("GET", "/v1/traces/00000000000000000000000000000001"), 404);
  ask_json(request("GET", "/v1/traces/12"), 400);
  ask_json(request("GET", "/v1/failures"), 400);
  ask_json(request("GET", "/v1/failures?service=shop&limit=0"), 400);
  EXPECT_TRUE(ask_json(request("GET", "/v1/failures?service=shop")).at("failures").as_array().empty());
  EXPECT_EQ(ask_json(request("GET", "/v1/services")).at("services").at(0).at("track").as_string(), "canary");
}

TEST_F(ServeTest, ForeignHostsOriginsAndContentTypesAreRefused) {
  EXPECT_EQ(ask(request("GET", "/v1/rollouts", "", {{"Host", "evil.example"}})).status, 403);
  EXPECT_EQ(ask(request("GET", "/v1/rollouts", "", {{"Host", "127.0.0.1:7070"}})).status, 200);
  EXPECT_EQ(ask(request("POST", "/v1/rollouts", "{}", {{"Origin", "http://evil.example"}})).status, 403);
  EXPECT_EQ(ask(request("POST", "/v1/rollouts", R"({"service":"shop"})", {{"Origin", "http://localhost:7070"}})).status, 201);
  EXPECT_EQ(ask(request("POST", "/v1/rollouts", "{}", {{"Content-Type", "text/plain"}})).status, 400);
}

TEST_F(ServeTest, TokensAndRoles) {
  options_.operator_token = "oper";
  options_.viewer_token = "view";
  const auto as = [](std::string token) { return net::Headers{{"Authorization", "Bearer " + token}}; };
  EXPECT_EQ(ask(request("GET", "/v1/rollouts")).status, 401);
  EXPECT_EQ(ask(request("GET", "/v1/rollouts", "", as("wrong"))).status, 401);
  EXPECT_EQ(ask(request("GET", "/v1/rollouts", "", as("view"))).status, 200);
  EXPECT_EQ(ask(request("POST", "/v1/rollouts", R"({"service":"shop"})", as("view"))).status, 403);
  EXPECT_EQ(ask(request("POST", "/v1/rollouts", R"({"service":"shop"})", as("oper"))).status, 201);
  EXPECT_EQ(ask(request("GET", "/healthz")).status, 200);
}

TEST_F(ServeTest, ListeningWideNeedsCredentials) {
  options_.listen.host = "0.0.0.0";
  const auto refused = check_listen(options_);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::failed_precondition);
  options_.insecure = true;
  EXPECT_TRUE(check_listen(options_));
  options_.insecure = false;
  options_.operator_token = "x";
  EXPECT_TRUE(check_listen(options_));
}

TEST_F(ServeTest, HealthMetricsAndHardening) {
  EXPECT_EQ(ask(request("GET", "/readyz")).body, "ready\n");
  const auto metrics = ask(request("GET", "/metrics"));
  EXPECT_EQ(net::header(metrics.headers, "Content-Type"), "text/plain; version=0.0.4; charset=utf-8");
  EXPECT_EQ(net::header(metrics.headers, "X-Content-Type-Options"), "nosniff");
  EXPECT_EQ(ask(request("GET", "/no-such-file.js")).status == 404 || ask(request("GET", "/")).body.find("not built") != std::string::npos, true);
}

TEST(PrometheusJson, SecondsAndTextAsPrometheusWritesThem) {
  std::string out;
  append_seconds(out, 1'700'000'000'120);
  out += ' ';
  append_seconds(out, -1500);
  out += ' ';
  append_seconds(out, 5000);
  EXPECT_EQ(out, "1700000000.12 -1.5 5");
  out.clear();
  append_json_text(out, "a\"\\\n\x01");
  EXPECT_EQ(out, "\"a\\\"\\\\\\n\\u0001\"");
}

} // namespace
} // namespace coalmine::serve
