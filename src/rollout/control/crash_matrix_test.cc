// Routers and sources that hang, lie, vanish and come back, while the process is killed at every
// journal write and every router call: every rollback ends, and every end is the one it would have
// been.
// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/log.h"
#include "rollout/control/story_for_test.h"

namespace coalmine::rollout::testing {
namespace {

// Something is unkind for a while.
struct Fault {
  const char* name;
  std::function<void(World&, bool)> set; // before every beat: whether it is so now
  std::function<void(World&)> begin{};
  std::function<void(World&)> end{};
};

std::vector<Fault> router_faults() {
  const auto gone = [](World& w, bool now) { w.router_down = now; };
  return {
      {"the router hangs, what was asked is lost",
       [](World& w, bool now) { w.router_hangs = w.panic_hangs = now; }},
      {"the router hangs and does later what was asked",
       [](World& w, bool now) { w.router_hangs = w.panic_hangs = w.hung_calls_work = now; }},
      {"a set hangs and is carried out after a panic went through",
       [](World& w, bool now) { w.router_hangs = w.hung_calls_work = now; }},
      {"the router says yes and does nothing", [](World& w, bool now) { w.router_idles = now; }},
      {"the router makes half of it", [](World& w, bool now) { w.router_makes = now ? 0.5 : 1; }},
      {"the router makes double of it", [](World& w, bool now) { w.router_makes = now ? 2 : 1; }},
      {"the router is gone and comes back", gone},
      {"the router comes back with nothing for the canary",
       gone,
       {},
       [](World& w) { w.restart_router(0); }},
      {"the router comes back with more for the canary",
       gone,
       {},
       [](World& w) { w.restart_router(0.8); }},
      {"answers of the router are lost", [](World& w, bool now) { w.lose_answers = now; }},
  };
}

std::vector<Fault> source_faults() {
  return {
      {"the source hangs", [](World& w, bool now) { w.store_hangs = now; }},
      {"the source answers that there is nothing", [](World& w, bool now) { w.store_empty = now; }},
      {"the source is gone and comes back", [](World& w, bool now) { w.store_down = now; }},
      {"what the source has is late",
       [](World& w, bool now) {
         w.silent_from = now ? std::min(w.silent_from, w.now()) : INT64_MAX;
       }},
  };
}

// Somebody who lets a rollout go on when it has been paused for a while, longer when they did it.
class Person {
 public:
  void look(const World& world, Simulation& simulation) {
    const auto* state = simulation.state();
    if (state == nullptr || state->position.phase != Phase::paused) {
      since_ = world.now();
      return;
    }
    const bool by_hand = state->position.pause_cause == PauseCause::by_hand;
    if (world.now() - since_ >= (by_hand ? 60'000 : 5'000)) {
      since_ = world.now();
      simulation.command(Command::resume, "looked at it");
    }
  }

 private:
  std::int64_t since_ = 0;
};

// There is one thread; sanitizers take many times as long.
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
constexpr int kEvery = 12;
#else
constexpr int kEvery = 1;
#endif

class CrashMatrixTest : public ::testing::Test {
 protected:
  static constexpr std::int64_t kFaultMs = 20'000;

  void SetUp() override { set_log_level(LogLevel::error); }

  // fault_from: when the fault begins, after the start. crash_at below 0: never.
  static End play_with(const Story& story, const Fault& fault, std::int64_t fault_from,
                       int crash_at) {
    Disk disk;
    Person person;
    bool was = false;
    auto unkind = story;
    unkind.at = [&](World& world, Simulation& simulation, std::int64_t t) {
      const bool now = t >= fault_from && t < fault_from + kFaultMs;
      if (now && !was && fault.begin) fault.begin(world);
      fault.set(world, now);
      if (!now && was && fault.end) fault.end(world);
      was = now;
      story.at(world, simulation, t);
      person.look(world, simulation);
    };
    return play(unkind, crash_at, 1, [&] { return std::make_unique<MemoryJournal>(disk); },
                {.at = {}, .longest_ms = 900'000});
  }
  // The fault begins at another moment for every point, so that all meet. Of every so many points
  // one is tried, with every number another.
  static void expect_the_same_ends(const Story& story, const Fault& fault, int number, int every) {
    const auto points = play_with(story, fault, 0, -1).crash_points;
    ASSERT_GT(points, 10);
    for (int point = -1 + number % every; point < points; point += every) {
      const std::int64_t from = 500 * ((point + 1) * 7 % 80);
      expect_end(story, play_with(story, fault, from, point),
                 fmt::format("{} from {} ms on, killed at point {}", fault.name, from, point));
      if (::testing::Test::HasFailure()) return;
    }
  }
};

// Two stories at every point, the others at some: they differ little in what is under way.
TEST_F(CrashMatrixTest, RoutersThatHangLieAndVanish) {
  int number = 0;
  for (const auto& story : stories()) {
    if (story.weight < 0) continue; // given up by hand: SimulationTest
    const bool central = story.end == Phase::aborted || story.name == kBadAtHalf;
    for (const auto& fault : router_faults()) {
      expect_the_same_ends(story, fault, ++number, central ? kEvery : 8 * kEvery);
      if (::testing::Test::HasFailure()) return;
    }
  }
}

TEST_F(CrashMatrixTest, SourcesThatHangLieAndVanish) {
  int number = 0;
  for (const auto& story : stories()) {
    for (const auto& fault : source_faults()) {
      expect_the_same_ends(story, fault, ++number, story.name == kBadAtHalf ? kEvery : 8 * kEvery);
      if (::testing::Test::HasFailure()) return;
    }
  }
}

} // namespace
} // namespace coalmine::rollout::testing
