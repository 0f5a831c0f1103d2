// Instances that have gone silent: their series are ended with staleness markers.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <set>
#include <string>

#include "base/result.h"
#include "store/disk/rocks_db.h"
#include "store/ingest/contents.h"

namespace coalmine::store {

// Telemetry is pushed, so there is no scrape that fails. Without markers an instance that is gone
// is counted by instant queries for as long as they look back.
class InstanceEnds {
 public:
  // after_intervals: of export, a minute at least; 0: never. opened_ms: silence before is not
  // counted, because nobody could be heard.
  InstanceEnds(double after_intervals, std::int64_t opened_ms, Database& database,
               Contents& contents)
      : after_intervals_(after_intervals),
        opened_ms_(opened_ms),
        database_(database),
        contents_(contents) {}

  // Takes the locks by itself. unavailable: the disk refused; the next call tries again.
  Status mark_silent(std::int64_t now_ms);

 private:
  // By instance_key.
  std::set<std::string> silent_instances(std::int64_t now_ms) const;

  const double after_intervals_;
  const std::int64_t opened_ms_;
  Database& database_;
  Contents& contents_;
};

} // namespace coalmine::store
