// Steps that decide more at little traffic: proposed by what can be computed, proven by simulated
// releases.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "judge/plan/plan_power.h"
#include "lab/simulation.h"
#include "rollout/spec.h"

namespace coalmine::lab {

// Releases of one spec at some traffic, with whatever steps. Deterministic; on as many threads as
// there are cores.
class ReleaseSimulator {
 public:
  // spec: of the sequential judge. error_rate: stable's, 0 to 1.
  ReleaseSimulator(const rollout::RolloutSpec& spec, double rps, double error_rate,
                   std::size_t runs);

  // added: to the canary's error rate.
  SimulationSummary run(const std::vector<rollout::StepSpec>& steps, double added) const;
  // Signals that no release is simulated of.
  std::size_t left_out() const { return left_out_; }
  const rollout::RolloutSpec& spec() const { return spec_; }

 private:
  rollout::RolloutSpec spec_;
  std::size_t left_out_ = 0;
  TrafficModel model_;
  std::size_t runs_;
};

// Of 100 simulated releases 95 must be promoted on time, and 80 with `wanted` more errors found.
struct SimulatedPlan {
  SimulationSummary equal;
  SimulationSummary worse; // by wanted
};
bool decides_enough(const SimulatedPlan& plan);

// What to write instead, and what both plans decide; then what is to be said of latency and of
// routes. now: of the spec's own steps, which do not decide enough. Lines that end with a line
// break.
std::string advice_text(const ReleaseSimulator& simulator, const judge::PlanQuestion& question,
                        const SimulatedPlan& now);

std::string of_hundred(double share); // "79 of 100"

} // namespace coalmine::lab
