// Collects the samples and series of one append. They are written as one record and only then made
// visible.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <mutex>
#include <optional>
#include <unordered_set>
#include <vector>

#include "base/fair_shared_mutex.h"
#include "store/series/record_codec.h"
#include "store/series/sample_reader.h"
#include "store/series/series_index.h"

namespace coalmine::store {

// total + delta, at delta's time. Where they cannot be added (other bounds), the count starts again
// with delta.
Sample add(const Sample& total, const Sample& delta);
// Both are classic histograms, with different bounds.
bool other_bounds(const Sample& a, const Sample& b);
// a + b, whatever their bounds: those of a stay.
Sample joined(const Sample& a, const Sample& b);
// now - before; nullopt when the count fell, which means that it started again.
std::optional<Sample> difference(const Sample& before, const Sample& now);
// The same sample with count and buckets zero.
Sample zero_like(const Sample& sample);
// A sample that marks the end of a series.
Sample stale_marker(MetricKind kind, std::int64_t time_ms, std::int64_t start_ms);
void set_times(Sample& sample, std::int64_t time_ms, std::int64_t start_ms);
// Equal but for their times.
bool same_value(const Sample& a, Sample b);

// What became of an increase that came late.
enum class Late : std::uint8_t {
  added,
  repeated, // it was counted before
  clashing, // another increase ended at the same time: only one can be kept
};

// One per append, on the stack of the writer.
class Stage {
 public:
  Stage(SeriesIndex& index, FairSharedMutex& index_mutex, const SampleReader& stored)
      : index_(index), index_mutex_(index_mutex), stored_(stored) {}

  void expect(std::size_t samples) { samples_.reserve(samples); }
  // The series if it exists already, else nullptr.
  SeriesInfo* find(const Labels& labels, std::uint64_t labels_hash, Source source, MetricKind kind);
  // The series, which is made if it is new. labels_hash: the hash of what.labels, so that it is
  // computed only once. resource_exhausted: too many series.
  Result<SeriesInfo*> series(const SeriesInfo& what, std::uint64_t labels_hash);
  // The same for a filler. Its values are known from now on.
  Result<SeriesInfo*> filler(const SeriesInfo& what);
  // Marks the series' row to be written with this append.
  void write_row(SeriesInfo* info);

  // Adds a sample, unless the store has exactly this one.
  void put(SeriesId id, Sample sample);
  // Adds an increase that ended before samples that are already stored. It is inserted as a sample
  // of its own, and all later samples are raised by it. Where the bounds of histograms differ, the
  // buckets are those of the stored ones. Not added when there is a sample at that time already.
  Late put_late(SeriesId id, const Sample& delta);
  // The sample of this append, or of the head, at that millisecond.
  std::optional<Sample> recent(SeriesId id, std::int64_t time_ms) const;

  const SampleReader& stored() const { return stored_; }
  const std::vector<StagedSample>& samples() const { return samples_; }
  const std::vector<SeriesInfo*>& rows() const { return rows_; }

 private:
  SeriesIndex& index_;
  FairSharedMutex& index_mutex_;
  const SampleReader& stored_;
  std::vector<StagedSample> samples_;
  std::vector<SeriesInfo*> rows_; // without duplicates
  std::unordered_set<SeriesInfo*> in_rows_;
};

} // namespace coalmine::store
