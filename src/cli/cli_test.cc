// SPDX-License-Identifier: Apache-2.0
#include "cli/cli.h"

#include <gtest/gtest.h>

#include <fmt/format.h>

#include <boost/json/parse.hpp>
#include <deque>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "base/golden_for_test.h"
#include "base/rfc3339.h"
#include "cli/render.h"
#include "cli/text.h"
#include "net/unkind_client_for_test.h"

namespace coalmine::cli {
namespace {

namespace fs = std::filesystem;

// Answers calls with what a test queued, in order; the last answer stays. Keeps what was asked.
class FakeServer final : public net::HttpClient {
 public:
  Result<net::HttpResponse> fetch(const net::ClientRequest& request) override {
    requests.push_back(request);
    if (answers.empty()) return fail(ErrorCode::unavailable, "connection refused");
    auto answer = answers.front();
    if (answers.size() > 1) answers.pop_front();
    if (!answer) return net::unkind_failure(request, answer.error().message);
    return answer;
  }
  Status stream(const net::ClientRequest&, const std::function<bool(std::string_view)>&) override {
    return fail(ErrorCode::unimplemented, "not used");
  }
  void say(int status, std::string body) {
    net::HttpResponse response;
    response.status = status;
    response.body = std::move(body);
    answers.push_back(std::move(response));
  }
  void refuse() { answers.push_back(fail(ErrorCode::unavailable, "connection refused")); }

  std::deque<Result<net::HttpResponse>> answers;
  std::vector<net::ClientRequest> requests;
};

class Cli : public testing::Test {
 protected:
  Terminal terminal() {
    Terminal t{.http = server,
               .clock = clock,
               .out = out,
               .err = err,
               .sleep = [this](std::chrono::milliseconds d) { clock.advance_ms(d.count()); }};
    t.utc = true;
    return t;
  }
  FakeServer server;
  ManualClock clock{1'795'354'927'000};
  std::ostringstream out;
  std::ostringstream err;
};

std::string slurp(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

const fs::path kData = fs::path(COALMINE_SOURCE_DIR) / "tests/cli";

std::vector<fs::path> cases() {
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(kData)) {
    if (entry.path().extension() == ".json") files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

class GoldenText : public testing::TestWithParam<fs::path> {};

// tests/cli/KIND_NAME.json (what the server answers) shows KIND_NAME.txt and exits with its last
// line.
TEST_P(GoldenText, ShowsWhatIsExpected) {
  const std::string name = GetParam().stem().string();
  const auto value = boost::json::parse(slurp(GetParam()));
  std::string actual;
  if (name.starts_with("verdict_")) {
    actual = verdict_text(value, {.utc = true}) + "exit " +
             std::to_string(exit_for_verdict(value)) + "\n";
  } else if (name.starts_with("rollout_")) {
    actual = rollout_text(value, {.utc = true}) + "exit " +
             std::to_string(exit_for_rollout(value)) + "\n";
  } else if (name.starts_with("rollouts_")) {
    actual = rollouts_text(value.as_object().at("rollouts").as_array(), {.utc = true});
  } else {
    for (const auto& failure : value.as_object().at("failures").as_array())
      actual += failure_text(failure);
  }
  expect_golden(fs::path(GetParam()).replace_extension(".txt"), actual);
}
INSTANTIATE_TEST_SUITE_P(All, GoldenText, testing::ValuesIn(cases()),
                         [](const auto& test) { return test.param.stem().string(); });

TEST_F(Cli, AnalyzePostsWhatWasAskedAndExitsByDecision) {
  server.say(200, slurp(kData / "verdict_rollback.json"));
  const int exit = analyze(terminal(), {.service = "checkout-service",
                                        .canary_version = "2.4.0",
                                        .stable_version = "2.3.0",
                                        .window = "10m"});
  EXPECT_EQ(exit, kExitBad);
  ASSERT_EQ(server.requests.size(), 1u);
  EXPECT_EQ(server.requests[0].method, "POST");
  EXPECT_EQ(server.requests[0].url, "http://127.0.0.1:7070/v1/analyze");
  EXPECT_EQ(server.requests[0].body, R"({"service":"checkout-service","canary_version":"2.4.0",)"
                                     R"("stable_version":"2.3.0","window":"10m"})");
  EXPECT_EQ(net::Headers({{"Content-Type", "application/json"}, {"Accept", "application/json"}}),
            server.requests[0].headers);
  EXPECT_TRUE(out.str().ends_with("\nNext: coalmine failures checkout-service --version 2.4.0\n"))
      << out.str();
  EXPECT_EQ(out.str().find('\x1b'), std::string::npos);
}

// What regressed decides whether there are failing requests to look at.
TEST_F(Cli, FailuresAreNamedOnlyWhereTheyAreTheCause) {
  const auto said = [&](std::string_view metric, std::string_view verdict) {
    const auto line = fmt::format(
        R"({{"metrics":[{{"name":"{}","verdict":"{}","gate":true}}],"decision":"rollback"}})",
        metric, verdict);
    return failures_command(boost::json::parse(line), "shop", "2");
  };
  EXPECT_EQ(said("error_rate", "regression"), "coalmine failures shop --version 2");
  EXPECT_EQ(said("client_error_rate", "regression"), "") << "4xx are no failures";
  EXPECT_EQ(said("p99_latency", "regression"), "");
  EXPECT_EQ(said("error_rate", "pass"), "coalmine failures shop --version 2") << "not known";
  EXPECT_EQ(failures_command(nullptr, "shop", ""), "coalmine failures shop");
  server.say(200, R"({"id":42,"service":"shop","phase":"rolled_back","terminal":true,)"
                  R"("judgement":{"metrics":[{"name":"client_error_rate",)"
                  R"("verdict":"regression","gate":true}]}})");
  EXPECT_EQ(rollout_status(terminal(), {.target = "#42"}), kExitBad);
  EXPECT_EQ(out.str().find("Next:"), std::string::npos) << out.str();
}

TEST_F(Cli, JsonIsTheServersOwn) {
  server.say(200, R"({"decision":"promote","extra":1})");
  auto t = terminal();
  t.output = Output::json;
  t.token = "abc";
  EXPECT_EQ(analyze(t, {.service = "s"}), kExitGood);
  EXPECT_EQ(out.str(), "{\"decision\":\"promote\",\"extra\":1}\n");
  EXPECT_EQ(net::header(server.requests[0].headers, "Authorization"), "Bearer abc");
}

TEST_F(Cli, ExitCodesOfVerdicts) {
  const auto exit = [](std::string_view text) {
    return exit_for_verdict(boost::json::parse(text));
  };
  EXPECT_EQ(exit(R"({"decision":"promote"})"), 0);
  EXPECT_EQ(exit(R"({"decision":"rollback"})"), 1);
  EXPECT_EQ(exit(R"({"decision":"continue"})"), 3);
  EXPECT_EQ(exit(R"({"decision":"inconclusive","metrics":[{"verdict":"watching","gate":true,)"
                 R"("route":""}]})"),
            3);
  EXPECT_EQ(exit(R"({"decision":"continue","metrics":[{"verdict":"no_data",)"
                 R"("cause":"no_canary_data","gate":true,"route":""}]})"),
            4);
  EXPECT_EQ(
      exit(R"({"decision":"continue","metrics":[{"verdict":"no_data","gate":true,"route":"/x"}]})"),
      3);
  EXPECT_EQ(
      exit(R"({"decision":"continue","metrics":[{"verdict":"no_data","gate":false,"route":""}]})"),
      3);
  EXPECT_EQ(exit(R"({"decision":"continue","metrics":[{"verdict":"no_data",)"
                 R"("cause":"source_unreachable","gate":true,"route":""}]})"),
            5);
  EXPECT_EQ(exit("[]"), 3);
}

TEST_F(Cli, UnreachableServerExitsFiveAndSaysWhatToDo) {
  EXPECT_EQ(analyze(terminal(), {.service = "s"}), kExitUnreachable);
  EXPECT_EQ(out.str(), "");
  EXPECT_EQ(err.str(),
            "coalmine: no coalmine server answers at http://127.0.0.1:7070: connection refused\n"
            "  Start a server:    coalmine serve\n"
            "  or name another:   --server URL  (or COALMINE_SERVER)\n");
}

TEST_F(Cli, AServersSilenceIsNotToldInTheWordsOfALibrary) {
  auto t = terminal();
  t.server = "localhost:4318";
  server.answers.push_back(fail(
      ErrorCode::unavailable,
      "cannot reach http://localhost:4318/v1/rollouts: Failed to connect to localhost port 4318 "
      "after 0 ms: Couldn't connect to server"));
  EXPECT_EQ(rollout_status(t, {.target = "shop"}), kExitUnreachable);
  EXPECT_EQ(err.str(),
            "coalmine: no coalmine server answers at http://localhost:4318\n"
            "  4318 takes telemetry (OTLP); commands want the port of the page, 7070\n"
            "  Start a server:    coalmine serve\n"
            "  or name another:   --server URL  (or COALMINE_SERVER)\n");
  err.str("");
  server.answers.clear();
  server.say(404, "{}");
  EXPECT_EQ(rollout_status(t, {.target = "shop"}), kExitUsage);
  EXPECT_EQ(err.str(),
            "coalmine: http://localhost:4318 answered 404 Not Found\n"
            "  4318 takes telemetry (OTLP); commands want the port of the page, 7070\n");
  err.str("");
  t.server = "localhost:17318";
  EXPECT_EQ(rollout_status(t, {.target = "shop"}), kExitUsage);
  EXPECT_EQ(err.str(),
            "coalmine: http://localhost:17318 answered 404 Not Found\n"
            "  Is it the address of the page? `coalmine serve` prints which is\n");
}

TEST_F(Cli, TheServersCredentialsAreNotPrinted) {
  auto t = terminal();
  t.server = "http://me:Hush1234@there:7070/?token=Hush1234";
  t.token = "Hush1234";
  server.refuse();
  EXPECT_EQ(analyze(t, {.service = "s"}), kExitUnreachable);
  server.answers.clear();
  server.say(500, "x");
  EXPECT_EQ(analyze(t, {.service = "s"}), kExitUnreachable);
  server.answers.clear();
  server.say(200, "a page");
  EXPECT_NE(analyze(t, {.service = "s"}), kExitGood);
  EXPECT_EQ(err.str().find("Hush"), std::string::npos) << err.str();
  EXPECT_NE(err.str().find("http://there:7070"), std::string::npos) << err.str();
  EXPECT_EQ(server.requests.back().url, "http://me:Hush1234@there:7070/v1/analyze?token=Hush1234");
}

TEST_F(Cli, ErrorsOfTheServerKeepTheirSentence) {
  server.say(404, R"({"error":{"code":"not_found","message":"no config names service nobody"}})");
  EXPECT_EQ(rollout_start(terminal(), {.service = "nobody"}), kExitUsage);
  EXPECT_EQ(err.str(), "coalmine: no config names service nobody\n");
  server.answers.clear();
  server.say(503, R"({"error":{"code":"unavailable","message":"the store is stalled"}})");
  EXPECT_EQ(analyze(terminal(), {.service = "s"}), kExitUnreachable);
  server.answers.clear();
  server.say(200, "<html>");
  EXPECT_EQ(analyze(terminal(), {.service = "s"}), kExitUnreachable);
  EXPECT_NE(err.str().find("is it a coalmine server?"), std::string::npos);
  server.answers.clear();
  server.say(400, R"({"status":"error","errorType":"bad_data","error":"1:4: parse error"})");
  EXPECT_EQ(query(terminal(), {.promql = "sum("}), kExitUsage);
  EXPECT_NE(err.str().find("coalmine: 1:4: parse error\n"), std::string::npos);
}

TEST_F(Cli, WrongUsageAsksNobody) {
  EXPECT_EQ(analyze(terminal(), {.service = "s", .window = "10"}), kExitUsage);
  EXPECT_EQ(query(terminal(), {.promql = "up", .step = "15s"}), kExitUsage);
  EXPECT_EQ(query(terminal(), {.promql = "up", .range = "x"}), kExitUsage);
  EXPECT_EQ(failures(terminal(), {.service = "s", .limit = 0}), kExitUsage);
  EXPECT_EQ(rollout_status(terminal(), {.target = "s", .timeout = "5m"}), kExitUsage);
  EXPECT_EQ(rollout_command(terminal(), {.verb = "promote", .target = "s"}), kExitUsage);
  EXPECT_TRUE(server.requests.empty());
}

TEST_F(Cli, FailuresAskForTheVersionAndTrack) {
  server.say(200, R"({"failures":[]})");
  EXPECT_EQ(failures(terminal(), {.service = "check out", .version = "2.4.0"}), kExitGood);
  EXPECT_EQ(
      server.requests[0].url,
      "http://127.0.0.1:7070/v1/failures?service=check%20out&version=2.4.0&track=canary&limit=20");
  EXPECT_EQ(err.str(), "coalmine: no failing request of check out 2.4.0 (canary) is stored\n");
}

TEST_F(Cli, QueryPrintsATable) {
  server.say(200, R"({"status":"success","data":{"resultType":"vector","result":[
    {"metric":{"__name__":"up","job":"a"},"value":[1795354927,"1"]},
     {"metric":{"job":"bb"},"value":[1795354927,"0.25"]}]},
    "infos":["metric might not be a counter"]})");
  EXPECT_EQ(query(terminal(), {.promql = "up"}), kExitGood);
  EXPECT_EQ(out.str(),
            "SERIES       VALUE\n"
            "up{job=\"a\"}      1\n"
            "{job=\"bb\"}    0.25\n");
  EXPECT_EQ(err.str(), "coalmine: metric might not be a counter\n");
  EXPECT_EQ(server.requests[0].url,
            "http://127.0.0.1:7070/api/v1/query?query=up&time=1795354927.000");
}

TEST_F(Cli, QueryOverARange) {
  server.say(200, R"({"status":"success","data":{"resultType":"matrix","result":[
    {"metric":{"job":"a"},"values":[[1795354890,"1"],[1795354905,"2"]]}]}})");
  EXPECT_EQ(query(terminal(), {.promql = "x", .range = "1m", .step = "15s"}), kExitGood);
  EXPECT_EQ(server.requests[0].url,
            "http://127.0.0.1:7070/api/v1/"
            "query_range?query=x&start=1795354860.000&end=1795354920.000&step=15.000");
  EXPECT_EQ(out.str(),
            "{job=\"a\"}\n"
            "  TIME                 VALUE\n"
            "  2026-11-22 13:41:30      1\n"
            "  2026-11-22 13:41:45      2\n");
}

TEST_F(Cli, ScalarsAndEmptyResults) {
  server.say(200,
             R"({"status":"success","data":{"resultType":"scalar","result":[1795354927,"42"]}})");
  EXPECT_EQ(query(terminal(), {.promql = "42"}), kExitGood);
  EXPECT_EQ(out.str(), "42\n");
  server.answers.clear();
  server.say(200, R"({"status":"success","data":{"resultType":"vector","result":[]}})");
  EXPECT_EQ(query(terminal(), {.promql = "nope"}), kExitGood);
  EXPECT_NE(err.str().find("no result"), std::string::npos);
}

std::string rollout(std::string_view phase, bool terminal_phase) {
  return R"({"id":42,"service":"shop","canary_version":"2","stable_version":"1","phase":")" +
         std::string(phase) + R"(","terminal":)" + (terminal_phase ? "true" : "false") +
         R"(,"step":0,"steps":[{"weight":0.05,"analyze_ms":60000,"outcome":""},
             {"weight":1,"analyze_ms":0,"outcome":""}],
  "weight_asked":0.05,"reason":"because","started_ms":1795354900000,"log":[
  {"sequence":1,"time_ms":1795354900000,"kind":"started","text":"started by ci","actor":"ci"}]})";
}

TEST_F(Cli, StatusFindsTheNewestRolloutOfAService) {
  server.say(200, R"({"rollouts":[{"id":43,"service":"other"},{"id":42,"service":"shop"},{"id":7,)"
                  R"("service":"shop"}]})");
  server.say(200, rollout("progressing", false));
  EXPECT_EQ(rollout_status(terminal(), {.target = "shop"}), kExitUndecided);
  EXPECT_EQ(server.requests[1].url, "http://127.0.0.1:7070/v1/rollouts/42");
  EXPECT_TRUE(out.str().ends_with("Next: coalmine rollout status shop --watch\n")) << out.str();
}

TEST_F(Cli, StatusOfAServiceWithoutRollout) {
  server.say(200, R"({"rollouts":[]})");
  EXPECT_EQ(rollout_status(terminal(), {.target = "shop"}), kExitUsage);
  EXPECT_NE(err.str().find("shop has no rollout"), std::string::npos);
}

TEST_F(Cli, WaitEndsWithTheRolloutAndPrintsEachChangeOnce) {
  server.say(200, rollout("progressing", false));
  server.say(200, rollout("progressing", false));
  server.refuse(); // a restart in between
  server.say(200, rollout("rolled_back", true));
  EXPECT_EQ(rollout_status(terminal(), {.target = "#42", .wait = true}), kExitBad);
  EXPECT_EQ(out.str(),
            "2026-11-22T13:41:40Z started started by ci\n"
            "2026-11-22T13:42:07Z progressing because\n"
            "2026-11-22T13:42:10Z rolled_back because\n");
}

std::string in_condition(std::string_view phase, std::string_view condition) {
  return R"({"condition":")" + std::string(condition) + R"(",)" + rollout(phase, false).substr(1);
}

TEST_F(Cli, WaitGivesUpWhenTheRouterFailsForLong) {
  for (int i = 0; i < 70; ++i) server.say(200, in_condition("progressing", "router_failing"));
  EXPECT_EQ(rollout_status(terminal(), {.target = "#42", .wait = true}), kExitRouter);
  EXPECT_EQ(server.requests.size(), 61u) << "a reload is waited for";
  EXPECT_NE(err.str().find("coalmine: because\n  The server goes on trying. To end it: coalmine "
                           "rollout abort '#42'"),
            std::string::npos)
      << err.str();
}

TEST_F(Cli, ATimeoutWhileTheRouterFailsHasItsExitCode) {
  server.say(200, in_condition("progressing", "awaits_telemetry"));
  for (int i = 0; i < 5; ++i) server.say(200, in_condition("progressing", "router_failing"));
  EXPECT_EQ(rollout_status(terminal(), {.target = "#42", .wait = true, .timeout = "3s"}),
            kExitRouter);
  EXPECT_NE(err.str().find("rollout 42 is not over after 3s"), std::string::npos);
  EXPECT_EQ(out.str(),
            "2026-11-22T13:41:40Z started started by ci\n"
            "2026-11-22T13:42:07Z progressing because\n"
            "2026-11-22T13:42:08Z progressing because\n");
}

TEST_F(Cli, WhatARolloutWaitsForIsItsHeadline) {
  for (const auto& [condition, headline] :
       {std::pair("router_failing", "✖ ROUTER FAILS"),
        std::pair("awaits_telemetry", "◌ WAITING for telemetry at 5%"),
        std::pair("none", "◌ WATCHING at 5%")}) {
    out.str("");
    server.answers.clear();
    server.say(200, in_condition("progressing", condition));
    rollout_status(terminal(), {.target = "#42"});
    EXPECT_NE(out.str().find(headline), std::string::npos) << out.str();
  }
}

TEST_F(Cli, StartSaysWhatItTook) {
  server.say(201,
             R"({"id":42,"summary":"Rollout 42 of shop started: canary 2 against stable 1."})");
  EXPECT_EQ(rollout_start(terminal(), {.service = "shop"}), kExitGood);
  EXPECT_TRUE(out.str().starts_with("Rollout 42 of shop started: canary 2 against stable 1.\n"))
      << out.str();
}

TEST_F(Cli, WaitStopsAtAPauseWatchDoesNot) {
  server.say(200, rollout("paused", false));
  EXPECT_EQ(rollout_status(terminal(), {.target = "#42", .wait = true}), kExitUndecided);
  EXPECT_EQ(server.requests.size(), 1u);
  server.answers.clear();
  server.say(200, rollout("paused", false));
  server.say(200, rollout("promoted", true));
  EXPECT_EQ(rollout_status(terminal(), {.target = "#42", .watch = true}), kExitGood);
}

TEST_F(Cli, WaitGivesUpAfterItsTimeAndOnADeadServer) {
  server.say(200, rollout("progressing", false));
  EXPECT_EQ(rollout_status(terminal(), {.target = "#42", .wait = true, .timeout = "3s"}),
            kExitUndecided);
  EXPECT_NE(err.str().find("rollout 42 is not over after 3s"), std::string::npos);
  server.answers.clear();
  EXPECT_EQ(rollout_status(terminal(), {.target = "#42", .wait = true}), kExitUnreachable);
}

TEST_F(Cli, StartWithWaitFollowsTheNewRollout) {
  server.say(201, R"({"id":42})");
  server.say(200, rollout("promoted", true));
  EXPECT_EQ(rollout_start(terminal(),
                          {.service = "shop", .canary_version = "2", .actor = "ci", .wait = true}),
            kExitGood);
  EXPECT_EQ(server.requests[0].body, R"({"service":"shop","canary_version":"2","actor":"ci"})");
  EXPECT_EQ(server.requests[1].url, "http://127.0.0.1:7070/v1/rollouts/42");
}

TEST_F(Cli, StartSaysWhatIsInDoubt) {
  server.say(201, R"({"id":42,"warnings":["no telemetry of canary names version 2"]})");
  EXPECT_EQ(rollout_start(terminal(), {.service = "shop", .canary_version = "2", .actor = "ci"}),
            kExitGood);
  EXPECT_EQ(err.str(), "coalmine: warning: no telemetry of canary names version 2\n");
}

TEST_F(Cli, CommandsPostTheirReason) {
  server.say(200, rollout("progressing", false));
  server.say(200, rollout("aborted", true));
  EXPECT_EQ(rollout_command(terminal(),
                            {.verb = "abort", .target = "#42", .reason = "no", .actor = "me"}),
            kExitGood);
  EXPECT_EQ(server.requests[1].url, "http://127.0.0.1:7070/v1/rollouts/42/abort");
  EXPECT_EQ(server.requests[1].body, R"({"reason":"no","actor":"me"})");
}

TEST_F(Cli, AnAbortOfAnAbortedRolloutSaysSo) {
  const std::string ended = R"({"id":42,"service":"shop","phase":"aborted","terminal":true,)"
                            R"("ended_ms":1795354900000})";
  server.say(200, ended);
  EXPECT_EQ(rollout_command(terminal(), {.verb = "abort", .target = "#42"}), kExitGood);
  EXPECT_EQ(err.str(),
            "coalmine: rollout 42 of shop was aborted already, at 2026-11-22 13:41:40\n");
  EXPECT_EQ(server.requests.size(), 1u) << "nothing is asked for again";
}

TEST_F(Cli, QuietCommandsSayNothing) {
  auto t = terminal();
  t.quiet = true;
  server.say(200, rollout("paused", false));
  EXPECT_EQ(rollout_command(t, {.verb = "pause", .target = "#42"}), kExitGood);
  EXPECT_EQ(out.str() + err.str(), "");
}

TEST_F(Cli, AWatchedTerminalIsClearedOnceAndThenDrawnOver) {
  auto t = terminal();
  t.interactive = true;
  for (int i = 0; i < 3; ++i) server.say(200, rollout("progressing", false));
  server.say(200, rollout("promoted", true));
  EXPECT_EQ(rollout_status(t, {.target = "#42", .watch = true}), kExitGood);
  const auto count = [&](std::string_view what) {
    std::size_t n = 0;
    for (auto at = out.str().find(what); at != std::string::npos; at = out.str().find(what, at + 1))
      ++n;
    return n;
  };
  EXPECT_EQ(count("\x1b[2J"), 1u);
  EXPECT_EQ(count("\x1b[H"), 4u);
  EXPECT_EQ(count("\x1b[J"), 4u);
}

TEST_F(Cli, ListsAndLogsAreCutToWhatWasAsked) {
  server.say(200, R"({"rollouts":[{"id":3,"service":"shop","phase":"paused"},)"
                  R"({"id":2,"service":"cart","phase":"promoted"},)"
                  R"({"id":1,"service":"shop","phase":"promoted"}]})");
  auto t = terminal();
  t.output = Output::json;
  rollout_list(t, {.service = "shop", .phase = "promoted"});
  rollout_list(t, {.limit = 1});
  EXPECT_EQ(out.str(),
            "{\"rollouts\":[{\"id\":1,\"service\":\"shop\",\"phase\":\"promoted\"}]}\n"
            "{\"rollouts\":[{\"id\":3,\"service\":\"shop\",\"phase\":\"paused\"}]}\n");
  EXPECT_EQ(rollout_list(terminal(), {.service = "nobody"}), kExitGood);
  EXPECT_EQ(err.str(), "coalmine: no rollout is so\n  All of them:   coalmine rollout list\n");
  out.str("");
  server.answers.clear();
  server.say(200, rollout("progressing", false));
  EXPECT_EQ(rollout_log(terminal(), "#42"), kExitGood);
  EXPECT_EQ(out.str(), "2026-11-22 13:41:40  started       started by ci  [ci]\n");
}

TEST_F(Cli, ServicesAreATableOfInstances) {
  server.say(200, R"({"services":[{"service":"shop","track":"canary","version":"2","instance":"a",)"
                  R"("export_interval_ms":60000,"last_ms":1795354900000},{"service":"cart"}]})");
  EXPECT_EQ(services(terminal(), "shop"), kExitGood);
  EXPECT_EQ(out.str(),
            "SERVICE  TRACK   VERSION  INSTANCE  EXPORTS EACH  NEWEST\n"
            "shop     canary  2        a         1m            2026-11-22 13:41:40\n");
  EXPECT_EQ(services(terminal(), "nobody"), kExitGood);
  EXPECT_NE(err.str().find("no telemetry of nobody has come to this server"), std::string::npos);
}

// What cannot arrive is said also where everything else does: it may be of any service.
TEST_F(Cli, ServicesNamesWhoSendsWhereNothingCanArrive) {
  server.say(200, R"({"services":[],"misdirected":[{"listener":"otlp_http","address":"10.0.0.7",)"
                  R"("what":"gRPC goes to 4317","count":2,"last_ms":1795354900000}]})");
  EXPECT_EQ(services(terminal(), "shop"), kExitGood);
  EXPECT_EQ(out.str(), "");
  EXPECT_EQ(err.str(),
            "coalmine: telemetry that cannot arrive, from 10.0.0.7, 2 times, last at "
            "2026-11-22 13:41:40: gRPC goes to 4317\n"
            "coalmine: no telemetry of shop has come to this server\n"
            "  `coalmine serve` prints what to set in an application\n");
  auto json = terminal();
  json.output = Output::json;
  EXPECT_EQ(services(json, ""), kExitGood);
  EXPECT_NE(out.str().find("10.0.0.7"), std::string::npos);
}

// A service may be named like a number: a bare number is a rollout only where no service has it.
TEST_F(Cli, AServiceNamedLikeANumberIsNotARollout) {
  const auto sent_to = [&](const std::string& target, const std::string& list) {
    server.answers.clear();
    server.requests.clear();
    server.say(200, list);
    server.say(200, rollout("progressing", false));
    server.say(200, rollout("aborted", true));
    rollout_command(terminal(), {.verb = "abort", .target = target, .reason = "no", .actor = "me"});
    return server.requests.back().url.substr(std::string("http://127.0.0.1:7070").size());
  };
  EXPECT_EQ(sent_to("1", R"({"rollouts":[{"id":2,"service":"1"},{"id":1,"service":"cart"}],)"
                         R"("services":["cart","1"]})"),
            "/v1/rollouts/2/abort");
  EXPECT_EQ(sent_to("1", R"({"rollouts":[{"id":2,"service":"1"}],"services":["cart"]})"),
            "/v1/rollouts/2/abort")
      << "it was configured when it started";
  EXPECT_EQ(sent_to("1", R"({"rollouts":[{"id":1,"service":"cart"}],"services":["cart"]})"),
            "/v1/rollouts/1/abort");
  EXPECT_EQ(sent_to("1", R"({"rollouts":[{"id":1,"service":"cart"}],"services":["cart","1"]})"),
            "/v1/rollouts")
      << "nothing is aborted";
  EXPECT_NE(err.str().find("1 is a service here; the rollout of that number is '#1'"),
            std::string::npos)
      << err.str();
}

TEST_F(Cli, TelemetryCannotPaintTheTerminal) {
  server.say(200, R"({"failures":[{"trace_id":"ab","error":"\u001b[31mboo\u009b2J\n",)"
                  R"("duration_ms":1.5,"failed_spans":[]}]})");
  failures(terminal(), {.service = "s"});
  EXPECT_EQ(out.str(),
            "Trace ID: ab\n  Error: ?[31mboo?2J \n  Duration: 1.5ms\n  Endpoint: unknown\n\n");
}

TEST(CliText, Numbers) {
  EXPECT_EQ(grouped(40660), "40,660");
  EXPECT_EQ(grouped(100), "100");
  EXPECT_EQ(grouped(1234567), "1,234,567");
  EXPECT_EQ(millis_text(182.4), "182 ms");
  EXPECT_EQ(millis_text(1234), "1.23 s");
  EXPECT_EQ(plain_number(212), "212");
  EXPECT_EQ(plain_number(212.5), "212.5");
  EXPECT_EQ(minutes_seconds(190'000), "3:10");
  EXPECT_EQ(minutes_seconds(3'723'000), "1:02:03");
  EXPECT_EQ(parse_typed_duration("1h30m"), 5'400'000);
  EXPECT_EQ(parse_typed_duration("x"), -1);
  EXPECT_EQ(rfc3339(1'795'354'927'000), "2026-11-22T13:42:07Z");
  EXPECT_EQ(rfc3339(1'795'354'927'250), "2026-11-22T13:42:07.250Z");
  EXPECT_EQ(rfc3339_seconds(1'795'354'927'250), "2026-11-22T13:42:07Z");
  EXPECT_EQ(rfc3339(-250), "1969-12-31T23:59:59.750Z");
}

} // namespace
} // namespace coalmine::cli
