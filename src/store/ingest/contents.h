// All that a store holds in memory.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <utility>

#include "store/disk/locks.h"
#include "store/ingest/presence_book.h"
#include "store/series/log_book.h"
#include "store/series/series_state.h"
#include "store/spans/span_state.h"

namespace coalmine::store {

struct Contents {
  Contents(std::size_t max_series_per_service, FailureRules failures)
      : series(max_series_per_service), spans(std::move(failures)) {}

  Locks locks;

  // Seen by readers, and changed only while both locks.write and locks.state are held. A few
  // members of the two states have another guard, which is named there.
  SeriesState series;
  SpanState spans;
  PresenceBook presence;

  // Writers only: guarded by locks.write.
  LogBook log;
};

} // namespace coalmine::store
