// How often a configuration rolls back releases that are made up of stable's own traffic. Pure.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "lab/share_interval.h"
#include "lab/silences.h"
#include "rollout/spec.h"
#include "telemetry/cell.h"

namespace coalmine::lab {

struct SplitRate {
  double injected = 0; // share of the canary's good requests that fail on top
  int runs = 0;
  int rolled_back = 0;
  int promoted = 0;
  double median_minutes = 0;    // of the rollbacks
  ShareInterval interval{};     // of the share that is rolled back
  double minutes_with_data = 0; // that the releases were drawn from
};

enum class ProcessesKnown { yes, one_process, too_little_data };

struct ProcessRate {
  ProcessesKnown known = ProcessesKnown::too_little_data;
  SplitRate rate{};
  std::size_t processes = 0; // of stable, that can be drawn
  std::size_t canary = 1;    // of them, in each release
  // The interval is that of so many releases that do not depend on each other: at most as many as
  // fit into the data without using any of a process's twice, and fewer where processes differ, for
  // those of one process then end alike.
  double independent = 0;
};

struct SplitRates {
  std::vector<SplitRate> by_request; // equal tracks first; empty: too little data
  ProcessRate by_process{};
};

struct RateQuestion {
  const rollout::RolloutSpec& spec;    // without metrics of the user's own: a split has none
  const std::vector<CountCell>& cells; // of stable
  Silences silences{};                 // in them
  std::size_t canary_processes = 1;
  std::vector<double> injected{}; // beside 0
  int runs = 0;
  std::uint64_t seed = 1;
};

SplitRates measure_rates(const RateQuestion& question);

} // namespace coalmine::lab
