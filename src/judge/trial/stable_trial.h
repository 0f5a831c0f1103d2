// Stable is tried as its own canary before the canary is judged. Its newest past is cut in two.
// The first half is what is known of stable; in the second half its processes play the canary, one
// after the other, against the others. They run the same version, so whatever is found worse is
// not: it shows how strong false evidence is in this service, beyond what the dispersion of the
// first half explains. Values of one judge; one thread. Times in milliseconds, evidence in nats.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <deque>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "telemetry/cell.h"

namespace coalmine::judge {

// What the trial found.
struct StableTrial {
  std::size_t processes = 0;   // tried, each once
  double minutes = 0;          // that each was judged for
  std::size_t rolled_back = 0; // of the processes
  std::size_t asked = 0;       // others that a person would have been asked about
  // From now on phi is at least this times what the first half shows, so that false evidence is no
  // stronger than evidence_excess() allows. At least 1.
  double widen = 1;
  bool operator==(const StableTrial&) const = default;
};

// "Tried on stable itself: none of 19 instances would have been rolled back as a canary in 15 min."
std::string trial_sentence(const StableTrial& trial);

// At most so many are tried, fewer where cells are many and large.
inline constexpr std::size_t kMostTried = 20;

// The chance that a trial widens although nothing is wrong (evidence_excess): that of one of
// kMostTried processes being rolled back, at most 1/2. So, for an alpha up to 2.5 %, a process that
// is rolled back always widens, and would not be rolled back with phi that much larger.
double trial_chance(double alpha_rollback);

// What a judge says of a made-up release up to one of its cells.
struct TrialReading {
  double log_evidence = 0; // ln of the e-value of "worse than stable"; 0: no evidence
  bool rolled_back = false;
  bool asked = false; // not rolled back, and a person is asked
};
// Judges one release: a reading after each cell that is not baseline.
using JudgeRelease = std::function<std::vector<TrialReading>(std::span<const CountCell>)>;

// The cells of a trial.
struct TrialCells {
  std::vector<CountCell> cells;       // without routes, metrics and 4xx answers
  std::size_t first = 0;              // where the second half begins
  std::vector<std::string> processes; // of stable, to be tried
};

// Stable's newest cells, kept until the canary begins.
class TrialPast {
 public:
  void keep(const CountCell& cell);
  // Nothing: fewer than two processes were there in the whole second half, told apart and warm, or
  // the past is too short. What was kept is gone.
  std::optional<TrialCells> take();

 private:
  std::deque<CountCell> cells_;
};

StableTrial run_trial(const TrialCells& trial, double alpha_rollback, const JudgeRelease& judge);

} // namespace coalmine::judge
