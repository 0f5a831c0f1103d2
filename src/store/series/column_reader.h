// Reads samples as columns: chunks and head are unpacked directly into the numbers that a query
// plan computes with.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>

#include "base/ids.h"
#include "base/result.h"
#include "store/series/requests.h"
#include "store/series/series_reader.h"

namespace coalmine::store {

// Any thread. It takes Locks::state by itself and calls back without a lock held.
class ColumnReader {
 public:
  ColumnReader(Backing backing, Locks& locks, const SeriesState& state, const SeriesReader& series)
      : backing_(backing), locks_(locks), state_(state), series_(series) {}

  // See Store::read_columns.
  Status read(std::span<const SeriesId> ids, const ColumnRequest& request,
              const VisitColumns& visit) const;

 private:
  struct Slice;
  void plan_slice(std::span<const SeriesId> ids, const ColumnRequest& request, Slice& slice) const;
  Status read_merged(SeriesId id, const ColumnRequest& request, SampleColumns& out) const;

  const Backing backing_;
  Locks& locks_;
  const SeriesState& state_;
  const SeriesReader& series_;
};

} // namespace coalmine::store
