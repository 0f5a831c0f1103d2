// rollout start, retry, status, list, log and what a person asks of one.
// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "cli/terminal_for_test.h"

namespace coalmine::cli {
namespace {

using RolloutCommands = Cli;

std::string rollout(std::string_view phase, bool terminal_phase) {
  return R"({"id":42,"service":"shop","canary_version":"2","stable_version":"1","phase":")" +
         std::string(phase) + R"(","terminal":)" + (terminal_phase ? "true" : "false") +
         R"(,"step":0,"steps":[{"weight":0.05,"analyze_ms":60000,"outcome":""},
             {"weight":1,"analyze_ms":0,"outcome":""}],
  "weight_asked":0.05,"reason":"because","started_ms":1795354900000,"log":[
  {"sequence":1,"time_ms":1795354900000,"kind":"started","text":"started by ci","actor":"ci"}]})";
}

TEST_F(RolloutCommands, StatusFindsTheNewestRolloutOfAService) {
  server.say(200, R"({"rollouts":[{"id":43,"service":"other"},{"id":42,"service":"shop"},{"id":7,)"
                  R"("service":"shop"}]})");
  server.say(200, rollout("progressing", false));
  EXPECT_EQ(rollout_status(terminal(), {.target = "shop"}), kExitUndecided);
  EXPECT_EQ(server.requests[1].url, "http://127.0.0.1:7070/v1/rollouts/42");
  EXPECT_TRUE(out.str().ends_with("Next: coalmine rollout status shop --watch\n")) << out.str();
}

TEST_F(RolloutCommands, StatusSaysWhenTheTrafficIsTooLittle) {
  server.say(200, rollout("progressing", false));
  rollout_status(terminal(), {.target = "#42"});
  EXPECT_EQ(out.str().find("Note: "), std::string::npos) << out.str();
  server.answers.clear();
  server.say(200, R"({"advice":{"sentence":"2 requests a second are little","steps":"[50% 2h]"},)" +
                      rollout("progressing", false).substr(1));
  rollout_status(terminal(), {.target = "#42"});
  EXPECT_NE(out.str().find("Note: 2 requests a second are little\n"), std::string::npos)
      << out.str();
}

TEST_F(RolloutCommands, StatusOfAServiceWithoutRollout) {
  server.say(200, R"({"rollouts":[]})");
  EXPECT_EQ(rollout_status(terminal(), {.target = "shop"}), kExitUsage);
  EXPECT_NE(err.str().find("shop has no rollout"), std::string::npos);
}

TEST_F(RolloutCommands, WaitEndsWithTheRolloutAndPrintsEachChangeOnce) {
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

TEST_F(RolloutCommands, WaitGivesUpWhenTheRouterFailsForLong) {
  for (int i = 0; i < 70; ++i) server.say(200, in_condition("progressing", "router_failing"));
  EXPECT_EQ(rollout_status(terminal(), {.target = "#42", .wait = true}), kExitRouter);
  EXPECT_EQ(server.requests.size(), 61u) << "a reload is waited for";
  EXPECT_NE(err.str().find("coalmine: because\n  The server goes on trying. To end it: coalmine "
                           "rollout abort '#42'"),
            std::string::npos)
      << err.str();
}

TEST_F(RolloutCommands, ATimeoutWhileTheRouterFailsHasItsExitCode) {
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

TEST_F(RolloutCommands, WhatARolloutWaitsForIsItsHeadline) {
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

TEST_F(RolloutCommands, StartSaysWhatItTook) {
  server.say(201,
             R"({"id":42,"summary":"Rollout 42 of shop started: canary 2 against stable 1."})");
  EXPECT_EQ(rollout_start(terminal(), {.service = "shop"}), kExitGood);
  EXPECT_TRUE(out.str().starts_with("Rollout 42 of shop started: canary 2 against stable 1.\n"))
      << out.str();
}

TEST_F(RolloutCommands, WaitStopsAtAPauseWatchDoesNot) {
  server.say(200, rollout("paused", false));
  EXPECT_EQ(rollout_status(terminal(), {.target = "#42", .wait = true}), kExitUndecided);
  EXPECT_EQ(server.requests.size(), 1u);
  server.answers.clear();
  server.say(200, rollout("paused", false));
  server.say(200, rollout("promoted", true));
  EXPECT_EQ(rollout_status(terminal(), {.target = "#42", .watch = true}), kExitGood);
}

TEST_F(RolloutCommands, WaitGivesUpAfterItsTimeAndOnADeadServer) {
  server.say(200, rollout("progressing", false));
  EXPECT_EQ(rollout_status(terminal(), {.target = "#42", .wait = true, .timeout = "3s"}),
            kExitUndecided);
  EXPECT_NE(err.str().find("rollout 42 is not over after 3s"), std::string::npos);
  server.answers.clear();
  EXPECT_EQ(rollout_status(terminal(), {.target = "#42", .wait = true}), kExitUnreachable);
}

TEST_F(RolloutCommands, StartWithWaitFollowsTheNewRollout) {
  server.say(201, R"({"id":42})");
  server.say(200, rollout("promoted", true));
  EXPECT_EQ(rollout_start(terminal(),
                          {.service = "shop", .canary_version = "2", .actor = "ci", .wait = true}),
            kExitGood);
  EXPECT_EQ(server.requests[0].body, R"({"service":"shop","canary_version":"2","actor":"ci"})");
  EXPECT_EQ(server.requests[1].url, "http://127.0.0.1:7070/v1/rollouts/42");
}

TEST_F(RolloutCommands, StartSaysWhatIsInDoubt) {
  server.say(201, R"({"id":42,"warnings":["no telemetry of canary names version 2"]})");
  EXPECT_EQ(rollout_start(terminal(), {.service = "shop", .canary_version = "2", .actor = "ci"}),
            kExitGood);
  EXPECT_EQ(err.str(), "coalmine: warning: no telemetry of canary names version 2\n");
}

TEST_F(RolloutCommands, CommandsPostTheirReason) {
  server.say(200, rollout("progressing", false));
  server.say(200, rollout("aborted", true));
  EXPECT_EQ(rollout_command(terminal(),
                            {.verb = "abort", .target = "#42", .reason = "no", .actor = "me"}),
            kExitGood);
  EXPECT_EQ(server.requests[1].url, "http://127.0.0.1:7070/v1/rollouts/42/abort");
  EXPECT_EQ(server.requests[1].body, R"({"reason":"no","actor":"me"})");
}

TEST_F(RolloutCommands, PromoteTakesAllStepsWhenAsked) {
  server.say(200, rollout("progressing", false));
  EXPECT_EQ(
      rollout_command(
          terminal(),
          {.verb = "promote", .full = true, .target = "#42", .reason = "hotfix", .actor = "me"}),
      kExitGood);
  EXPECT_EQ(server.requests.back().body, R"({"reason":"hotfix","actor":"me","full":true})");
}

TEST_F(RolloutCommands, RetryStartsTheVersionsOfWhatDidNotEndWell) {
  server.say(200, R"({"id":42,"service":"shop","phase":"rolled_back","terminal":true,)"
                  R"("canary_version":"2","stable_version":"1"})");
  server.say(201, R"({"id":43,"summary":"Rollout 43 of shop started."})");
  EXPECT_EQ(rollout_retry(terminal(), {.service = "#42", .actor = "me"}), kExitGood);
  EXPECT_EQ(server.requests[1].body, R"({"service":"shop","canary_version":"2",)"
                                     R"("stable_version":"1","actor":"me"})");
  EXPECT_TRUE(out.str().starts_with("Rollout 43 of shop started.")) << out.str();
}

TEST_F(RolloutCommands, RetryRefusesWhatRunsAndWhatWasPromoted) {
  server.say(200, R"({"id":42,"service":"shop","phase":"paused","terminal":false})");
  EXPECT_EQ(rollout_retry(terminal(), {.service = "#42"}), kExitUsage);
  EXPECT_EQ(err.str(),
            "coalmine: rollout 42 of shop is paused: only one that has ended is tried "
            "again\n  coalmine rollout abort shop\n");
  err.str("");
  server.answers.clear();
  server.say(200, R"({"id":42,"service":"shop","phase":"promoted","terminal":true})");
  EXPECT_EQ(rollout_retry(terminal(), {.service = "#42"}), kExitUsage);
  EXPECT_EQ(err.str(),
            "coalmine: rollout 42 of shop was promoted: there is nothing to try again\n"
            "  coalmine rollout start shop --version V\n");
}

TEST_F(RolloutCommands, AnAbortOfAnAbortedRolloutSaysSo) {
  const std::string ended = R"({"id":42,"service":"shop","phase":"aborted","terminal":true,)"
                            R"("ended_ms":1795354900000})";
  server.say(200, ended);
  EXPECT_EQ(rollout_command(terminal(), {.verb = "abort", .target = "#42"}), kExitGood);
  EXPECT_EQ(err.str(),
            "coalmine: rollout 42 of shop was aborted already, at 2026-11-22 13:41:40\n");
  EXPECT_EQ(server.requests.size(), 1u) << "nothing is asked for again";
}

TEST_F(RolloutCommands, QuietCommandsSayNothing) {
  auto t = terminal();
  t.quiet = true;
  server.say(200, rollout("paused", false));
  EXPECT_EQ(rollout_command(t, {.verb = "pause", .target = "#42"}), kExitGood);
  EXPECT_EQ(out.str() + err.str(), "");
}

TEST_F(RolloutCommands, AWatchedTerminalIsClearedOnceAndThenDrawnOver) {
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

TEST_F(RolloutCommands, ListsAndLogsAreCutToWhatWasAsked) {
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

TEST_F(RolloutCommands, AListIsReadPageByPage) {
  const std::string first =
      R"({"rollouts":[{"id":4,"service":"shop"},{"id":3,"service":"shop"}],"next":3,"services":["shop"]})";
  const std::string second =
      R"({"rollouts":[{"id":2,"service":"shop"}],"next":null,"services":["shop"]})";
  server.say(200, first);
  server.say(200, second);
  auto t = terminal();
  t.output = Output::json;
  EXPECT_EQ(rollout_list(t, {}), kExitGood);
  EXPECT_EQ(out.str(),
            "{\"rollouts\":[{\"id\":4,\"service\":\"shop\"},{\"id\":3,\"service\":"
            "\"shop\"},{\"id\":2,\"service\":\"shop\"}],\"services\":[\"shop\"]}\n");
  ASSERT_EQ(server.requests.size(), 2u);
  EXPECT_EQ(server.requests[0].url, "http://127.0.0.1:7070/v1/rollouts");
  EXPECT_EQ(server.requests[1].url, "http://127.0.0.1:7070/v1/rollouts?before=3");
  server.answers.clear();
  server.requests.clear();
  server.say(200, first);
  EXPECT_EQ(rollout_list(t, {.service = "shop", .limit = 2}), kExitGood);
  EXPECT_EQ(server.requests.size(), 1u) << "two were asked for";
}

TEST_F(RolloutCommands, AServiceNamedLikeANumberIsNotARollout) {
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
            "/v1/rollouts?service=1&limit=1")
      << "nothing is aborted";
  EXPECT_NE(err.str().find("1 is a service here; the rollout of that number is '#1'"),
            std::string::npos)
      << err.str();
}

} // namespace
} // namespace coalmine::cli
