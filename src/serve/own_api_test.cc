// SPDX-License-Identifier: Apache-2.0
#include "serve/own_api.h"

#include "serve/world_for_test.h"

namespace coalmine::serve {
namespace {

namespace json = boost::json;
using test::request;
using test::rollout_status;

class OwnApiTest : public test::World {
 protected:
  void expect_error(const net::HttpRequest& r, int status, std::string_view code,
                    std::string_view part) {
    const auto body = ask_json(r, status);
    EXPECT_EQ(body.at("error").at("code").as_string(), code) << r.path;
    EXPECT_NE(body.at("error").at("message").as_string().find(part), json::string::npos) << body;
  }
};

TEST_F(OwnApiTest, RolloutsAreListedAndShown) {
  rollouts_.put(rollout_status(7, "shop"));
  rollouts_.put(rollout_status(8, "cart", "still \xff watching"));
  const auto list = ask_json(request("GET", "/v1/rollouts")).at("rollouts").as_array();
  ASSERT_EQ(list.size(), 2u);
  EXPECT_EQ(list[0].at("id").to_number<int>(), 8);
  EXPECT_EQ(list[0].at("reason").as_string(), "still \xEF\xBF\xBD watching");
  EXPECT_FALSE(list[0].as_object().contains("log"));
  const auto one = ask_json(request("GET", "/v1/rollouts/7"));
  EXPECT_EQ(one.at("reason").as_string(), "because");
  EXPECT_EQ(one.at("log").at(0).at("text").as_string(), "begun");
  expect_error(request("GET", "/v1/rollouts/9"), 404, "not_found", "there is no rollout 9");
  for (const auto* bad : {"x", "-1", "7x", "99999999999999999999999"}) {
    expect_error(request("GET", std::string("/v1/rollouts/") + bad), 400, "invalid_argument", bad);
  }
}

TEST_F(OwnApiTest, TheListNamesTheConfiguredServices) {
  rollouts_.configured = {rollout::default_spec("cart"), rollout::default_spec("1")};
  EXPECT_EQ(json::serialize(ask_json(request("GET", "/v1/rollouts"))),
            R"({"rollouts":[],"next":null,"services":["cart","1"]})");
}

TEST_F(OwnApiTest, TheListComesInPages) {
  for (std::uint64_t id = 1; id <= 250; ++id)
    rollouts_.put(rollout_status(id, id == 3 ? "cart" : "shop"));
  const auto page = [&](const std::string& query) {
    auto r = request("GET", "/v1/rollouts");
    r.query = query;
    const auto answer = ask_json(r);
    std::string out;
    for (const auto& one : answer.at("rollouts").as_array())
      out += json::serialize(one.at("id")) + " ";
    return out + json::serialize(answer.at("next"));
  };
  const auto first = ask_json(request("GET", "/v1/rollouts"));
  EXPECT_EQ(first.at("rollouts").as_array().size(), 100u);
  EXPECT_EQ(first.at("rollouts").at(0).at("id").to_number<int>(), 250);
  EXPECT_EQ(first.at("next").to_number<int>(), 151);
  EXPECT_EQ(page("limit=3"), "250 249 248 248");
  EXPECT_EQ(page("limit=3&before=5"), "4 3 2 2");
  EXPECT_EQ(page("limit=3&before=4"), "3 2 1 null");
  EXPECT_EQ(page("before=1"), "null");
  EXPECT_EQ(page("service=cart"), "3 null") << "older than a page of the others";
  EXPECT_EQ(page("service=cart&phase=promoted"), "null");
  for (const auto* bad : {"limit=0", "limit=x", "limit=10001", "before=x"}) {
    auto r = request("GET", "/v1/rollouts");
    r.query = bad;
    expect_error(r, 400, "invalid_argument", std::string_view(bad).substr(0, 5));
  }
}

TEST_F(OwnApiTest, RolloutsAreStarted) {
  const auto body = R"({"service":"shop","canary_version":"2","stable_version":null,"actor":"ci"})";
  EXPECT_EQ(ask_json(request("POST", "/v1/rollouts", body), 201).at("id").to_number<int>(), 7);
  EXPECT_EQ(rollouts_.last_start, "shop 2  by ci");
  auto doubtful = rollout_status(7, "shop");
  for (const double weight : {0.05, 1.0}) {
    rollout::StepState step;
    step.spec.weight = weight;
    doubtful.steps.push_back(step);
  }
  doubtful.log = {{1, 0, "started", "shop 2", "ci"}, {2, 0, "warning", "nobody names 2", "ci"}};
  rollouts_.put(doubtful);
  EXPECT_EQ(
      json::serialize(ask_json(request("POST", "/v1/rollouts", body), 201)),
      R"({"id":7,"service":"shop","canary":{"version":"2","last_seen_ms":null},)"
      R"("stable":{"version":"1","last_seen_ms":null},"step":0,"steps":2,"weight":5E-2,)"
      R"("summary":"Rollout 7 of shop started: canary 2 against stable 1, step 1 of 2 at 5%.",)"
      R"("warnings":["nobody names 2"]})");
  deps_.versions = [](const rollout::RolloutSpec&, Track track) {
    return track == Track::canary
               ? rollout::SeenVersions{{.version = "1", .last_ms = 760'000}}
               : rollout::SeenVersions{{.version = "1", .last_ms = 997'000, .reports = true}};
  };
  doubtful.canary_version = "";
  rollouts_.put(doubtful);
  const auto waiting = ask_json(request("POST", "/v1/rollouts", body), 201);
  EXPECT_EQ(waiting.at("summary").as_string(),
            "Rollout 7 of shop started: canary of the version that reports first (seen so far: 1 "
            "(4m ago)) against stable 1 (last seen 3s ago), step 1 of 2 at 5%.");
  EXPECT_EQ(waiting.at("stable").at("last_seen_ms").to_number<int>(), 997'000);
  expect_error(request("POST", "/v1/rollouts", R"({"service":"other"})"), 404, "not_found",
               "other");
  expect_error(request("POST", "/v1/rollouts", R"({"service":"running"})"), 409, "already_exists",
               "already");
  expect_error(request("POST", "/v1/rollouts", R"({"service":7})"), 400, "invalid_argument",
               "must be a text");
  expect_error(request("POST", "/v1/rollouts", R"({"service":")" + std::string(300, 'x') + "\"}"),
               400, "invalid_argument", "at most 256");
  expect_error(request("POST", "/v1/rollouts", "{}"), 400, "invalid_argument",
               "\"service\" is missing");
  expect_error(request("POST", "/v1/rollouts", ""), 400, "invalid_argument", "missing");
  expect_error(request("POST", "/v1/rollouts", "[]"), 400, "invalid_argument", "not a JSON object");
  expect_error(request("POST", "/v1/rollouts", "{\"service\":"), 400, "invalid_argument",
               "not JSON");
  expect_error(request("POST", "/v1/rollouts", std::string(100'000, '[')), 400, "invalid_argument",
               "not JSON");
}

TEST_F(OwnApiTest, CommandsReachTheController) {
  rollouts_.put(rollout_status(7, "shop"));
  for (const auto* verb : {"pause", "resume", "promote", "abort", "abandon", "undo"}) {
    const auto answer = ask_json(
        request("POST", std::string("/v1/rollouts/7/") + verb, R"({"reason":"why","actor":"me"})"));
    EXPECT_EQ(answer.at("id").to_number<int>(), 7);
    EXPECT_EQ(rollouts_.last_command, std::string("7 ") + verb + " by me: why");
  }
  ask_json(request("POST", "/v1/rollouts/7/promote", R"({"reason":"why","full":true})"));
  EXPECT_EQ(rollouts_.last_command, "7 promote_full by api: why");
  expect_error(request("POST", "/v1/rollouts/7/abort", R"({"full":true})"), 400, "invalid_argument",
               "belongs to promote");
  expect_error(request("POST", "/v1/rollouts/7/promote", R"({"full":"yes"})"), 400,
               "invalid_argument", "true or false");
  ask_json(request("POST", "/v1/rollouts/7/pause"));
  EXPECT_EQ(rollouts_.last_command, "7 pause by api: ");
  expect_error(request("POST", "/v1/rollouts/7/promote", "{}"), 400, "invalid_argument", "reason");
  expect_error(request("POST", "/v1/rollouts/7/explode", "{}"), 404, "not_found", "explode");
  expect_error(request("POST", "/v1/rollouts/8/abort", "{}"), 404, "not_found", "8");
  expect_error(
      request("POST", "/v1/rollouts/7/abort", R"({"reason":")" + std::string(3000, 'x') + "\"}"),
      400, "invalid_argument", "at most 2000");
  EXPECT_EQ(ask(request("GET", "/v1/rollouts/7/abort")).status, 405);
}

TEST_F(OwnApiTest, TheConfigurationInForceWithItsWords) {
  rollouts_.configured = {rollout::default_spec("cart"), rollout::default_spec("shop")};
  deps_.explain = [](const rollout::RolloutSpec& spec) { return "5% of " + spec.service; };
  const auto answer = ask_json(request("GET", "/v1/config?service=shop"));
  const auto& one = answer.at("services").at(0);
  EXPECT_EQ(one.at("words"), "5% of shop");
  EXPECT_EQ(one.at("spec").at("service"), "shop");
  EXPECT_FALSE(one.as_object().contains("defaults"));
  rollouts_.configured[1].max_extends = 7;
  deps_.plain_spec = rollout::default_spec;
  const auto with = ask_json(request("GET", "/v1/config?service=shop"));
  const auto defaults = json::serialize(with.at("services").at(0).at("defaults"));
  EXPECT_NE(defaults.find("\"steps\""), std::string::npos) << defaults;
  EXPECT_EQ(defaults.find("max_extends"), std::string::npos) << defaults;
  EXPECT_EQ(defaults.find("\"service\""), std::string::npos) << "the name is nobody's default";
  expect_error(request("GET", "/v1/config?service=shpo"), 404, "not_found", "shpo");
}

TEST_F(OwnApiTest, TheDoctorIsAskedForOneServiceOrAll) {
  expect_error(request("GET", "/v1/doctor"), 501, "unimplemented", "no doctor");
  deps_.doctor = [](const std::string& service) {
    return std::vector<Finding>{{Finding::State::good, "server", "it answers"},
                                {Finding::State::wrong, service, "no \x1b telemetry", "send it"}};
  };
  EXPECT_EQ(
      json::serialize(ask_json(request("GET", "/v1/doctor?service=shop"))),
      R"({"findings":[{"state":"good","about":"server","text":"it answers"},)"
      R"({"state":"wrong","about":"shop","text":"no \u001b telemetry","remedy":"send it"}]})");
}

cohort::CohortCounts counts(double requests, double errors) {
  cohort::CohortCounts out;
  out.any_series = true;
  out.first_ms = 1;
  out.last_ms = 999'000;
  out.instances = {"i1"};
  out.routes = {{"/api/pay", {.has_data = true, .requests = requests, .errors = errors}}};
  return out;
}

TEST_F(OwnApiTest, AnalyzeAnswersTheSeedsKeysAndTellsWhoListens) {
  cohorts_.canary = counts(1000, 300);
  cohorts_.stable = counts(9000, 9);
  std::vector<std::string> heard;
  deps_.on_analysis = [&](const rollout::VerdictContext& context,
                          const judge::Judgement& judgement) {
    heard.push_back(context.service + " " + context.canary_version + " " +
                    std::string(to_string(judgement.decision)));
  };
  const auto body = ask_json(
      request("POST", "/v1/analyze",
              R"({"service":"shop","canary_version":"2","stable_version":"1","window":"5m"})"));
  EXPECT_EQ(body.at("schema").as_string(), "coalmine.verdict/v1");
  EXPECT_EQ(body.at("decision").as_string(), "rollback");
  EXPECT_FALSE(body.at("reason").as_string().empty());
  const auto& errors = body.at("results").at("error_rate").as_object();
  EXPECT_DOUBLE_EQ(errors.at("canary").to_number<double>(), 0.3);
  EXPECT_DOUBLE_EQ(errors.at("stable").to_number<double>(), 0.001);
  EXPECT_NEAR(errors.at("diff").to_number<double>(), 0.299, 1e-9);
  EXPECT_FALSE(errors.at("passed").as_bool());
  EXPECT_TRUE(body.as_object().contains("analysis_duration_minutes"));
  EXPECT_EQ(cohorts_.asked(), std::make_pair(1'000'000L - 300'000, 1'000'000L));
  EXPECT_EQ(heard, std::vector<std::string>{"shop 2 rollback"});
}

// "any version" would mix the canary of the last release with this one's.
TEST_F(OwnApiTest, AnalyzeComparesTheVersionsOfTheRolloutElseThoseThatReport) {
  cohorts_.canary = counts(1000, 300);
  cohorts_.stable = counts(9000, 9);
  deps_.versions = [](const rollout::RolloutSpec&, Track track) {
    if (track == Track::stable) // gone a while ago
      return rollout::SeenVersions{{.version = "0.9", .last_ms = 5},
                                   {.version = "1", .last_ms = 9}};
    return rollout::SeenVersions{{.version = "4", .last_ms = 2}, // newer, and gone
                                 {.version = "3", .last_ms = 9, .reports = true}};
  };
  const auto analyze = [&](const char* body) {
    return ask_json(request("POST", "/v1/analyze", body));
  };
  const auto alone = analyze(R"({"service":"shop"})");
  EXPECT_EQ(alone.at("canary_version").as_string(), "3");
  EXPECT_EQ(alone.at("stable_version").as_string(), "1");
  EXPECT_FALSE(alone.as_object().contains("beside_rollout"));
  auto running = rollout_status(7, "shop");
  rollouts_.put(running);
  const auto beside = analyze(R"({"service":"shop","window":"5m"})");
  EXPECT_EQ(beside.at("canary_version").as_string(), "2");
  EXPECT_EQ(beside.at("decision").as_string(), "rollback");
  EXPECT_EQ(beside.at("beside_rollout").as_string(),
            "Rollout 7 of shop says continue: it judges what came since it began, within one error "
            "budget over all its looks; this is one look at 5m");
  EXPECT_EQ(analyze(R"({"service":"shop","canary_version":"3"})").at("beside_rollout").as_string(),
            "Rollout 7 of shop compares 2 with 1; this is about 3 and 1");
  judge::Judgement same;
  same.decision = judge::Decision::rollback;
  running.judgement = std::make_shared<const judge::Judgement>(same);
  rollouts_.put(running);
  EXPECT_FALSE(analyze(R"({"service":"shop"})").as_object().contains("beside_rollout"));
}

// A sender that is wrong here often says nothing: coalmine does.
TEST_F(OwnApiTest, TelemetryThatCannotArriveIsShown) {
  deps_.misdirected = std::make_shared<net::MisdirectedSenders>(clock_);
  auto export_request = request("POST", "/v1/metrics", "{}");
  export_request.peer = "10.0.0.7:53211";
  expect_error(export_request, 404, "not_found", "OTLP/HTTP goes to the OTLP/HTTP port, 4318");
  for (const auto* path : {"/v1/services", "/v1/status"}) {
    const auto told = ask_json(request("GET", path)).at("misdirected").as_array();
    ASSERT_EQ(told.size(), 1u);
    EXPECT_EQ(told[0].at("listener").as_string(), "api");
    EXPECT_EQ(told[0].at("address").as_string(), "10.0.0.7");
    EXPECT_EQ(told[0].at("count").to_number<int>(), 1);
  }
}

TEST_F(OwnApiTest, AnalyzeUsesTheServicesSpecAndItsWindow) {
  auto spec = rollout::default_spec("shop");
  spec.analysis_window_ms = 120'000;
  rollouts_.configured = {rollout::default_spec("other"), spec};
  const auto body =
      ask_json(request("POST", "/v1/analyze", R"({"service":"shop","canary_version":"2"})"));
  EXPECT_EQ(cohorts_.asked().second - cohorts_.asked().first, 120'000);
  EXPECT_EQ(body.at("decision").as_string(),
            "continue"); // nothing was received: no verdict about the canary
  cohorts_.broken = true;
  EXPECT_EQ(
      ask_json(request("POST", "/v1/analyze", R"({"service":"shop"})")).at("decision").as_string(),
      "continue");
  for (const auto* bad : {"soon", "0s", "-5m", "10y"}) {
    expect_error(request("POST", "/v1/analyze",
                         std::string(R"({"service":"shop","window":")") + bad + "\"}"),
                 400, "invalid_argument", bad);
  }
  expect_error(request("POST", "/v1/analyze", "{}"), 400, "invalid_argument", "service");
  EXPECT_EQ(ask(request("GET", "/v1/analyze")).status, 405);
}

StoredSpan failing_span(std::uint8_t id) {
  auto resource = std::make_shared<Resource>();
  resource->service = "shop";
  resource->version = "2";
  resource->track = "canary";
  Span span;
  span.resource = resource;
  span.trace_id[15] = id;
  span.span_id[7] = id;
  span.name = "POST /api/pay";
  span.kind = SpanKind::server;
  span.start_ns = 1'000'000'000;
  span.end_ns = 1'212'500'000;
  span.status = StatusCode::error;
  span.status_message = "charge failed";
  span.attributes = {{"http.route", std::string("/api/pay")},
                     {"retries", std::int64_t{3}},
                     {"ratio", 0.5},
                     {"last", true}};
  span.events.push_back({1'100'000'000,
                         "exception",
                         {{"exception.type", std::string("CardError")},
                          {"exception.message", std::string("no\xff"
                                                            "pe")}}});
  return {.span = span, .logs = {}};
}

TEST_F(OwnApiTest, FailuresNameTraceErrorEndpointAndException) {
  store_.spans = {failing_span(1)};
  const auto body =
      ask_json(request("GET", "/v1/failures?service=shop&version=2&track=canary&limit=5"));
  ASSERT_EQ(body.at("failures").as_array().size(), 1u);
  const auto& failure = body.at("failures").at(0);
  EXPECT_EQ(failure.at("trace_id").as_string(), "00000000000000000000000000000001");
  EXPECT_EQ(failure.at("error").as_string(), "charge failed");
  EXPECT_EQ(failure.at("endpoint").as_string(), "/api/pay");
  EXPECT_DOUBLE_EQ(failure.at("duration_ms").to_number<double>(), 212.5);
  EXPECT_EQ(failure.at("failed_spans").at(0).at("exception_type").as_string(), "CardError");
  EXPECT_TRUE(
      ask_json(request("GET", "/v1/failures?service=cart")).at("failures").as_array().empty());
  expect_error(request("GET", "/v1/failures"), 400, "invalid_argument", "service is missing");
  for (const auto* bad : {"0", "-1", "10001", "x", "5x"}) {
    expect_error(request("GET", std::string("/v1/failures?service=shop&limit=") + bad), 400,
                 "invalid_argument", "limit");
  }
  expect_error(request("GET", "/v1/failures?service=shop&from_ms=soon"), 400, "invalid_argument",
               "from_ms");
  store_.broken = true;
  expect_error(request("GET", "/v1/failures?service=shop"), 503, "unavailable", "disk");
}

TEST_F(OwnApiTest, ATraceShowsItsSpans) {
  store_.spans = {failing_span(1)};
  store_.spans[0].logs.push_back({.resource = store_.spans[0].span.resource,
                                  .time_ns = 1'200'000'000,
                                  .trace_id = {},
                                  .span_id = {},
                                  .severity = 17,
                                  .event_name = "",
                                  .body = "boom",
                                  .attributes = {}});
  const auto body = ask_json(request("GET", "/v1/traces/00000000000000000000000000000001"));
  const auto& span = body.at("spans").at(0);
  EXPECT_EQ(span.at("parent_span_id").as_string(), "");
  EXPECT_EQ(span.at("kind").as_string(), "server");
  EXPECT_EQ(span.at("status").as_string(), "error");
  EXPECT_DOUBLE_EQ(span.at("start_ms").to_number<double>(), 1000);
  EXPECT_DOUBLE_EQ(span.at("duration_ms").to_number<double>(), 212.5);
  EXPECT_EQ(json::serialize(span.at("attributes")),
            R"({"http.route":"/api/pay","retries":3,"ratio":5E-1,"last":true})");
  EXPECT_EQ(span.at("events").at(0).at("name").as_string(), "exception");
  EXPECT_EQ(span.at("events").at(0).at("attributes").at("exception.message").as_string(),
            "no\xEF\xBF\xBDpe");
  EXPECT_EQ(span.at("logs").at(0).at("body").as_string(), "boom");
  expect_error(request("GET", "/v1/traces/00000000000000000000000000000002"), 404, "not_found",
               "no span");
  expect_error(request("GET", "/v1/traces/12"), 400, "invalid_argument", "32 hex digits");
}

TEST_F(OwnApiTest, DashboardsServicesAndStatus) {
  options_.dashboards = {{"board", {{"Errors", "timeseries", {{"Canary", "up{a=\"b\"}"}}}}}};
  EXPECT_EQ(json::serialize(ask_json(request("GET", "/v1/dashboards"))),
            R"({"dashboards":[{"name":"board","panels":[{"title":"Errors",)"
            R"("type":"timeseries","queries":[{"label":"Canary","query":"up{a=\"b\"}"}]}]}]})");
  store_.present = {{"shop", "canary", "2", "i1", "prod", 1, 2, 15000}};
  EXPECT_EQ(json::serialize(ask_json(request("GET", "/v1/services"))),
            R"({"services":[{"service":"shop","track":"canary","version":"2","instance":"i1",)"
            R"("environment":"prod","first_ms":1,"last_ms":2,"export_interval_ms":15000}],)"
            R"("misdirected":[]})");
  const Dispatch dispatch(options_, deps_, options_.listen);
  clock_.advance_ms(1500);
  EXPECT_EQ(json::serialize(json::parse(dispatch.handle(request("GET", "/v1/status")).body)),
            R"({"version":"1.2.3","uptime_ms":1500,"now_ms":1001500,"misdirected":[],)"
            R"("store":{"series":3,)"
            R"("head_samples":4,"disk_bytes":5,"oldest_ms":6,"newest_ms":7}})");
}

TEST_F(OwnApiTest, UnknownPathsAndMethods) {
  expect_error(request("GET", "/v1/nothing"), 404, "not_found", "/v1/nothing");
  expect_error(request("GET", "/v1/rollouts/"), 404, "not_found", "/v1/rollouts/");
  expect_error(request("POST", "/nothing", "{}"), 404, "not_found", "/nothing");
  const auto wrong =
      ask(request("DELETE", "/v1/rollouts", "", {{"Content-Type", "application/json"}}));
  EXPECT_EQ(wrong.status, 405);
  EXPECT_EQ(net::header(wrong.headers, "Allow"), "GET, POST");
}

TEST_F(OwnApiTest, HealthReadinessMetricsAndHardening) {
  EXPECT_EQ(ask(request("GET", "/healthz")).body, "ok\n");
  EXPECT_EQ(ask(request("GET", "/readyz")).body, "ready\n");
  bool ready = false;
  deps_.ready = [&] { return ready; };
  EXPECT_EQ(ask(request("GET", "/readyz")).status, 503);
  ready = true;
  EXPECT_EQ(ask(request("GET", "/readyz")).status, 200);
  const auto metrics = ask(request("GET", "/metrics"));
  EXPECT_EQ(net::header(metrics.headers, "Content-Type"),
            "text/plain; version=0.0.4; charset=utf-8");
  for (const auto* path : {"/metrics", "/v1/status", "/api/v1/labels", "/", "/v1/nothing"}) {
    const auto answer = ask(request("GET", path));
    EXPECT_NE(net::header(answer.headers, "Content-Security-Policy").find("default-src 'self'"),
              std::string_view::npos)
        << path;
    EXPECT_NE(net::header(answer.headers, "Content-Security-Policy").find("frame-ancestors 'none'"),
              std::string_view::npos)
        << path;
    EXPECT_EQ(net::header(answer.headers, "X-Content-Type-Options"), "nosniff") << path;
    EXPECT_NE(net::header(answer.headers, "Cache-Control"), "") << path;
  }
}

} // namespace
} // namespace coalmine::serve
