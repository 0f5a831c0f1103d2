// Copies of the head in data files, so that a start has little log to replay.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "base/result.h"
#include "store/disk/locks.h"
#include "store/disk/rocks_db.h"
#include "store/series/log_book.h"
#include "store/series/series_state.h"

namespace coalmine::store {

// One call at a time; it takes the locks by itself, slice by slice, so that appends go on.
class HeadCopier {
 public:
  // least_log_bytes: a copy is not due before this much log has come since the last one.
  HeadCopier(Database& database, Locks& locks, const SeriesState& state, LogBook& log,
             std::uint64_t least_log_bytes)
      : database_(database),
        locks_(locks),
        state_(state),
        log_(log),
        least_log_bytes_(least_log_bytes) {}

  // unavailable: the disk refused; the last copy and the log since then stay.
  Status copy_if_due();
  Status copy();

 private:
  // Adds the written size to bytes.
  Status copy_slice(std::uint64_t slice, std::uint64_t& bytes);

  Database& database_;
  Locks& locks_;
  const SeriesState& state_;
  LogBook& log_; // guarded by Locks::write
  const std::uint64_t least_log_bytes_;
};

} // namespace coalmine::store
