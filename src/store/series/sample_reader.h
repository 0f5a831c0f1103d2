// Reads the samples of one series from chunks and head together.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/ids.h"
#include "store/disk/damage_log.h"
#include "store/series/samples.h"
#include "store/series/series_state.h"
#include "store/series/shared_times.h"

namespace coalmine::store {

// Reads chunks by key and returns one answer per key. nullopt: the chunk is missing, or lies in a
// damaged part of a data file, which is reported.
std::vector<std::optional<std::string>> read_chunks(const Backing& backing,
                                                    const std::vector<std::string>& keys);

// Reads for one series at a time. Any thread that holds Locks::write, or Locks::state shared, from
// call to return; decode() needs no lock. Damaged chunks are reported and left out.
class SampleReader {
 public:
  SampleReader(Backing backing, const SeriesState& state) : backing_(backing), state_(state) {}

  // from_ms and to_ms are inclusive.
  SampleRun read(SeriesId id, std::int64_t from_ms, std::int64_t to_ms) const;
  bool has_samples(SeriesId id, std::int64_t from_ms, std::int64_t to_ms) const;
  // The newest sample that is a value and not a staleness marker.
  std::optional<Sample> last_value(SeriesId id) const;
  // True when exactly this sample is in the head. A sample in a chunk may be missed.
  bool in_head(SeriesId id, const Sample& sample) const;
  // The sample of the head at that millisecond.
  std::optional<Sample> in_head(SeriesId id, std::int64_t time_ms) const;

  // The samples of the chunk stored at this key.
  SampleRun decode(const std::string& key, const std::string& bytes, SharedTimes& times) const;

 private:
  const Backing backing_;
  const SeriesState& state_;
};

} // namespace coalmine::store
