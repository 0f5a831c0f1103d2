// Counts of durations whose buckets may differ, brought to boundaries that all of them have.
//
// Explicit bounds are compared at their intersection. Exponential histograms are compared at
// judged_bounds_ms of the coarsest scale among them: every one of these is a bound of every
// exponential histogram that is at least as fine. So a boundary means the same on both tracks, and
// no count is guessed. Where one is exponential and one is not, the explicit bounds are taken. An
// exponential bucket that lies across one of them is counted in the canary's favour (as faster on
// the canary, as slower on stable), which is wrong by one bucket's width at most: 2.2 % of the
// duration at scale 5, 9 % at scale 3. Coarser buckets are not compared with bounds inside them.
//
// Pure; any thread. No errors.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "telemetry/cell.h"
#include "telemetry/exponential.h"

namespace coalmine::cohort {

bool same_bounds(const BucketBounds& a, const BucketBounds& b);
// The bounds that both have; null when there are none.
BucketBounds common_bounds(const BucketBounds& a, const BucketBounds& b);
// Adds counts over the bounds `from` to counts over the bounds `to`, which are a subset.
void add_rebinned(const BucketBounds& from, const std::vector<double>& counts,
                  const BucketBounds& to, std::vector<double>& out);

// The boundaries at which exponential durations of this scale (at most kDurationScale) are judged.
// They depend on nothing but the scale, so that what is counted in a cell cannot choose where it is
// counted. At scale 5: 465 of them, 2.2 % apart from 2 ms to 4 s, 9 % apart beyond.
const BucketBounds& judged_bounds_ms(int scale);

// The buckets of an exponential histogram of durations in seconds: counts[0] is the zero bucket,
// counts[i + 1] the bucket offset + i.
struct ExponentialShape {
  int scale = 0;
  std::int32_t offset = 0;
};

// The counts of one track: sums by kind of bucket.
class DurationCounts {
 public:
  // More durations over explicit bounds in milliseconds.
  void add(const BucketBounds& bounds, std::span<const double> counts, double sum_ms);
  void add(const ExponentialShape& shape, std::span<const double> counts, double sum_ms);
  void add(const DurationCounts& other);
  bool empty() const { return explicit_.empty() && !exponential_; }

  friend void put_track(const DurationCounts& durations, TrackCounts& out);
  friend void put_row(const DurationCounts& canary, const DurationCounts& stable, RouteCounts& out);
  friend std::vector<double> part_of_row(const DurationCounts& part, const DurationCounts& whole,
                                         const BucketBounds& bounds, Track track);

 private:
  struct Explicit {
    BucketBounds bounds;
    std::vector<double> counts;
  };
  struct Exponential {
    ExponentialShape shape;
    std::vector<double> counts;
  };
  enum class Across { as_faster, as_slower };
  static BucketBounds shared_bounds(std::span<const DurationCounts* const> all);
  void put(const BucketBounds& bounds, Across across, TrackCounts& out) const;
  double width_across(const BucketBounds& bounds) const;
  std::string kinds() const;

  std::vector<Explicit> explicit_; // each bounds once
  std::optional<Exponential> exponential_;
  double sum_ms_ = 0;
};

// Sets the durations of one track over the boundaries that all its parts have, or says in
// bounds_note why there are none.
void put_track(const DurationCounts& durations, TrackCounts& out);
// Sets the durations of both tracks over the boundaries that all parts of both have, one object on
// both sides, or says in bounds_note why there are none. A track without durations gets the bounds
// and no counts.
void put_row(const DurationCounts& canary, const DurationCounts& stable, RouteCounts& out);
// The counts of a part of one track's durations over the bounds that put_row gave the whole. The
// parts of a whole add up to its counts. Empty: there are none, or no bounds.
std::vector<double> part_of_row(const DurationCounts& part, const DurationCounts& whole,
                                const BucketBounds& bounds, Track track);

} // namespace coalmine::cohort
