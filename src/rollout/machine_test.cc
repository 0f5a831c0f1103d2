// The pure machine, event by event: what no scenario can time as finely.
// SPDX-License-Identifier: Apache-2.0
#include "rollout/machine.h"

#include <gtest/gtest.h>

#include "rollout/validate.h"

namespace coalmine::rollout {
namespace {

constexpr std::int64_t kStart = 1'000'000;
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
    state_ = step(state_, event, {.wall_ms = kStart + at, .steady_ms = at}).state;
  }

  void look(std::int64_t at, std::int64_t canary_at, std::int64_t stable_at) {
    take(event::Tick{}, at); // asks for it
    ASSERT_TRUE(state_.live.look_in_flight);
    LookResult look;
    look.look = state_.live.look;
    look.to_ms = kStart + at;
    look.canary_last_ms = kStart + canary_at;
    look.stable_last_ms = kStart + stable_at;
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

} // namespace
} // namespace coalmine::rollout
