// One cumulative series as a line: samples become pieces of even growth, and pieces are taken off
// at the edges of cells. Private to count_grid*.cc.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <vector>

#include "telemetry/histogram.h"
#include "telemetry/sample.h"

namespace coalmine::cohort {

// Points of one export carry times that differ by less.
inline constexpr std::int64_t kSameExportMs = 100;

// Growth in (from_ms, to_ms], spread evenly. Histograms: counts over bounds, amount their number.
struct GrowthPiece {
  std::int64_t from_ms = 0;
  std::int64_t to_ms = 0;
  double amount = 0;
  BucketBounds bounds;
  std::vector<double> counts;
  double sum = 0;

  // Takes off what lies before at_ms and returns it; at_ms within (from_ms, to_ms).
  GrowthPiece split(std::int64_t at_ms);
};

// What a sample's meaning depends on beside the sample before it.
struct GrowthContext {
  std::int64_t origin_ms = 0;
  std::int64_t new_process_ms = 0;
  // The newest export of the instance that is older than this sample's: a series that it did not
  // have or did not change then grew since. None: the instance is seen for the first time.
  std::optional<std::int64_t> exported_before;
  std::int64_t interval_ms =
      0; // of the instance's exports, for an instance whose beginning is unknown
  bool unseen_begin_at_zero = false;
};

// Where a restart of the process shows.
struct Growth {
  std::optional<GrowthPiece> piece; // none: nothing grew, or a baseline
  std::optional<std::int64_t> restarted_ms;
};

// A series of floats or of histograms. A value; one thread.
class CountLine {
 public:
  // Samples ascending in time. Staleness markers and times not after the newest change nothing,
  // except that a value that grew at the newest time counts (counts derived from spans gather
  // within one second).
  Growth add(const FloatSample& sample, const GrowthContext& context);
  Growth add(const ClassicSample& sample, const GrowthContext& context);
  void shift(std::int64_t by_ms);
  std::int64_t last_ms() const { return newest_ ? newest_->time_ms : INT64_MIN; }

 private:
  struct Newest {
    std::int64_t time_ms = 0;
    std::int64_t start_ms = 0;
    double value = 0;
    ClassicHistogram histogram;
  };
  Growth step(Newest now, const GrowthContext& context);
  static bool fell(const Newest& before, const Newest& now);
  static std::optional<std::int64_t> first_from(const Newest& first, const GrowthContext& context);
  static GrowthPiece all_of(const Newest& now);
  static GrowthPiece growth_of(const Newest& before, const Newest& now);

  std::optional<Newest> newest_;
};

bool same_bounds(const BucketBounds& a, const BucketBounds& b);
// The boundaries that both have; null when there are none.
BucketBounds common_bounds(const BucketBounds& a, const BucketBounds& b);
// counts over from, added to `to` whose boundaries are all among from's.
void add_rebinned(const BucketBounds& from, const std::vector<double>& counts,
                  const BucketBounds& to, std::vector<double>& out);

} // namespace coalmine::cohort
