// "Earliest verdict in about" beside what happens. Simulated with fixed seeds: the shares are exact
// for this code.
// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <algorithm>
#include <optional>
#include <vector>

#include "judge/judge.h"
#include "lab/simulation.h"

namespace coalmine::lab {
namespace {

using namespace judge;

// How long an equal release really took from the minute on, by how long it was said to take.
std::optional<double> taken_by_said(const TrafficModel& model, double asked_at,
                                    std::uint64_t seed) {
  auto options = sequential_defaults();
  options.plan = {{0.25, 1}};
  const auto judge = make_sequential_judge(options);
  SimulatedTraffic traffic(model, {}, seed);
  Evidence evidence;
  evidence.cells = traffic.baseline();
  evidence.step_needed_minutes = 1;
  evidence.step_min_requests = 100;
  std::optional<double> said;
  while (traffic.minute() < 600) {
    evidence.cells.push_back(traffic.next(0.25));
    evidence.step_minutes = traffic.minute();
    evidence.step_requests += evidence.cells.back().total.canary.requests;
    const auto out = judge->judge(evidence);
    evidence.cells.clear();
    if (out.decision == Decision::promote)
      return said ? std::optional((traffic.minute() - asked_at) / *said) : std::nullopt;
    if (out.decision != Decision::keep_watching) return std::nullopt;
    if (!said && traffic.minute() >= asked_at) {
      if (!out.minutes_left || !(*out.minutes_left > 0)) return std::nullopt;
      said = out.minutes_left;
    }
  }
  return std::nullopt;
}

TEST(EarliestVerdict, ComesAboutThen) {
  for (const double rps : {5.0, 20.0, 60.0}) {
    for (const double asked_at : {1.0, 3.0, 8.0}) {
      std::vector<double> ratios;
      for (std::uint64_t seed = 1; seed <= 60; ++seed) {
        TrafficModel model;
        model.rps = rps;
        model.stable_instances = 4;
        if (const auto ratio = taken_by_said(model, asked_at, seed)) ratios.push_back(*ratio);
      }
      if (ratios.size() < 20) continue; // most had their verdict by then
      std::ranges::sort(ratios);
      const auto at = [&](double share) {
        return ratios[static_cast<std::size_t>(share * static_cast<double>(ratios.size() - 1))];
      };
      // Evidence is a random walk: single releases take between a sixth of the time and several
      // times as long.
      EXPECT_GT(at(0.1), 0.15) << rps << " rps, asked after " << asked_at;
      EXPECT_GT(at(0.5), 0.6) << rps << " rps, asked after " << asked_at;
      EXPECT_LT(at(0.5), 1.6) << rps << " rps, asked after " << asked_at;
    }
  }
}

} // namespace
} // namespace coalmine::lab
