// The whole control plane on a manual clock, killed at every journal write and every router call:
// the end is the same.
// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>

#include "base/check.h"
#include "base/log.h"
#include "rollout/control/story_for_test.h"

namespace coalmine::rollout::testing {
namespace {

class SimulationTest : public ::testing::Test {
 protected:
  void SetUp() override { set_log_level(LogLevel::error); }
};

TEST_F(SimulationTest, EveryCrashPointLeadsToTheSameEnd) {
  for (const auto& story : stories()) {
    Disk calm;
    const auto undisturbed =
        play(story, -1, 1, [&] { return std::make_unique<MemoryJournal>(calm); });
    expect_end(story, undisturbed, "undisturbed");
    ASSERT_GT(undisturbed.crash_points, 10) << story.name;
    for (int point = 0; point < undisturbed.crash_points; ++point) {
      Disk disk;
      const auto end = play(story, point, 1, [&] { return std::make_unique<MemoryJournal>(disk); });
      expect_end(story, end,
                 fmt::format("killed at point {} of {}", point, undisturbed.crash_points));
      EXPECT_EQ(end.crashes, 1);
      if (::testing::Test::HasFailure()) return;
    }
  }
}

TEST_F(SimulationTest, EveryCrashPointLeadsToTheSameEndOnTheRealJournal) {
  const auto root =
      std::filesystem::temp_directory_path() / fmt::format("coalmine-sim-{}", ::getpid());
  const auto all = stories();
  for (const auto& story : {all[2]}) {
    int points = 1;
    for (int point = -1; point < points; ++point) {
      std::filesystem::remove_all(root);
      const auto end = play(story, point, 1, [&] {
        auto journal =
            open_journal({.directory = root.string(), .reserve_bytes = 0, .sync = false});
        CHECK(journal.has_value());
        return std::move(*journal);
      });
      expect_end(story, end, fmt::format("killed at point {}", point));
      if (point < 0) points = end.crash_points;
      if (::testing::Test::HasFailure()) break;
    }
  }
  std::filesystem::remove_all(root);
}

TEST_F(SimulationTest, FaultsAndCrashesNeverLeaveABadCanaryInTraffic) {
  const auto all = stories();
  for (std::uint64_t seed = 1; seed <= 120; ++seed) {
    std::mt19937_64 random(seed);
    const auto pick = [&](std::int64_t low, std::int64_t high) {
      return std::uniform_int_distribution<std::int64_t>(low, high)(random);
    };
    const auto& story =
        all[static_cast<std::size_t>(pick(0, static_cast<std::int64_t>(all.size()) - 1))];
    const auto router_from = pick(0, 40'000), router_for = pick(0, 30'000);
    const auto store_from = pick(0, 40'000), store_for = pick(0, 30'000);
    const auto lost_from = pick(0, 40'000), lost_for = pick(0, 10'000);
    const auto disk_from = pick(0, 40'000), disk_for = pick(0, 30'000);
    const auto quiet_from = pick(0, 40'000), quiet_for = pick(0, 20'000);
    Disk disk;
    Faults faults;
    faults.longest_ms = 600'000;
    faults.at = [&](World& w, std::int64_t t) {
      const auto during = [&](std::int64_t from, std::int64_t length) {
        return t >= from && t < from + length;
      };
      w.router_down = during(router_from, router_for);
      w.store_down = during(store_from, store_for);
      w.lose_answers = during(lost_from, lost_for);
      disk.full = during(disk_from, disk_for);
      if (during(quiet_from, quiet_for))
        w.silent_from = std::min(w.silent_from, w.now());
      else
        w.silent_from = INT64_MAX;
    };
    const auto end = play(
        story, static_cast<int>(pick(-1, 60)), seed,
        [&] { return std::make_unique<MemoryJournal>(disk); }, faults);
    expect_end(story, end, fmt::format("seed {}", seed));
    if (::testing::Test::HasFailure()) return;
  }
}

TEST_F(SimulationTest, AFullDiskDoesNotDelayARollback) {
  ManualClock clock;
  World world(clock);
  Disk disk;
  Simulation simulation(clock, world, [&] { return std::make_unique<MemoryJournal>(disk); });
  simulation.start(quick_spec());
  for (int i = 0; i < 60; ++i) simulation.beat();
  ASSERT_GT(world.weight.last(), 0);
  disk.full = true;
  world.canary_errors.set(clock.wall_ms(), 0.9);
  for (int i = 0; i < 40; ++i) simulation.beat();
  EXPECT_EQ(simulation.state()->position.phase, Phase::rolled_back);
  EXPECT_EQ(world.weight.last(), 0);
  EXPECT_FALSE(simulation.ended()) << "the record is still to be written";
  disk.full = false;
  simulation.beat();
  EXPECT_TRUE(simulation.ended());
  EXPECT_EQ(fold_difference(simulation.journal()), "");
}

TEST_F(SimulationTest, NothingGoesUpBeforeTheJournalHasTheIntent) {
  ManualClock clock;
  World world(clock);
  Disk disk;
  disk.full = true;
  Simulation simulation(clock, world, [&] { return std::make_unique<MemoryJournal>(disk); });
  simulation.start(quick_spec());
  for (int i = 0; i < 100; ++i) simulation.beat();
  EXPECT_EQ(world.sets, 0);
  disk.full = false;
  for (int i = 0; i < 4; ++i) simulation.beat();
  EXPECT_EQ(world.sets, 1);
  EXPECT_DOUBLE_EQ(world.weight.last(), 0.05);
}

// A rollback waits for the router as long as it takes, and ends without it when it is given up:
// then the router is never asked again, though it come back.
TEST_F(SimulationTest, AnAbandonedRolloutNeverMovesTrafficAgain) {
  for (const bool restarted : {false, true}) {
    ManualClock clock;
    World world(clock);
    Disk disk;
    Simulation simulation(clock, world, [&] { return std::make_unique<MemoryJournal>(disk); });
    simulation.start(quick_spec());
    for (int i = 0; i < 10; ++i) simulation.beat();
    ASSERT_DOUBLE_EQ(world.weight.last(), 0.05);
    world.router_gone = true;
    simulation.command(Command::abort);
    for (int i = 0; i < 200; ++i) simulation.beat();
    ASSERT_EQ(simulation.state()->position.phase, Phase::rolling_back);
    if (restarted) simulation.restart();
    EXPECT_FALSE(simulation.try_command(Command::abandon, "")) << "it needs a reason";
    simulation.command(Command::abandon, "the machine burnt down");
    simulation.beat();
    EXPECT_EQ(simulation.state()->position.phase, Phase::abandoned);
    EXPECT_FALSE(simulation.state()->weight.applied);
    EXPECT_NE(simulation.state()->position.reason.find("where the traffic goes is unknown"),
              std::string::npos);
    const auto sets = world.sets;
    world.router_gone = false;
    if (restarted) simulation.restart();
    for (int i = 0; i < 100; ++i) simulation.beat();
    EXPECT_EQ(world.sets, sets);
    EXPECT_DOUBLE_EQ(world.weight.last(), 0.05);
    EXPECT_TRUE(simulation.ended());
    EXPECT_EQ(fold_difference(simulation.journal()), "");
  }
}

// After the end the router may be gone, and the process may die at any point of the way back.
TEST_F(SimulationTest, APromotedReleaseThatIsTakenBackEndsAtZeroWhereverItIsKilled) {
  int points = 1;
  for (int point = -1; point < points; ++point) {
    ManualClock clock;
    World world(clock);
    Disk disk;
    Simulation simulation(clock, world, [&] { return std::make_unique<MemoryJournal>(disk); });
    simulation.start(quick_spec());
    for (int i = 0; i < 600 && !simulation.ended(); ++i) simulation.beat();
    ASSERT_EQ(simulation.state()->position.phase, Phase::promoted);
    ASSERT_EQ(world.weight.last(), 1);
    simulation.crash_points = 0;
    simulation.crash_at = point;
    simulation.command(Command::undo);
    const auto begun = clock.wall_ms();
    for (int i = 0; i < 100; ++i) {
      world.router_down = clock.wall_ms() - begun < 5'000;
      simulation.beat();
    }
    ASSERT_TRUE(simulation.ended()) << "killed at point " << point;
    EXPECT_EQ(simulation.state()->position.phase, Phase::rolled_back) << point;
    EXPECT_EQ(world.weight.last(), 0) << point;
    EXPECT_EQ(simulation.state()->plan.steps.back().outcome, "passed") << "it was, before";
    EXPECT_EQ(fold_difference(simulation.journal()), "") << point;
    EXPECT_EQ(simulation.crashes, point < 0 ? 0 : 1);
    if (point < 0) points = simulation.crash_points;
    ASSERT_GT(points, 3);
  }
}

// Nobody looked since, and no telemetry of the canary says anything: a person carries it out.
TEST_F(SimulationTest, AnOldIntentOfTheFirstStepWaitsForAPerson) {
  ManualClock clock;
  World world(clock);
  Disk disk;
  Simulation simulation(clock, world, [&] { return std::make_unique<MemoryJournal>(disk); });
  world.sets_fail = true;
  simulation.start(quick_spec());
  for (int i = 0; i < 4; ++i) simulation.beat();
  ASSERT_FALSE(simulation.state()->weight.is_confirmed);
  clock.advance_ms(10 * 60'000);
  world.sets_fail = false;
  simulation.restart();
  for (int i = 0; i < 40; ++i) simulation.beat();
  EXPECT_EQ(simulation.state()->position.pause_cause, PauseCause::old_intent);
  EXPECT_EQ(world.weight.last(), 0);
  EXPECT_EQ(world.sets, 0);
  simulation.command(Command::resume);
  for (int i = 0; i < 4; ++i) simulation.beat();
  EXPECT_DOUBLE_EQ(world.weight.last(), 0.05);
  EXPECT_EQ(fold_difference(simulation.journal()), "");
}

TEST_F(SimulationTest, AnOldIntentIsLookedAtAgain) {
  ManualClock clock;
  World world(clock);
  Disk disk;
  Simulation simulation(clock, world, [&] { return std::make_unique<MemoryJournal>(disk); });
  simulation.start(quick_spec());
  for (int i = 0; i < 100 && simulation.state()->position.step == 0; ++i) {
    world.sets_fail = simulation.state()->weight.is_confirmed;
    simulation.beat();
  }
  ASSERT_EQ(simulation.state()->position.step, 1u);
  ASSERT_DOUBLE_EQ(world.weight.last(), 0.05);
  clock.advance_ms(10 * 60'000);
  world.sets_fail = false;
  world.canary_errors.set(clock.wall_ms() - 9 * 60'000, 0.9); // it went bad while nobody looked
  simulation.restart();
  EXPECT_EQ(simulation.state()->position.step, 0u);
  for (int i = 0; i < 40; ++i) simulation.beat();
  EXPECT_EQ(simulation.state()->position.phase, Phase::rolled_back);
  EXPECT_EQ(world.weight.last(), 0);
}

// The store forgets after three minutes, the steps last for twelve, and the process dies again and
// again: what is decided, and why, is as if it had not.
TEST_F(SimulationTest, ARolloutThatOutlivesItsTelemetryIsDecidedAlike) {
  for (const double canary_errors : {0.004, 0.012}) {
    std::string calm;
    for (const bool dies : {false, true}) {
      ManualClock clock;
      World world(clock);
      clock.advance_ms(3'600'000); // the service has a past
      world.rps = 100;
      Disk disk;
      Simulation simulation(clock, world, [&] { return std::make_unique<MemoryJournal>(disk); });
      auto spec = quick_spec();
      spec.judge = "sequential";
      spec.signals.clear();
      spec.steps = {{.weight = 0.2, .analyze_ms = 720'000}, {.weight = 1.00, .analyze_ms = 0}};
      world.canary_errors.set(clock.wall_ms(), canary_errors);
      const auto begin = clock.wall_ms();
      simulation.start(spec);
      bool forgets = false;
      for (int i = 0; i < 2'400 && !simulation.ended(); ++i) {
        // The first look reads stable's past.
        if (!forgets && clock.wall_ms() - begin > 20'000) {
          world.retention_ms = 180'000;
          forgets = true;
        }
        if (dies && i > 100 && i % 97 == 0) simulation.restart();
        simulation.beat();
      }
      ASSERT_TRUE(simulation.ended());
      const auto* state = simulation.state();
      const auto end = fmt::format("{} after {} s", to_string(state->position.phase),
                                   (state->end.ended_ms - begin) / 1000);
      if (!dies)
        calm = fmt::format("{}: {}", to_string(state->position.phase), state->position.reason);
      if (dies) {
        EXPECT_EQ(fmt::format("{}: {}", to_string(state->position.phase), state->position.reason),
                  calm)
            << end;
      }
      EXPECT_FALSE(disk.cells.rollouts[1].rows.empty());
      EXPECT_EQ(fold_difference(simulation.journal()), "");
    }
  }
}

} // namespace
} // namespace coalmine::rollout::testing
