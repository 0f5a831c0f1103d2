// Sealing: the older samples of the head are written as chunks.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "base/ids.h"
#include "base/result.h"
#include "store/disk/locks.h"
#include "store/disk/rocks_db.h"
#include "store/series/log_book.h"
#include "store/series/series_state.h"

namespace coalmine::store {

// Samples this old and older are sealed, block by block. Late samples may still arrive among
// younger ones.
inline constexpr std::int64_t kSealAgeMs = 5 * 60 * 1000;

// One seal() at a time; it takes the locks by itself, slice by slice, so that appends go on.
class Sealer {
 public:
  Sealer(Database& database, Locks& locks, SeriesState& state, LogBook& log)
      : database_(database), locks_(locks), state_(state), log_(log) {}

  // unavailable: the disk refused; blocks already sealed stay sealed.
  Status seal(std::int64_t now_ms);

 private:
  Status seal_slice(const SeriesId* begin, const SeriesId* end, std::int64_t cutoff_ms);
  Status finish_seal(Seal seal);

  Database& database_;
  Locks& locks_;
  SeriesState& state_;
  LogBook& log_; // guarded by Locks::write
};

} // namespace coalmine::store
