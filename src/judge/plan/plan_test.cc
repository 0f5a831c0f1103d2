// What planning says of steps at some traffic. That simulated releases say the same: lab.
// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "judge/judge.h"
#include "judge/plan/default_margin.h"
#include "judge/plan/plan_advice.h"

namespace coalmine::judge {
namespace {

PlanQuestion asked(double rps, double error_rate = 0.01, double phi = 1) {
  return *plan_question(sequential_defaults(), {.rps = rps, .error_rate = error_rate, .phi = phi});
}

TEST(DefaultMargin, WhatTrafficWidensIsInPoints) {
  const auto plan = sequential_defaults().plan;
  EXPECT_EQ(to_string(default_error_margin(0.01, plan, 20)), "+0.7pp");
  EXPECT_EQ(to_string(default_error_margin(0.02, plan, 2)), "+1pp");
  EXPECT_EQ(to_string(default_error_margin(0.05, plan, 2000)), "+20%") << "not widened";
}

// With half of the requests on the canary there is one of stable's to compare each with, not many.
TEST(DefaultMargin, AsManyCanaryRequestsShowLessAtALargerWeight) {
  const std::vector<PlannedStep> small = {{.weight = 0.05, .minutes = 600}},
                                 large = {{.weight = 0.5, .minutes = 60}};
  EXPECT_LT(default_rate_margin(0.01, small, 4, 1).amount,
            default_rate_margin(0.01, large, 4, 1).amount);
}

TEST(PlanPower, MoreTrafficDecidesMoreAndDispersionLess) {
  PlanPower before;
  double detectable = 1;
  for (const double rps : {0.5, 2.0, 8.0, 32.0, 128.0}) {
    auto question = asked(rps);
    // A margin of its own: the default one becomes narrower with traffic.
    question.errors.automatic = false;
    question.errors.margin = {.relative = false, .amount = 0.005, .floor = 0};
    question.max_extends = 0;
    question.steps = {{.weight = 0.5, .minutes = 30}};
    const auto power = plan_power(question);
    EXPECT_GE(power.found, before.found) << rps;
    EXPECT_GE(power.shown, before.shown) << rps;
    EXPECT_LE(detectable_of(question), detectable) << rps;
    before = power;
    detectable = detectable_of(question);
    question.phi = 3;
    EXPECT_LE(plan_power(question).found, power.found) << rps;
    EXPECT_LE(plan_power(question).shown, power.shown) << rps;
    EXPECT_GE(detectable_of(question), detectable) << rps;
  }
}

TEST(PlanPower, NothingWithinTheMarginIsFound) {
  auto question = asked(2000);
  EXPECT_LT(chance_found(question, 0.002), 0.1);
  EXPECT_GE(detectable_of(question), allowed_by(question, question.errors));
  EXPECT_GT(chance_found(question, 0.02), 0.99);
}

TEST(PlanPower, AStepThatCannotCountItsRequestsInTimePassesNothing) {
  auto question = asked(200);
  EXPECT_GT(plan_power(question).shown, 0.95);
  question.steps[0].min_requests = 1e6;
  EXPECT_LT(plan_power(question).shown, 0.01);
}

TEST(PlanPower, OnlyErrorsThatGateAndAPlanAreAskedAbout) {
  auto options = sequential_defaults();
  options.plan.clear();
  EXPECT_FALSE(plan_question(options, {.rps = 2, .error_rate = 0.01}));
  options = sequential_defaults();
  options.signals[0].gate = false;
  EXPECT_FALSE(plan_question(options, {.rps = 2, .error_rate = 0.01}));
}

// A latency that somebody has asked for holds up promotion, and counts.
TEST(PlanPower, ALatencyThatGatesCounts) {
  auto options = sequential_defaults();
  EXPECT_TRUE(plan_question(options, {.rps = 2, .error_rate = 0.0001})->others.empty());
  options.signals[2].if_decidable = false;
  options.signals[2].margin.amount = 0.05;
  const auto question = plan_question(options, {.rps = 20, .error_rate = 0.0001});
  ASSERT_EQ(question->others.size(), 1u);
  EXPECT_LT(plan_power(*question).shown, plan_power(asked(20, 0.0001)).shown);
}

TEST(PlanAdvice, LittleTrafficGetsFewerAndLongerSteps) {
  const auto advice = advise(asked(2));
  EXPECT_FALSE(meets(advice.now));
  EXPECT_LT(advice.now.found, 0.1);
  ASSERT_FALSE(advice.steps.empty());
  EXPECT_TRUE(meets(advice.then));
  EXPECT_LE(advice.then.detectable, 0.02);
  EXPECT_LE(advice.then.minutes, 240);
}

TEST(PlanAdvice, EnoughTrafficGetsNone) {
  const auto advice = advise(asked(200));
  EXPECT_TRUE(meets(advice.now));
  EXPECT_TRUE(advice.steps.empty());
}

// Whatever is asked: weights rise and are 50 % at most, no step is longer than four hours or
// shorter than it was, and what is proposed comes nearer to the wish.
TEST(PlanAdvice, IsNeverWorseThanWhatItIsAskedAbout) {
  const std::vector<std::vector<PlannedStep>> plans = {
      sequential_defaults().plan,
      {{.weight = 0.01, .minutes = 5},
       {.weight = 0.02, .minutes = 5},
       {.weight = 0.1, .minutes = 5}},
      {{.weight = 0.5, .minutes = 3}},
      {{.weight = 0.3, .minutes = 20}, {.weight = 0.9, .minutes = 20}}};
  const auto shares = [](const PlanPower& power) {
    return std::min(1.0, power.found / kFoundOften) + std::min(1.0, power.shown / kShownOften);
  };
  for (const auto& plan : plans) {
    for (const double rps : {0.02, 0.5, 2.0, 10.0}) {
      for (const double rate : {0.0, 0.001, 0.01, 0.2}) {
        auto question = asked(rps, rate);
        question.steps = plan;
        const auto advice = advise(question);
        if (advice.steps.empty()) continue;
        EXPECT_GT(shares(advice.then), shares(advice.now)) << rps << " rps, rate " << rate;
        double before = 0;
        for (const auto& step : advice.steps) {
          EXPECT_GT(step.weight, before);
          EXPECT_LE(step.weight, 0.5);
          EXPECT_LE(step.minutes, kLongestStepMinutes);
          const auto own = std::ranges::find(plan, step.weight, &PlannedStep::weight);
          if (own != plan.end()) {
            EXPECT_GE(step.minutes, own->minutes);
          }
          before = step.weight;
        }
      }
    }
  }
}

} // namespace
} // namespace coalmine::judge
