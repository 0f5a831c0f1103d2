// The pure machine, event by event: what no scenario can time as finely.
// SPDX-License-Identifier: Apache-2.0
#include "rollout/machine.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>

#include "rollout/status.h"
#include "rollout/validate.h"

namespace coalmine::rollout {
namespace {

constexpr std::int64_t kRolloutStart = 1'000'000;
constexpr std::int64_t kExport = 500;

class StepClock : public ::testing::Test {
 protected:
  StepClock() {
    auto spec = default_spec("shop");
    spec.router = route::HaproxyOptions{};
    spec.look_interval_ms = 10;
    spec.steps = {{.weight = 0.05, .analyze_ms = 15'000}, {.weight = 1, .analyze_ms = 0}};
    take(event::Start{.id = {1},
                      .spec = std::make_shared<const RolloutSpec>(spec),
                      .canary_version = "2",
                      .stable_version = "1",
                      .actor = ""},
         0);
    take(event::JournalSynced{.sequence = state_.sequence}, 0);
    take(event::RouterDone{.op = RouterOp::set,
                           .epoch = state_.live.epoch,
                           .error = {},
                           .applied = 0.05,
                           .detail = ""},
         0);
  }

  void take(const Event& event, std::int64_t at) {
    state_ = step(state_, event, {.wall_ms = kRolloutStart + at, .steady_ms = at}).state;
  }

  void look(std::int64_t at, std::int64_t canary_at, std::int64_t stable_at) {
    take(event::Tick{}, at); // asks for it
    ASSERT_TRUE(state_.live.look_in_flight);
    LookResult look;
    look.look = state_.live.look;
    look.to_ms = kRolloutStart + at;
    look.canary.last_ms = kRolloutStart + canary_at;
    look.stable.last_ms = kRolloutStart + stable_at;
    take(event::Looked{look}, at);
  }

  State state_;
};

// Looks follow arrivals, so one comes after the export of each track. The interval counts once, not
// only its last 50 ms.
TEST_F(StepClock, TracksThatReportOneAfterTheOther) {
  for (std::int64_t now = kExport; now <= 10'000; now += kExport) {
    look(now, now - kExport, now);
    look(now + 50, now + 3, now);
  }
  EXPECT_EQ(state_.clock.observed_valid_ms, 10'000);
}

TEST_F(StepClock, NeverMoreThanTheTimeThatPassed) {
  look(1'000, 900, 900);
  look(1'050, 1'000'000, 1'000'000); // points of tomorrow
  EXPECT_EQ(state_.clock.observed_valid_ms, 1'050);
}

TEST_F(StepClock, TimeInWhichTheStoreWasAwayDoesNotCount) {
  look(1'000, 1'000, 1'000);
  take(event::Tick{}, 2'000);
  LookResult failed;
  failed.look = state_.live.look;
  failed.source_error = "connection refused";
  take(event::Looked{failed}, 2'000);
  look(60'000, 59'900, 59'900);
  look(60'500, 60'500, 60'500);
  EXPECT_EQ(state_.clock.observed_valid_ms, 1'500);
}

TEST_F(StepClock, ALookThatTakesLongIsWaitedFor) {
  take(event::Tick{}, 1'000);
  ASSERT_TRUE(state_.live.look_in_flight);
  LookResult overdue;
  overdue.look = state_.live.look;
  overdue.under_way = true;
  overdue.source_error = "The telemetry store has not answered a look for 30 s";
  take(event::Looked{overdue}, 31'000);
  EXPECT_TRUE(state_.live.look_in_flight) << "no second look beside it";
  EXPECT_EQ(state_.position.reason,
            "The telemetry store has not answered a look for 30 s; the weight is held");
  LookResult answer;
  answer.look = overdue.look;
  answer.canary.last_ms = answer.stable.last_ms = kRolloutStart + 900;
  take(event::Looked{answer}, 45'000);
  EXPECT_FALSE(state_.live.source_down_steady >= 0) << "its answer counts";
}

TEST_F(StepClock, ALookThatHasMoreToReadIsFollowedAtOnceAndDecidesNothing) {
  take(event::Tick{}, 1'000);
  LookResult part;
  part.look = state_.live.look;
  part.read_until_ms = kRolloutStart;
  part.judgement_incomplete = true;
  judge::Judgement promote;
  promote.decision = judge::Decision::promote;
  part.judgement = std::make_shared<const judge::Judgement>(promote);
  part.canary_requests = 1e6;
  const auto sequence = state_.sequence;
  take(event::Looked{part}, 400'000);
  EXPECT_EQ(state_.sequence, sequence) << "neither a gate nor a pause for no data";
  EXPECT_TRUE(state_.live.look_in_flight);
}

// On the way to 100 % past steps that never began the canary still has its old share: one that goes
// bad before the router has obeyed goes back.
// Worse by no more than stable's own instances differ: the weight is held, and a person is asked,
// once a step. Who resumes has answered; a rollback is still a rollback.
TEST_F(StepClock, WhatInstancesExplainIsLeftToAPerson) {
  const auto judged = [&](std::int64_t at, judge::Decision decision) {
    take(event::Tick{}, at);
    judge::Judgement judgement;
    judgement.decision = decision;
    judgement.reason = "instances differ";
    LookResult look;
    look.look = state_.live.look;
    look.to_ms = kRolloutStart + at;
    look.canary.last_ms = look.stable.last_ms = kRolloutStart + at;
    look.judgement = std::make_shared<const judge::Judgement>(judgement);
    take(event::Looked{look}, at);
  };
  judged(1'000, judge::Decision::inconclusive);
  EXPECT_EQ(state_.position.phase, Phase::paused);
  EXPECT_EQ(state_.position.pause_cause, PauseCause::processes_differ);
  EXPECT_NE(state_.position.reason.find("instances differ"), std::string::npos);
  EXPECT_EQ(state_.weight.asked, 0.05);
  take(event::Commanded{.command = Command::resume, .actor = "ann", .reason = ""}, 2'000);
  judged(3'000, judge::Decision::inconclusive);
  EXPECT_EQ(state_.position.phase, Phase::progressing) << "it was answered";
  judged(4'000, judge::Decision::rollback);
  EXPECT_EQ(state_.position.phase, Phase::rolling_back);
}

TEST(PromoteFull, WatchesOnUntilTheRouterHasObeyed) {
  auto spec = default_spec("shop");
  spec.router = route::HaproxyOptions{};
  State state;
  std::vector<Effect> effects;
  const auto take = [&](const Event& event, std::int64_t at) {
    auto out = step(state, event, {.wall_ms = kRolloutStart + at, .steady_ms = at});
    state = std::move(out.state);
    effects = std::move(out.effects);
  };
  take(event::Start{.id = {1},
                    .spec = std::make_shared<const RolloutSpec>(spec),
                    .canary_version = "2",
                    .stable_version = "1",
                    .actor = ""},
       0);
  take(event::JournalSynced{.sequence = state.sequence}, 0);
  take(event::RouterDone{.op = RouterOp::set,
                         .epoch = state.live.epoch,
                         .error = {},
                         .applied = 0.05,
                         .detail = ""},
       0);
  take(event::Commanded{.command = Command::promote_full, .actor = "ann", .reason = "hotfix"},
       1'000);
  ASSERT_EQ(state.position.step, 3u);
  ASSERT_EQ(state.plan.steps[2].started_ms, 0);
  take(event::Tick{}, 20'000);
  const auto looks = std::ranges::find_if(
      effects, [](const Effect& e) { return std::holds_alternative<effect::TakeLook>(e); });
  ASSERT_NE(looks, effects.end()) << "the share it has is watched";
  EXPECT_EQ(std::get<effect::TakeLook>(*looks).from_ms, kRolloutStart);
  judge::Judgement bad;
  bad.decision = judge::Decision::rollback;
  bad.reason = "errors";
  LookResult look;
  look.look = state.live.look;
  look.step = 3;
  look.judgement = std::make_shared<const judge::Judgement>(bad);
  take(event::Looked{look}, 21'000);
  EXPECT_EQ(state.position.phase, Phase::rolling_back);
}

// Whatever the weight, a change by more than a tenth of it is somebody's hand, and a rollout never
// takes another weight for the one that was asked for.
TEST(Drift, IsAShareOfTheWeight) {
  for (double weight = 0.0001; weight < 1; weight *= 1.7) {
    for (const double factor : {0.0, 0.5, 0.85, 1.15, 2.0}) {
      if (weight * factor > 1 || (weight > kSmallWeight && std::abs(factor - 1) < 0.5)) continue;
      auto spec = default_spec("shop");
      spec.router = route::HaproxyOptions{};
      spec.steps = {{.weight = weight, .analyze_ms = 15'000}, {.weight = 1, .analyze_ms = 0}};
      State state;
      const auto take = [&](const Event& event, std::int64_t at) {
        state = step(state, event, {.wall_ms = kRolloutStart + at, .steady_ms = at}).state;
      };
      const auto answer = [&](RouterOp op, double applied, std::int64_t at) {
        take(
            event::RouterDone{
                .op = op, .epoch = state.live.epoch, .error = {}, .applied = applied, .detail = ""},
            at);
      };
      take(event::Start{.id = {1},
                        .spec = std::make_shared<const RolloutSpec>(spec),
                        .canary_version = "2",
                        .stable_version = "1",
                        .actor = ""},
           0);
      take(event::JournalSynced{.sequence = state.sequence}, 0);
      if (factor < 0.7 || factor > 1.5) {
        auto other = state;
        answer(RouterOp::set, weight * factor, 0);
        EXPECT_FALSE(state.weight.is_confirmed) << weight << " times " << factor;
        state = other;
      }
      answer(RouterOp::set, weight, 0);
      ASSERT_TRUE(state.weight.is_confirmed);
      take(event::Tick{}, kReadEveryMs);
      ASSERT_TRUE(state.live.read_in_flight);
      answer(RouterOp::read, weight * factor, kReadEveryMs);
      if (factor < 1) {
        EXPECT_EQ(state.position.pause_cause, PauseCause::manual_override)
            << weight << " times " << factor;
      } else {
        EXPECT_TRUE(state.live.set_in_flight) << weight << " times " << factor;
      }
    }
  }
}

// No sentence about a rollout that is only watched may say that traffic went somewhere.
TEST(Observe, NoSentenceSaysThatTrafficWasMoved) {
  for (const bool by_hand : {false, true}) {
    auto spec = default_spec("shop");
    spec.router = route::ObserveOptions{};
    spec.steps = {{.weight = 0.05, .analyze_ms = 15'000}, {.weight = 1, .analyze_ms = 0}};
    State state;
    std::string said;
    std::int64_t at = 0;
    const auto take = [&](const Event& event) {
      auto out = step(state, event, {.wall_ms = kRolloutStart + at, .steady_ms = at});
      state = std::move(out.state);
      for (const auto& effect : out.effects) {
        const auto* record = std::get_if<effect::Record>(&effect);
        if (record == nullptr) continue;
        for (const auto& line : record->lines) said += line.text + "\n";
        for (const auto& notice : record->notices) said += notice.text + "\n";
      }
      said += make_status(state, {}).reason + "\n";
    };
    const auto answer = [&](RouterOp op, double applied) {
      take(event::RouterDone{
          .op = op, .epoch = state.live.epoch, .error = {}, .applied = applied, .detail = ""});
    };
    take(event::Start{.id = {1},
                      .spec = std::make_shared<const RolloutSpec>(spec),
                      .canary_version = "2",
                      .stable_version = "1",
                      .actor = ""});
    take(event::JournalSynced{.sequence = state.sequence});
    answer(RouterOp::set, 0.05);
    EXPECT_FALSE(make_status(state, {}).weight_applied) << "nothing was read back";
    at = 20'000;
    if (by_hand) {
      take(event::Commanded{.command = Command::abort, .actor = "ann", .reason = "why"});
    } else {
      take(event::Tick{});
      LookResult look;
      look.look = state.live.look;
      judge::Judgement bad;
      bad.decision = judge::Decision::rollback;
      bad.reason = "worse";
      look.judgement = std::make_shared<const judge::Judgement>(bad);
      take(event::Looked{look});
    }
    at = 20'050;
    answer(RouterOp::panic, 0);
    EXPECT_EQ(state.position.phase, by_hand ? Phase::aborted : Phase::rolled_back);
    EXPECT_NE(said.find(by_hand ? "decided to abort; nothing was moved (router: observe)"
                                : "decided to roll back; nothing was moved (router: observe)"),
              std::string::npos)
        << said;
    for (const auto* claim : {"reads back", "to 0%", "moving", "rolled back at", "all the traffic"})
      EXPECT_EQ(said.find(claim), std::string::npos) << claim << " in:\n" << said;
    EXPECT_EQ(make_status(state, {}).time_to_rollback_ms, 0);
  }
}

// A share that was seen at 10 % stands beside no sentence that all traffic is elsewhere.
TEST(Status, AShareThatWasSeenIsToldWhileItHolds) {
  State state;
  state.plan.spec = std::make_shared<const RolloutSpec>(default_spec("shop"));
  state.live.observed_split = 0.099;
  for (const auto phase : {Phase::progressing, Phase::paused, Phase::rolling_back, Phase::promoted,
                           Phase::rolled_back, Phase::aborted, Phase::abandoned}) {
    state.position.phase = phase;
    const bool holds = phase == Phase::progressing || phase == Phase::paused;
    EXPECT_EQ(make_status(state, {}).observed_split.has_value(), holds) << to_string(phase);
  }
}

TEST(Status, AdviceIsGivenWhileTheRolloutRuns) {
  State state;
  state.plan.spec = std::make_shared<const RolloutSpec>(default_spec("shop"));
  EXPECT_FALSE(make_status(state, {}).advice);
  state.live.advice = {.sentence = "2 requests a second are little", .steps = "[50% 2h, 100%]"};
  for (const auto phase : {Phase::progressing, Phase::paused, Phase::rolling_back, Phase::promoted,
                           Phase::rolled_back, Phase::aborted, Phase::abandoned}) {
    state.position.phase = phase;
    const bool runs = phase == Phase::progressing || phase == Phase::paused;
    EXPECT_EQ(make_status(state, {}).advice.has_value(), runs) << to_string(phase);
  }
}

// One look at a canary that is silent.
class Silence : public StepClock {
 protected:
  // silent_ms: how long, with the given requests of stable meanwhile.
  void heard(std::int64_t at, std::int64_t silent_ms, double stable_since,
             const std::function<void(LookResult&)>& change = {}) {
    take(event::Tick{}, at);
    ASSERT_TRUE(state_.live.look_in_flight);
    LookResult look;
    look.look = state_.live.look;
    look.to_ms = kRolloutStart + at;
    look.stable = {
        .last_ms = kRolloutStart + at, .heard_ms = kRolloutStart + at, .other_version = {}};
    look.canary = {.last_ms = 0, .heard_ms = kRolloutStart + at - silent_ms, .other_version = {}};
    look.silent_since_ms = kRolloutStart + at - silent_ms;
    look.stable_since = stable_since;
    if (change) change(look);
    take(event::Looked{look}, at);
  }
};

TEST_F(Silence, IsCountedInRequestsThatWereDue) {
  heard(200'000, 190'000, 100); // at 5 % five were due
  EXPECT_EQ(state_.position.phase, Phase::progressing);
  heard(201'000, 190'000, 1'000);
  EXPECT_EQ(state_.position.phase, Phase::rolling_back);
  EXPECT_NE(
      state_.position.reason.find("The canary has reported no requests since 1970-01-01T00:16:51Z "
                                  "while stable does; by its weight of 5% about 53 requests "
                                  "were due to it"),
      std::string::npos)
      << state_.position.reason;
}

TEST_F(Silence, TheGraceIsNeverShorterThanTheExportInterval) {
  heard(200'000, 190'000, 1'000, [](LookResult& look) { look.export_interval_ms = 150'000; });
  EXPECT_EQ(state_.position.phase, Phase::progressing);
}

// Its points are older than the step, and it reports all the same.
TEST_F(Silence, OfACanaryWhoseClockIsBehindIsNone) {
  const auto old = [](LookResult& look) { look.canary.last_ms = kRolloutStart - 20'000; };
  heard(400'000, 0, 1'000, old);
  EXPECT_EQ(state_.position.phase, Phase::progressing);
  heard(800'000, 310'000, 0, old); // and now it does not
  EXPECT_EQ(state_.position.pause_cause, PauseCause::no_data);
}

TEST_F(Silence, OfACanaryThatReportsAsAnotherVersionIsNone) {
  const auto other = [](LookResult& look) {
    look.canary.other_version = "3";
    look.canary_other_requests = 50;
  };
  heard(200'000, 190'000, 1'000, other);
  EXPECT_EQ(state_.position.phase, Phase::paused);
  EXPECT_EQ(state_.position.pause_cause, PauseCause::no_data);
  EXPECT_NE(state_.position.reason.find("no requests as version 2"), std::string::npos);
  EXPECT_NE(state_.position.reason.find("it reports as version 3"), std::string::npos);
  const auto sequence = state_.sequence;
  heard(300'000, 290'000, 1'000, other);
  EXPECT_EQ(state_.sequence, sequence) << "told once";
}

TEST_F(Silence, NamesAStableThatWasPatched) {
  heard(400'000, 0, 0, [](LookResult& look) {
    std::swap(look.canary, look.stable);
    look.stable.heard_ms = kRolloutStart + 1'000;
    look.stable.other_version = "1.0.1";
    look.silent_since_ms = look.canary.heard_ms;
  });
  EXPECT_EQ(state_.position.pause_cause, PauseCause::no_data);
  EXPECT_NE(state_.position.reason.find("as version 1: it reports as version 1.0.1 now"),
            std::string::npos)
      << state_.position.reason;
}

TEST_F(Silence, OfOneInstanceIsToldOnceAndShown) {
  const auto one = [](LookResult& look) {
    look.silent_instances = "1 of 10 instances of the canary has reported nothing";
  };
  heard(10'000, 0, 0, one);
  EXPECT_EQ(state_.alarms.silent_instances, "1 of 10 instances of the canary has reported nothing");
  EXPECT_EQ(state_.position.phase, Phase::progressing);
  EXPECT_NE(make_status(state_, {}).reason.find("1 of 10 instances"), std::string::npos);
  const auto sequence = state_.sequence;
  heard(10'500, 0, 0, one);
  EXPECT_EQ(state_.sequence, sequence);
  heard(11'000, 0, 0);
  EXPECT_EQ(state_.alarms.silent_instances, "");
}

} // namespace
} // namespace coalmine::rollout
