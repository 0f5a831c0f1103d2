// Requests for series of the store, and their results.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/ids.h"
#include "telemetry/batch.h"
#include "telemetry/labels.h"
#include "telemetry/sample.h"
#include "telemetry/sample_columns.h"

namespace coalmine::store {

struct SelectRequest {
  std::vector<Matcher> matchers;
  std::int64_t from_ms = 0; // inclusive
  std::int64_t to_ms = 0;   // inclusive
  // For the three request metrics. True (default): of each instance only the best source that has
  // requests in the range, in the order sent, histogram, spans. False: every source.
  bool choose_source = true;
  // With choose_source false. complete: of each instance only the sources that count requests and
  // errors, where it has one. incomplete: all others.
  enum class Sources : std::uint8_t { all, complete, incomplete } sources = Sources::all;
  // Also the derived durations at the resolution they were measured with, as exponential histograms
  // in seconds. They are the same requests as the classic ones beside them, so only a reader that
  // tells the two apart asks for them.
  bool exact_durations = false;
  bool with_samples = true;             // false: labels only (series, labels, label values)
  bool all_series = false;              // find() also returns series without samples in the range
  std::size_t max_samples = 50'000'000; // more fails with resource_exhausted
  // Called from time to time while samples are read, on the caller's thread. When it returns true,
  // reading ends with deadline_exceeded. May be empty.
  std::function<bool()> give_up = nullptr;
};

// A series that a selector found.
struct FoundSeries {
  SeriesId id;
  std::shared_ptr<const Labels> labels; // see SeriesData
  MetricKind kind = MetricKind::gauge;
  Source source = Source::sent;
};

// The position up to which a reader has read a series.
struct SeriesPosition {
  SeriesId id;
  std::int64_t from_ms = 0; // its next samples are at this time or later
  // The sample already read at from_ms. It is returned again only if it was replaced since.
  struct Seen {
    double value = 0; // or the sum
    std::uint64_t count = 0;
  };
  std::optional<Seen> seen = std::nullopt;
};
// The samples since a position.
struct NewSamples {
  std::vector<FloatSample> floats;
  std::vector<ClassicSample> classic;
  std::vector<ExponentialSample> exponential;
  bool empty() const { return floats.empty() && classic.empty() && exponential.empty(); }
};

// The time range to read as columns, and which numbers of histograms.
struct ColumnRequest {
  std::int64_t from_ms = 0; // inclusive
  std::int64_t to_ms = 0;   // inclusive
  HistogramPart part = HistogramPart::buckets;
  // The whole range is one window, as for a rate: only its first and last sample, their number and
  // the falls are needed. A chunk inside it in which nothing falls may be given by its first and
  // last row; the others are then counted in SampleColumns::hidden.
  bool one_window = false;
};
// place: the index of the series in the requested list. Returning false ends the reading. Called
// without a lock held.
using VisitColumns = std::function<bool(std::size_t place, const SampleColumns& columns)>;

} // namespace coalmine::store
