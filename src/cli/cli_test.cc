// SPDX-License-Identifier: Apache-2.0
#include "cli/cli.h"

#include <gtest/gtest.h>

#include <fmt/format.h>

#include <boost/json/parse.hpp>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "base/golden_for_test.h"
#include "base/rfc3339.h"
#include "cli/render.h"
#include "cli/terminal_for_test.h"
#include "cli/text.h"

namespace coalmine::cli {
namespace {

namespace fs = std::filesystem;

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

TEST_F(Cli, ServicesAreATableOfInstances) {
  server.say(200, R"({"services":[{"service":"shop","track":"canary","version":"2","instance":"a",)"
                  R"("export_interval_ms":60015,"last_ms":1795354900000},{"service":"cart"}]})");
  EXPECT_EQ(services(terminal(), "shop"), kExitGood);
  EXPECT_EQ(out.str(),
            "SERVICE  TRACK   VERSION  INSTANCE  EXPORTS EACH  NEWEST\n"
            "shop     canary  2        a         1m            2026-11-22 13:41:40\n");
  EXPECT_EQ(services(terminal(), "nobody"), kExitGood);
  EXPECT_NE(err.str().find("no telemetry of nobody has come to this server"), std::string::npos);
}

// Whichever service is asked for: it may be of any.
TEST_F(Cli, ServicesNameWhoSendsWhatCannotArrive) {
  server.say(200, R"({"services":[],"misdirected":[{"address":"10.1.2.3","what":"gRPC came to the )"
                  R"(port for HTTP; send it to port 4317"}]})");
  EXPECT_EQ(services(terminal(), "shop"), kExitGood);
  EXPECT_TRUE(
      err.str().starts_with("coalmine: 10.1.2.3 sends telemetry that cannot arrive: gRPC "
                            "came to the port for HTTP; send it to port 4317\n"))
      << err.str();
  auto json = terminal();
  json.output = Output::json;
  EXPECT_EQ(services(json, "shop"), kExitGood);
  EXPECT_NE(out.str().find("10.1.2.3"), std::string::npos);
}

TEST_F(Cli, DoctorIsAChecklistWithAnExitCode) {
  server.say(200,
             R"({"findings":[{"state":"good","about":"server","text":"it answers"},)"
             R"({"state":"missing","about":"shop","text":"no canary","remedy":"deploy one"}]})");
  EXPECT_EQ(doctor(terminal(), "shop"), kExitGood);
  EXPECT_EQ(server.requests[0].url, "http://127.0.0.1:7070/v1/doctor?service=shop");
  EXPECT_EQ(out.str(), "server\n  ✔ it answers\n\nshop\n  ○ no canary\n      → deploy one\n");
  server.answers.clear();
  server.say(200, R"({"findings":[{"state":"wrong","about":"shop","text":"no telemetry"}]})");
  EXPECT_EQ(doctor(terminal(), ""), kExitUndecided);
}

TEST_F(Cli, ConfigShowPrintsTheWordsOfEachService) {
  server.say(200, R"({"services":[{"service":"a","words":"a\nsteps 5%\n"},)"
                  R"({"service":"b","words":"b\n"}]})");
  EXPECT_EQ(config_show(terminal(), ""), kExitGood);
  EXPECT_EQ(out.str(), "a\nsteps 5%\n\nb\n");
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
