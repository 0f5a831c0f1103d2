// Reads series: applies matchers, chooses one source per instance, and joins the samples of chunks
// and head.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "store/disk/damage_log.h"
#include "store/disk/locks.h"
#include "store/series/requests.h"
#include "store/series/sample_reader.h"
#include "store/series/series_state.h"
#include "telemetry/store_facts.h"

namespace coalmine::store {

// Implements the functions of the same names in Store. Any thread; it takes Locks::state by itself.
class SeriesReader {
 public:
  SeriesReader(Backing backing, Locks& locks, SeriesState& state)
      : backing_(backing), locks_(locks), state_(state), samples_(backing, state) {}

  Result<std::vector<SeriesData>> select(const SelectRequest& request) const;
  Result<std::vector<FoundSeries>> find(const SelectRequest& request) const;
  // One series or none, with only its id and samples. from_ms and to_ms are inclusive.
  Result<std::vector<SeriesData>> read_one(SeriesId id, std::int64_t from_ms,
                                           std::int64_t to_ms) const;
  std::vector<std::string> label_names(const SelectRequest& request) const;
  std::vector<std::string> label_values(std::string_view label, const SelectRequest& request) const;
  std::vector<MetricMetadata> metadata() const;
  std::uint64_t version_of(std::string_view service) const;
  std::optional<std::vector<NewSamples>> newest(std::span<const SeriesPosition> positions) const;

 private:
  struct Picked;
  struct Slice;
  // Calls visit with each series of the request, holding Locks::state.
  template <typename Visit>
  Status pick(const SelectRequest& request, Visit visit) const;
  Source choose(const SourceChoice& choice, const SelectRequest& request) const;
  // room: at most this many samples are copied. Slice::samples exceeds it when there were more.
  Slice plan(std::span<const Picked> picked, const SelectRequest& request, std::size_t room) const;
  Status fill(std::span<Picked> picked, const SelectRequest& request,
              std::vector<SeriesData>& out) const;

  const Backing backing_;
  Locks& locks_;
  SeriesState& state_; // only its cache of selectors is changed
  const SampleReader samples_;
};

} // namespace coalmine::store
