// Stories of a rollout in a World, played to their end with a crash and with faults.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "rollout/control/world_for_test.h"

namespace coalmine::rollout::testing {

inline RolloutSpec quick_spec() {
  auto spec = default_spec("checkout-service");
  spec.steps = {{.weight = 0.05, .analyze_ms = 10'000},
                {.weight = 0.25, .analyze_ms = 10'000},
                {.weight = 0.50, .analyze_ms = 15'000},
                {.weight = 1.00, .analyze_ms = 0}};
  spec.look_interval_ms = 5'000;
  spec.router = route::HaproxyOptions{}; // one that remembers its weight
  spec.no_data_grace_ms = 120'000;
  spec.notify = {{.kind = notify::Target::Kind::webhook,
                  .url = "http://127.0.0.1:1/hook",
                  .secret = "s",
                  .events = {}}};
  return spec;
}

inline constexpr std::string_view kBadAtHalf = "bad at half the traffic";

// What happens around the rollout, called before every beat with the time since the start.
struct Story {
  std::string_view name;
  Phase end;
  double weight; // in the router, at the end; below 0: whatever it is
  std::function<void(World&, Simulation&, std::int64_t)> at;
};

// True once, at that time or (when the process was down) after it. number: in the order of the
// story.
inline bool once(World& world, int number, std::int64_t t, std::int64_t when) {
  if (world.told != number || t < when) return false;
  ++world.told;
  return true;
}

inline std::vector<Story> stories() {
  return {
      {"a good release", Phase::promoted, 1, [](World&, Simulation&, std::int64_t) {}},
      {"bad from the start", Phase::rolled_back, 0,
       [](World& w, Simulation&, std::int64_t t) {
         if (t == 0) w.canary_errors.set(w.now(), 0.5);
       }},
      {kBadAtHalf, Phase::rolled_back, 0,
       [](World& w, Simulation&, std::int64_t) {
         if (w.weight.last() >= 0.5 && w.canary_errors.last() < 0.1)
           w.canary_errors.set(w.now(), 0.5);
       }},
      {"slow at half the traffic", Phase::rolled_back, 0,
       [](World& w, Simulation&, std::int64_t) {
         if (w.weight.last() >= 0.5 && w.canary_slow.last() < 0.1) w.canary_slow.set(w.now(), 0.3);
       }},
      {"aborted in the second step", Phase::aborted, 0,
       [](World& w, Simulation& s, std::int64_t t) {
         if (once(w, 0, t, 16'000)) s.command(Command::abort);
       }},
      {"paused, resumed, pushed through", Phase::promoted, 1,
       [](World& w, Simulation& s, std::int64_t t) {
         if (once(w, 0, t, 3'000)) s.command(Command::pause);
         if (once(w, 1, t, 9'000)) s.command(Command::resume);
         if (once(w, 2, t, 15'000)) s.command(Command::promote);
       }},
      {"bad while paused", Phase::rolled_back, 0,
       [](World& w, Simulation& s, std::int64_t t) {
         if (once(w, 0, t, 13'000)) s.command(Command::pause);
         if (once(w, 1, t, 17'000)) w.canary_errors.set(w.now(), 0.6);
       }},
      {"bad while stable is down", Phase::rolled_back, 0,
       [](World& w, Simulation&, std::int64_t t) {
         w.stable_down = t >= 11'000 && t < 18'000;
         if (once(w, 0, t, 12'000)) w.canary_errors.set(w.now(), 0.6);
       }},
      {"the router is gone, and given up", Phase::abandoned, -1,
       [](World& w, Simulation& s, std::int64_t t) {
         if (t >= 5'000) w.router_gone = true;
         if (once(w, 0, t, 9'000)) s.command(Command::abandon);
       }},
  };
}

struct End {
  Phase phase = Phase::progressing;
  double weight = 0;
  int crash_points = 0;
  int crashes = 0;
  std::string fold;
  std::size_t notices = 0;
  std::string log;
};

struct Faults {
  std::function<void(World&, std::int64_t)> at;
  std::int64_t longest_ms = 300'000;
};

inline End play(const Story& story, int crash_at, std::uint64_t seed,
                const Simulation::OpenJournal& open, const Faults& faults = {}) {
  ManualClock clock;
  World world(clock);
  Simulation simulation(clock, world, open, seed);
  simulation.crash_at = crash_at;
  const auto begin = clock.wall_ms();
  simulation.start(quick_spec());
  // Killed before anything was on disk: nothing began, and whoever asked asks again.
  while (clock.wall_ms() - begin < faults.longest_ms && !simulation.ended()) {
    if (simulation.state() == nullptr) simulation.start(quick_spec());
    const auto t = clock.wall_ms() - begin;
    if (faults.at) faults.at(world, t);
    story.at(world, simulation, t);
    simulation.beat();
  }
  End end;
  if (const auto* state = simulation.state()) end.phase = state->position.phase;
  end.weight = world.weight.last();
  end.crash_points = simulation.crash_points;
  end.crashes = simulation.crashes;
  end.fold = fold_difference(simulation.journal());
  if (const auto waiting = simulation.journal().undelivered()) {
    for (const auto& entry : *waiting) {
      end.notices += entry.body.find(fmt::format("\"event\":\"{}\"", to_string(end.phase))) !=
                             std::string::npos
                         ? 1u
                         : 0u;
    }
  }
  if (simulation.state() != nullptr) {
    for (const auto& line : simulation.log())
      end.log += fmt::format("{} {} {}\n", line.time_ms - begin, line.kind, line.text);
  }
  return end;
}

inline void expect_end(const Story& story, const End& end, const std::string& how) {
  EXPECT_EQ(to_string(end.phase), to_string(story.end)) << story.name << ", " << how << "\n"
                                                        << end.log;
  if (story.weight >= 0) {
    EXPECT_EQ(end.weight, story.weight) << story.name << ", " << how << "\n" << end.log;
  }
  EXPECT_EQ(end.notices, 1u) << story.name << ", " << how << "\n" << end.log;
  EXPECT_EQ(end.fold, "") << story.name << ", " << how;
}

} // namespace coalmine::rollout::testing
