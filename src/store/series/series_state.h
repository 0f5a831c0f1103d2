// The in-memory state of a store's series.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

#include "store/series/head.h"
#include "store/series/selector_cache.h"
#include "store/series/series_index.h"

namespace coalmine::store {

struct SeriesState {
  explicit SeriesState(std::size_t max_series_per_service) : index(max_series_per_service) {}

  // Changed only while both Locks::write and Locks::state are held.
  SeriesIndex index;
  Head head;

  // Synchronised by itself. Its results are read under the lock that guards index.
  SelectorCache selectors;

  // Guarded by Locks::write.
  std::uint64_t next_chunk = 1;
};

} // namespace coalmine::store
