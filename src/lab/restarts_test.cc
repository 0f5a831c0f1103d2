// Processes that begin anew again and again, by the sequential judge.
// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <vector>

#include "judge/judge.h"

namespace coalmine::lab {
namespace {

using namespace judge;

constexpr int kCellsBefore = 40;

// Cells of 15 s with equal tracks.
class EqualCells {
 public:
  explicit EqualCells(SequentialOptions options)
      : judge_(make_sequential_judge(std::move(options))) {
    for (int i = 0; i < kCellsBefore; ++i) look_.cells.push_back(cell());
    look_.step_needed_minutes = 10;
    look_.step_requests = 1000;
  }

  // One more cell, in which these processes began anew.
  Judgement next(std::vector<InstanceCounts> restarts = {}) {
    look_.cells.push_back(cell());
    auto& cell = look_.cells.back();
    for (auto& one : cell.instances) {
      for (const auto& of : restarts) {
        if (of.instance == one.instance && of.track == one.track) one.restarts = of.restarts;
      }
    }
    look_.step_minutes += 0.25;
    auto out = judge_->judge(look_);
    look_.cells.clear();
    return out;
  }

 private:
  CountCell cell() {
    CountCell out;
    out.from_ms = std::int64_t{15'000} * cells_;
    out.to_ms = out.from_ms + 15'000;
    out.baseline = cells_++ < kCellsBefore;
    out.total.stable = {.requests = 2850, .errors = 28};
    if (!out.baseline) out.total.canary = {.requests = 150, .errors = 1};
    for (const auto* name : {"s-1@1", "s-2@1"})
      out.instances.push_back({name, Track::stable, 1425, 14});
    if (!out.baseline) {
      out.instances.push_back({"c-1@2", Track::canary, 100, 1});
      out.instances.push_back({"c-2@2", Track::canary, 50, 0});
    }
    return out;
  }

  std::unique_ptr<Judge> judge_;
  Evidence look_;
  int cells_ = 0;
};

InstanceCounts began(const std::string& instance, Track track, std::uint32_t times = 1) {
  InstanceCounts out;
  out.instance = instance;
  out.track = track;
  out.restarts = times;
  return out;
}

const SignalVerdict* restarts_of(const Judgement& judgement) {
  for (const auto& v : judgement.signals)
    if (v.subject.kind == SignalKind::restarts) return &v;
  return nullptr;
}

TEST(Restarts, ThreeOfOneProcessInTenMinutesAreARegression) {
  EqualCells traffic(sequential_defaults());
  EXPECT_EQ(restarts_of(traffic.next()), nullptr) << "no line while there is nothing to say";
  auto out = traffic.next({began("c-1@2", Track::canary)});
  ASSERT_NE(restarts_of(out), nullptr);
  EXPECT_EQ(restarts_of(out)->verdict, Verdict::pass);
  EXPECT_EQ(restarts_of(out)->reason,
            "restarts: c-1@2 of the canary began anew once in 10 minutes, none of stable's did (up "
            "to 2 are allowed)");
  for (int i = 0; i < 10; ++i) out = traffic.next();
  out = traffic.next({began("c-1@2", Track::canary), began("c-2@2", Track::canary)});
  EXPECT_NE(out.decision, Decision::rollback) << "two of one and one of another";
  out = traffic.next({began("c-1@2", Track::canary)});
  EXPECT_EQ(out.decision, Decision::rollback);
  EXPECT_EQ(out.reason,
            "restarts: c-1@2 of the canary began anew 3 times in 10 minutes, none of stable's did "
            "(up to 2 are allowed)");
}

TEST(Restarts, SeveralInOneCellCountEach) {
  EqualCells traffic(sequential_defaults());
  EXPECT_EQ(traffic.next({began("c-2@2", Track::canary, 3)}).decision, Decision::rollback);
}

TEST(Restarts, WhatIsOlderThanTenMinutesIsForgotten) {
  EqualCells traffic(sequential_defaults());
  for (int i = 0; i < 120; ++i) {
    const bool begins = i % 20 == 0; // each five minutes
    const auto out = begins ? traffic.next({began("c-1@2", Track::canary)}) : traffic.next();
    EXPECT_NE(out.decision, Decision::rollback) << i;
  }
}

// What restarts both tracks is no fault of the version.
TEST(Restarts, WhereStablesRestartTooNothingIsConcluded) {
  EqualCells traffic(sequential_defaults());
  traffic.next({began("s-1@1", Track::stable)});
  const auto out = traffic.next({began("c-1@2", Track::canary, 4)});
  EXPECT_EQ(out.decision, Decision::keep_watching);
  ASSERT_NE(restarts_of(out), nullptr);
  EXPECT_EQ(restarts_of(out)->verdict, Verdict::watching);
  EXPECT_EQ(restarts_of(out)->reason,
            "restarts: c-1@2 of the canary began anew 4 times in 10 minutes, one of stable's once "
            "(up to 2 are allowed, and more where stable's restart too)");
}

TEST(Restarts, AreNoRegressionWhereTheyDoNotGateOrTheLimitIsHigher) {
  for (const bool gate : {true, false}) {
    auto options = sequential_defaults();
    for (auto& signal : options.signals) {
      if (signal.kind != SignalKind::restarts) continue;
      signal.gate = gate;
      if (gate) signal.max = 4;
    }
    EqualCells traffic(options);
    EXPECT_NE(traffic.next({began("c-1@2", Track::canary, 4)}).decision, Decision::rollback);
    EXPECT_EQ(traffic.next({began("c-1@2", Track::canary, 1)}).decision == Decision::rollback,
              gate);
  }
}

} // namespace
} // namespace coalmine::lab
