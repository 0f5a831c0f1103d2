// Dispersion of the requests slower than a boundary, at boundaries all over the range of
// latencies: a pause makes the slowest percent come in clumps, and leaves the median alone. Values
// of one judge; one thread. Latencies in milliseconds.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <vector>

#include "judge/stats/dispersion.h"

namespace coalmine::judge {

class TailDispersion {
 public:
  // The durations of one process, or of all that is known of stable, in one cell.
  struct Member {
    std::uint32_t slot = 0; // as BlockDispersion::Member
    std::span<const double> counts;
  };
  // counts have one entry more than bounds. cell: as BlockDispersion::add.
  void add(const std::vector<double>& bounds, std::span<const Member> members, std::uint64_t cell);
  // At the nearest boundary that is watched; 1: none is.
  double phi(double boundary_ms) const;
  // From now on phi is at least factor times what it was there.
  void keep_above(const TailDispersion& there, double factor);
  double lasting_variation(double boundary_ms) const; // see BlockDispersion; 0: none is watched
  void forget_members();

 private:
  void watch(const std::vector<double>& bounds);
  const BlockDispersion* nearest(double boundary_ms) const; // null: none is watched

  std::vector<double> bounds_; // of the newest cell
  std::vector<std::size_t> watched_;
  std::map<double, BlockDispersion> at_;
  std::map<double, double> least_; // phi by boundary
};

// What tempers the tails of one cell.
struct TailPhi {
  const TailDispersion* of = nullptr; // null: nothing is known
  double load = 1;                    // see ArmPhi::of
  ArmPhi at(double boundary_ms) const {
    return ArmPhi::of(of != nullptr ? of->phi(boundary_ms) : 1, load);
  }
};

} // namespace coalmine::judge
