// The data source of the PromQL engine: the embedded store or a remote server.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "telemetry/labels.h"
#include "telemetry/sample_columns.h"

namespace coalmine::promql {

// A native histogram in the form used by PromQL: float counts, spans flattened. Prometheus native
// histogram schema numbers; schema -53 has custom (classic) bounds.
struct NativeHistogram {
  struct Buckets {
    std::int32_t offset = 0;    // index of counts[0]
    std::vector<double> counts; // per bucket
  };
  std::int32_t schema = 0;
  double zero_threshold = 0;
  double zero_count = 0;
  double count = 0;
  double sum = 0;
  Buckets positive;
  Buckets negative;
  std::vector<double> custom_bounds; // schema -53
  enum class ResetHint : std::uint8_t {
    unknown,
    reset,
    not_reset,
    gauge
  } hint = ResetHint::unknown;
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
  std::vector<Sample> floats;              // ascending
  std::vector<HistogramSample> histograms; // ascending
};

struct Selection {
  // __name__ as in the query: histograms are presented as x_bucket, x_sum and x_count.
  std::vector<Matcher> matchers;
  std::int64_t from_ms = 0; // inclusive
  std::int64_t to_ms = 0;   // inclusive
  std::size_t max_samples = 50'000'000;
  // Only for columns(): the whole range is one window (store::ColumnRequest).
  bool one_window = false;
  // Called from time to time while samples are read, on the caller's thread. When it returns true,
  // select() fails with deadline_exceeded. May be empty.
  std::function<bool()> give_up = nullptr;
};

// The series of a selection by one name, to be read as columns of numbers. All are floats of that
// name, or all are the same part of histograms. Each column of buckets is one series with the label
// le.
class ColumnSource {
 public:
  virtual ~ColumnSource() = default;
  // Returning false ends the reading.
  using Visit = std::function<bool(std::size_t series, const SampleColumns& columns)>;

  // The series in the order of select(). __name__ may differ, and le of buckets is missing.
  virtual std::size_t size() const = 0;
  virtual const Labels& labels(std::size_t series) const = 0;
  virtual bool buckets() const = 0;
  // True if the selection takes the column with this le.
  virtual bool accepts_bound(std::string_view le) const = 0;
  // Visits all of these series in this order.
  virtual Status read(std::span<const std::size_t> order, const Visit& visit) const = 0;
};

// Thread-safe.
class Queryable {
 public:
  virtual ~Queryable() = default;
  virtual Result<std::vector<Series>> select(const Selection& selection) const = 0;
  // Null when select() must be used instead: the series are of several kinds, or cannot be read as
  // columns.
  virtual Result<std::unique_ptr<ColumnSource>> columns(const Selection&) const {
    return std::unique_ptr<ColumnSource>();
  }
  virtual Result<std::vector<Labels>> series(const Selection& selection) const = 0;
  virtual Result<std::vector<std::string>> label_names(const Selection& selection) const = 0;
  virtual Result<std::vector<std::string>> label_values(std::string_view label,
                                                        const Selection& selection) const = 0;
};

} // namespace coalmine::promql
