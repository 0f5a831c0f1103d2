// SPDX-License-Identifier: Apache-2.0
#include "lab/outlook.h"

#include <gtest/gtest.h>

#include <cmath>
#include <string>

#include "config/config.h"
#include "lab/outlook_advice.h"
#include "rollout/evidence/step_advice.h"

namespace coalmine::lab {
namespace {

rollout::RolloutSpec spec_of(const std::string& more) {
  config::Config config;
  const auto report = config::parse_config("x.yaml", "service: s\n" + more, {}, config);
  EXPECT_EQ(report.diagnostics.size(), 0u) << more;
  EXPECT_EQ(config.specs.size(), 1u);
  return config.specs.at(0);
}

// The line of the text that begins so, without what is before it; "": none.
std::string line_of(const std::string& text, const std::string& begin) {
  const auto at = text.find(begin);
  if (at == std::string::npos) return "";
  return text.substr(at, text.find('\n', at) - at);
}

TEST(Outlook, SaysWhatLittleTrafficCannotDecide) {
  auto spec = spec_of("steps: [50% 5m, 100%]\n");
  const auto little = traffic_outlook(spec, 1, 0.01, 10),
             much = traffic_outlook(spec, 200, 0.01, 10);
  EXPECT_NE(little.find("too little traffic to promote on time"), std::string::npos) << little;
  EXPECT_NE(little.find("an equal release: promoted 0 of 100"), std::string::npos) << little;
  EXPECT_EQ(much.find("too little traffic"), std::string::npos) << much;
  EXPECT_NE(much.find("+5pp errors: rolled back 100 of 100"), std::string::npos) << much;
  spec.judge = "threshold";
  EXPECT_NE(traffic_outlook(spec, 200, 0.01, 10).find("no forecast for judge threshold"),
            std::string::npos);
}

// What is proposed is pasted into the file as it stands, and does what is said of it.
TEST(Outlook, ProposesStepsThatFindWhatTheDefaultOnesDoNot) {
  const auto usual = spec_of("");
  const auto text = traffic_outlook(usual, 2, 0.01, 30);
  const auto proposed = spec_of(line_of(text, "steps: [") + "\n");
  const auto find = [](const rollout::RolloutSpec& spec, double added) {
    return ReleaseSimulator(spec, 2, 0.01, 60).run(spec.steps, added);
  };
  EXPECT_LE(find(usual, 0.02).rolled_back, 0.1);
  EXPECT_GE(find(proposed, 0.02).rolled_back, 0.7) << text;
  EXPECT_GE(find(proposed, 0).promoted_in_time, 0.85) << text;
  EXPECT_LE(find(proposed, 0).rolled_back, 0.05) << text;
  EXPECT_EQ(proposed.steps.back().weight, 1);
  EXPECT_LE(proposed.steps[proposed.steps.size() - 2].weight, 0.5);
  EXPECT_NE(text.find("+2pp errors: rolled back"), std::string::npos) << text;
}

TEST(Outlook, ProposesNothingWhereTheTrafficIsEnough) {
  const auto text = traffic_outlook(spec_of(""), 200, 0.01, 20);
  EXPECT_EQ(text.find("steps: ["), std::string::npos) << text;
  EXPECT_EQ(text.find("too little"), std::string::npos) << text;
}

TEST(Outlook, AStepKeepsWhatTheFileSaysOfIt) {
  const auto spec = spec_of(
      "steps: [{ weight: 5%, analyze: 10m, min_requests: 20 },\n"
      "        { weight: 50%, analyze: 10m, approve: manual }, 100%]\n");
  const auto text = rollout::steps_text(
      rollout::spec_steps(spec, {{.weight = 0.05, .minutes = 60}, {.weight = 0.5, .minutes = 90}}));
  EXPECT_EQ(text,
            "[{ weight: 5%, analyze: 1h, min_requests: 20 }, "
            "{ weight: 50%, analyze: 1h30m, approve: manual }, 100%]");
  const auto again = spec_of("steps: " + text + "\n");
  EXPECT_EQ(rollout::steps_text(again.steps), text);
  EXPECT_EQ(again.steps[1].analyze_ms, 90 * 60'000);
}

// Of latency and routes is said what the file makes wait or judges on its own.
TEST(Outlook, SaysWhichLatencyAndRoutesHaveTooFewRequests) {
  const auto plain = traffic_outlook(spec_of("steps: [50% 5m, 100%]\n"), 1, 0.01, 10);
  EXPECT_EQ(plain.find("routes."), std::string::npos) << plain;
  EXPECT_EQ(plain.find("gate: false"), std::string::npos) << plain;
  const auto text =
      traffic_outlook(spec_of("steps: [50% 5m, 100%]\n"
                              "metrics: { error_rate: +0.5pp, latency_p95: +2% }\n"
                              "routes: { critical: [/a, /b, /c], min_requests: 10 }\n"),
                      0.05, 0.01, 10);
  EXPECT_NE(text.find("p95_latency (+2%): too few requests"), std::string::npos) << text;
  EXPECT_NE(text.find("Promotion waits for it"), std::string::npos) << text;
  EXPECT_NE(text.find("routes.critical: if the 3 share the requests"), std::string::npos) << text;
  EXPECT_NE(text.find("routes.min_requests: a route with 10 requests"), std::string::npos) << text;
}

// The chances that are computed are those of simulated releases, about.
TEST(Outlook, WhatIsComputedIsWhatIsSimulated) {
  for (const std::string steps : {"[50% 15m, 100%]", "[50% 45m, 100%]", "[25% 30m, 50% 30m, 100%]",
                                  "[5% 10m, 25% 10m, 50% 15m, 100%]"}) {
    for (const double rps : {2.0, 8.0}) {
      const auto spec = spec_of("steps: " + steps + "\n");
      const ReleaseSimulator simulator(spec, rps, 0.01, 60);
      const auto equal = simulator.run(spec.steps, 0), worse = simulator.run(spec.steps, 0.02);
      const auto power = judge::plan_power(*rollout::question_of(
          spec, {.rps = rps, .error_rate = 0.01, .phi = equal.dispersion_median}));
      EXPECT_NEAR(power.found, worse.rolled_back, 0.3) << steps << " at " << rps;
      EXPECT_NEAR(power.shown, equal.promoted_in_time, 0.3) << steps << " at " << rps;
    }
  }
}

} // namespace
} // namespace coalmine::lab
