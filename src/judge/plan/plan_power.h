// What the sequential judge can decide at some traffic in the steps of a plan, computed beforehand:
// its own processes are fed the counts that are to be expected, and the scatter of their evidence
// follows from that of the counts. No release is simulated (lab does that), so it is quick enough
// for every look. Pure; any thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "judge/plan/planned_step.h"
#include "judge/stats/linear_margin.h"

namespace coalmine::judge {

// A rate that promotion waits for: errors, or requests slower than a boundary of latency.
struct PlannedLine {
  std::string name;
  double rate = 0;        // stable's, 0 to 1
  bool automatic = false; // the margin is the default one of the plan at hand
  RateMargin margin;      // otherwise
};

struct PlanQuestion {
  std::vector<PlannedStep> steps; // before all of the traffic; weights rise
  double rps = 0;                 // of both tracks
  double phi = 1;                 // dispersion; 1: requests do not depend on each other
  // Counts on so many times fewer requests than are expected. Margins follow from what is expected.
  double caution = 1;
  PlannedLine errors;
  std::vector<PlannedLine> others;
  double alpha_rollback = 0.01;
  double alpha_promote = 0.05;
  double error_share = 0.4; // of alpha_rollback that is bet on errors of the whole service
  bool strict = false;
  // A gate that is not decided waits again, so often and so long (0: as long as its step).
  int max_extends = 2;
  double extend_minutes = 0;
  // The excess of the error rate that is to be found; never so small that it is within the margin.
  double wanted = 0.02;
};

// Chances are shares of releases, 0 to 1.
struct PlanPower {
  double minutes = 0;    // of all steps
  double found = 0;      // a release with `wanted` more errors is rolled back
  double shown = 0;      // an equal one passes every step within one and a half times its minutes
  double detectable = 1; // the smallest excess that is found in eight of ten; 1: none is
};
// The chances alone; detectable_of computes the rest, which takes fifty times as long.
PlanPower plan_power(const PlanQuestion& question);
double detectable_of(const PlanQuestion& question);

// The chance that a release with this much more errors is rolled back.
double chance_found(const PlanQuestion& question, double excess);
// The chance that this line lets an equal release pass every step in time.
double chance_shown(const PlanQuestion& question, const PlannedLine& line);

// What a margin allows, as a difference, in this plan.
double allowed_by(const PlanQuestion& question, const PlannedLine& line);

// Good enough to need no advice. The evidence of an equal release need only be sufficient at one
// look between the end of a step and half its time later; shown is that for the last of them, so
// it is a little too low.
inline constexpr double kFoundOften = 0.8;
inline constexpr double kShownOften = 0.9;
inline bool meets(const PlanPower& power) {
  return power.found >= kFoundOften && power.shown >= kShownOften;
}

} // namespace coalmine::judge
