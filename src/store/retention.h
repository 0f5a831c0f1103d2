// Retention by age and size, and removal of series without samples.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "base/result.h"
#include "store/disk/rocks_db.h"
#include "store/ingest/appender.h"
#include "store/ingest/contents.h"

namespace coalmine::store {

struct RetentionLimits {
  std::int64_t age_ms = 0;
  std::uint64_t bytes = 0; // of the directory
};

// One call at a time; it takes the locks by itself. unavailable: the disk refused; the next call
// tries again.
class Retention {
 public:
  Retention(RetentionLimits limits, Database& database, Contents& contents, Appender& appender)
      : limits_(limits), database_(database), contents_(contents), appender_(appender) {}

  Status drop_expired(std::int64_t now_ms);
  // Drops the oldest block first, chunks and spans alike, until the directory fits or nothing more
  // may be dropped.
  Status shrink(std::int64_t now_ms);
  // Drops series without samples, and instances whose last report is older than the retention.
  Status drop_dead(std::int64_t now_ms);

 private:
  enum class Reclaim : std::uint8_t { later, now }; // when the disk space is given back
  Status drop_older(std::int64_t time_ms, Reclaim reclaim);

  const RetentionLimits limits_;
  Database& database_;
  Contents& contents_;
  Appender& appender_;
};

} // namespace coalmine::store
