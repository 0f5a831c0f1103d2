// What one append is about to add: collected first, written as one record, and only then made
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
// now - before; nullopt when the count fell, which means that it started again.
std::optional<Sample> difference(const Sample& before, const Sample& now);
// The same sample with count and buckets zero.
Sample zero_like(const Sample& sample);
// The end of a series: no value from here on.
Sample stale_marker(MetricKind kind, std::int64_t time_ms, std::int64_t start_ms);
void set_times(Sample& sample, std::int64_t time_ms, std::int64_t start_ms);

// One per append, on the stack of the writer.
class Stage {
 public:
  Stage(SeriesIndex& index, FairSharedMutex& index_mutex, const SampleReader& stored)
      : index_(index), index_mutex_(index_mutex), stored_(stored) {}

  void expect(std::size_t samples) { samples_.reserve(samples); }
  // The series when it is there already.
  SeriesInfo* find(const Labels& labels, std::uint64_t labels_hash, Source source, MetricKind kind);
  // The series, made when it is new. labels_hash: of what.labels, so that it is computed once.
  // resource_exhausted: too many series.
  Result<SeriesInfo*> series(const SeriesInfo& what, std::uint64_t labels_hash);
  // Has its row written with this append.
  void write_row(SeriesInfo* info);

  // Dropped when the store has exactly this sample.
  void put(SeriesId id, Sample sample);
  // delta is an increase that ended before samples that are already there. It is inserted as a
  // sample of its own, and all later samples are raised. False: there is a sample at that time
  // already, so the increase was counted before.
  bool put_late(SeriesId id, const Sample& delta);

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
