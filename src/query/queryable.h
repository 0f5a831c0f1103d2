// What the PromQL engine reads from. The embedded store and remote servers answer the same questions.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "telemetry/labels.h"

namespace coalmine::query {

// A native histogram as PromQL computes with it: float counts, spans flattened. Prometheus native histogram schema numbers;
// schema -53 has custom (classic) bounds.
struct NativeHistogram {
  struct Buckets {
    std::int32_t offset = 0;     // index of counts[0]
    std::vector<double> counts;  // per bucket
  };
  std::int32_t schema = 0;
  double zero_threshold = 0;
  double zero_count = 0;
  double count = 0;
  double sum = 0;
  Buckets positive;
  Buckets negative;
  std::vector<double> custom_bounds; // schema -53
  enum class ResetHint : std::uint8_t { unknown, reset, not_reset, gauge } hint = ResetHint::unknown;
};

struct Sample {
  std::int64_t time_ms = 0;
  double value = 0; // StaleNaN marks the end of a series
  std::int64_t start_ms = 0;
};
struct HistogramSample {
  std::int64_t time_ms = 0;
  std::shared_ptr<const NativeHistogram> value;
  std::int64_t start_ms = 0;
};

struct Series {
  Labels labels;
  std::vector<Sample> floats;             // ascending
  std::vector<HistogramSample> histograms; // ascending
};

struct Selection {
  std::vector<Matcher> matchers; // __name__ as in the query: x_bucket, x_sum, x_count present histograms
  std::int64_t from_ms = 0;      // inclusive
  std::int64_t to_ms = 0;        // inclusive
  std::size_t max_samples = 50'000'000;
};

// Thread-safe.
class Queryable {
 public:
  virtual ~Queryable() = default;
  virtual Result<std::vector<Series>> select(const Selection& selection) const = 0;
  virtual Result<std::vector<Labels>> series(const Selection& selection) const = 0;
  virtual Result<std::vector<std::string>> label_names(const Selection& selection) const = 0;
  virtual Result<std::vector<std::string>> label_values(std::string_view label, const Selection& selection) const = 0;
};

} // namespace coalmine::query
