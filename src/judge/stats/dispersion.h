// How much more errors vary than independent requests would: the phi that tempers evidence. Pure
// value; any thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>

namespace coalmine::judge {

// Bad events and requests of one instance (or one stretch of time) in a group whose members should
// have the same rate.
struct Part {
  double bad = 0;
  double requests = 0;
};

// Pearson's statistic over groups of stable's past: the instances of one cell, or two neighbouring
// cells of one instance. Comparing only inside a group leaves out what moves all of it (time of
// day, incidents), which does no harm to the judge.
class Dispersion {
 public:
  void add_group(std::span<const Part> parts);
  double degrees() const { return degrees_; }
  double estimate() const; // Pearson / degrees; 1 without data
  // max(1, upper 90 % bound); 1 below kMinDegrees, for nothing is known then.
  double phi() const;

 private:
  double pearson_ = 0;
  double degrees_ = 0;
};

inline constexpr double kMinDispersionDegrees = 20;
// Beyond this, errors are too correlated for a guarantee by requests.
inline constexpr double kMaxPhi = 10;

} // namespace coalmine::judge
