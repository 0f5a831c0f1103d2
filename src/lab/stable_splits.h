// Made-up releases: a part of stable's recorded traffic plays the canary. Both sides then run the
// same version, so every rollback is false. Pure.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <random>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "lab/silences.h"
#include "rollout/spec.h"
#include "telemetry/cell.h"

namespace coalmine::lab {

// Cells first to last - 1, in which telemetry came without a gap.
struct Stretch {
  std::size_t first = 0;
  std::size_t last = 0;
};

// Where a release can be made up. The canary begins with the cell `first`; what is before it, from
// `past` on, is stable's past. The plan takes at least until `needed`; data end at `last`.
struct Place {
  std::size_t past = 0;
  std::size_t first = 0;
  std::size_t needed = 0;
  std::size_t last = 0;
};

// A process of stable, and the times in which its counts are told apart from the others'.
struct StableProcess {
  std::string name;
  std::vector<Stretch> stretches{};
};

// A silence of this length is a gap. No step of the plan can be silent from begin to end without
// one.
std::int64_t gap_ms(const rollout::RolloutSpec& spec);

// Where stable has requests and was heard. Cells follow each other in time.
std::vector<Stretch> stretches_of_stable(const std::vector<CountCell>& cells, std::int64_t gap,
                                         const Silences& silences = {});
// A process that warms up is not told apart, nor is the only process of a cell.
std::vector<StableProcess> processes_of_stable(const std::vector<CountCell>& cells,
                                               std::int64_t gap, const Silences& silences = {});

// All places within these stretches.
std::vector<Place> places_in(const rollout::RolloutSpec& spec, const std::vector<CountCell>& cells,
                             const std::vector<Stretch>& stretches);

// How many processes the canary of a past release had: the median of its cells. 0: none was seen.
std::size_t canary_processes(const std::vector<CountCell>& release);

// Each request of stable goes to the canary at random, in shares that follow the steps' times, from
// cell `first` on. more_errors: share of the canary's good requests that fail on top (0: two equal
// tracks). What pods do to their requests is on both sides alike.
std::vector<CountCell> split_by_request(const rollout::RolloutSpec& spec,
                                        std::span<const CountCell> stable, std::size_t first,
                                        double more_errors, std::mt19937_64& random);

// These processes of stable are the canary, with the share of the traffic that they have: the
// shares of the steps cannot be tried. Before the cell `first` they do not exist, for a canary's
// process is new. Requests, errors (also by route) and durations are the processes' own. Cells do
// not have a process's 4xx answers, nor its durations by route: it gets them by its share of the
// requests. So every line of the judge has data, and these lines never differ.
std::vector<CountCell> split_by_process(const rollout::RolloutSpec& spec,
                                        std::span<const CountCell> stable, std::size_t first,
                                        const std::set<std::string>& canary);

} // namespace coalmine::lab
