// One cumulative series as a line: samples become pieces of even growth, which are cut at the edges
// of cells. Private to count_grid*.cc.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <variant>
#include <vector>

#include "cohort/durations.h"
#include "telemetry/histogram.h"
#include "telemetry/sample.h"

namespace coalmine::cohort {

// Times of points of one export differ by less than this.
inline constexpr std::int64_t kSameExportMs = 100;

// Growth in (from_ms, to_ms], spread evenly. Histograms: counts over bounds or over the buckets of
// an exponential one, amount their number.
struct GrowthPiece {
  std::int64_t from_ms = 0;
  std::int64_t to_ms = 0;
  double amount = 0;
  BucketBounds bounds;
  std::optional<ExponentialShape> exponential;
  std::vector<double> counts;
  double sum = 0; // in milliseconds

  // Cuts off the part before at_ms and returns it. at_ms must lie within (from_ms, to_ms). part:
  // how much of the growth lies before it, from 0 to 1, where that is known not to be even.
  GrowthPiece split(std::int64_t at_ms) { return split(at_ms, even_part(at_ms)); }
  GrowthPiece split(std::int64_t at_ms, double part);
  double even_part(std::int64_t at_ms) const {
    return static_cast<double>(at_ms - from_ms) / static_cast<double>(to_ms - from_ms);
  }
};

// The facts, besides the sample before it, on which a sample's meaning depends.
struct GrowthContext {
  std::int64_t origin_ms = 0;
  std::int64_t new_process_ms = 0;
  // The newest earlier export of the instance. A series that was missing or unchanged then grew
  // since. None: the instance is seen for the first time.
  std::optional<std::int64_t> exported_before;
  // The interval of the instance's exports, for an instance with unknown begin.
  std::int64_t interval_ms = 0;
  bool unseen_begin_at_zero = false;
};

// The growth that a sample adds, and whether it shows a restart of the process.
struct Growth {
  std::optional<GrowthPiece> piece; // none: nothing grew, or a baseline
  std::optional<std::int64_t> restarted_ms;
};

// A series of floats or of histograms. A value; one thread.
class CountLine {
 public:
  // Samples must ascend in time. Staleness markers and samples not after the newest change nothing.
  // An exception is a value that grew at the newest time, which counts, because counts derived from
  // spans gather within one second.
  Growth add(const FloatSample& sample, const GrowthContext& context);
  Growth add(const ClassicSample& sample, const GrowthContext& context);
  Growth add(const ExponentialSample& sample, const GrowthContext& context); // in seconds
  void shift(std::int64_t by_ms);
  std::int64_t last_ms() const { return newest_ ? newest_->time_ms : INT64_MIN; }
  // Of the process, as the newest sample says; 0: unknown.
  std::int64_t start_ms() const { return newest_ ? newest_->start_ms : 0; }

 private:
  struct Newest {
    std::int64_t time_ms = 0;
    std::int64_t start_ms = 0;
    double value = 0;
    std::variant<std::monostate, ClassicHistogram, ExponentialHistogram> histogram;
  };
  Growth step(Newest now, const GrowthContext& context);
  static std::optional<std::int64_t> first_from(const Newest& first, const GrowthContext& context);
  static GrowthPiece all_of(const Newest& now);
  // None: something fell, so the count began again.
  static std::optional<GrowthPiece> growth_of(const Newest& before, const Newest& now);

  std::optional<Newest> newest_;
};

} // namespace coalmine::cohort
