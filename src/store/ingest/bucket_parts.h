// Puts histograms together that are sent as series of their own: NAME_bucket with a label le, and
// NAME_sum.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <optional>

#include "telemetry/histogram.h"

namespace coalmine::store {

// The parts of one histogram. They may come in several requests. Invariant: what is given out has
// every bucket at the same time, because a histogram with some old buckets would count quick
// requests as slow ones.
class BucketParts {
 public:
  // grown: of the bucket that holds everything up to le.
  void add_bucket(double le, double grown, std::int64_t time_ms);
  void add_sum(double grown, std::int64_t time_ms);
  // What has grown since the last time, once all parts have come as far. nullopt: not yet, or
  // nothing has.
  std::optional<ClassicHistogram> take();

 private:
  struct Part {
    double grown = 0;
    std::int64_t time_ms = 0;
  };
  void start_again();

  std::map<double, Part> buckets_; // by le
  std::optional<Part> sum_;
};

} // namespace coalmine::store
