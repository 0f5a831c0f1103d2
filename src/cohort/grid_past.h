// What a grid must know to go on behind cells that were closed before: by an earlier process, and
// kept. Plain values.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "telemetry/cell.h"

namespace coalmine::cohort {

// What is known of the reports of one process, all its sources together.
struct InstanceHeard {
  std::string name;
  std::int64_t newest_ms = 0;              // its newest sample; corrected by clock_offset_ms
  std::optional<std::int64_t> interval_ms; // between two exports; none: not known yet
  std::int64_t clock_offset_ms = 0;        // CountGrid::clock_offset_ms
  std::int64_t first_ms = 0;               // its first sample
  std::int64_t born_ms = 0;                // begin of the process; 0: unknown, long ago
  // The least age of its newest sample when it was read, by its own clock, and how often it was
  // read: what its offset is known from.
  std::optional<std::int64_t> least_age_ms;
  int reads = 0;
  std::int64_t start_ms = 0; // the earliest start time of its series; 0: unknown
  bool operator==(const InstanceHeard&) const = default;
};

// The requests of one route in all closed cells so far, and whether it has left the pool.
struct RouteSoFar {
  std::string route;
  double requests = 0;
  bool own_row = false;
  bool operator==(const RouteSoFar&) const = default;
};

struct GridPast {
  // The newest closed cells, in order; the first begins at GridOptions::origin_ms. What they have
  // counted is not counted again.
  std::vector<CountCell> cells;
  std::vector<RouteSoFar> routes;
  // By track, as they were heard when the newest of these cells was closed. None at all: not known.
  std::array<std::vector<InstanceHeard>, kBothTracks.size()> instances;
  // By track: CountGrid::first_births.
  std::array<std::vector<std::int64_t>, kBothTracks.size()> first_births{};
};

} // namespace coalmine::cohort
