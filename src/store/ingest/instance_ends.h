// Ends the series of instances that have gone silent with staleness markers.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "base/result.h"
#include "store/disk/rocks_db.h"
#include "store/ingest/contents.h"

namespace coalmine::store {

// Telemetry is pushed, so there is no scrape that fails. Without markers, instant queries would
// count an ended instance for their whole look-back.
//
// Late is not silent: silence is the time since the last arrival, whatever the points' own times.
// The end is dated on the clock of the points, as long after the last point as the silence lasted,
// so that points which come later still, and as late as before, come after it.
class InstanceEnds {
 public:
  // after_intervals: silence in export intervals, a minute at least, after which an instance has
  // ended; 0: never. opened_ms: when the store was opened. Silence before is not counted, because
  // nothing could be received.
  InstanceEnds(double after_intervals, std::int64_t opened_ms, Database& database,
               Contents& contents)
      : after_intervals_(after_intervals),
        opened_ms_(opened_ms),
        database_(database),
        contents_(contents) {}

  // Takes the locks by itself. unavailable: the disk refused; the next call tries again.
  Status mark_silent(std::int64_t now_ms);

 private:
  struct End {
    std::int64_t time_ms = 0;     // of the markers
    std::int64_t patience_ms = 0; // silence after which the instance has ended
  };
  // By instance_key.
  std::map<std::string, End> ended_instances(std::int64_t now_ms) const;

  const double after_intervals_;
  const std::int64_t opened_ms_;
  Database& database_;
  Contents& contents_;
};

} // namespace coalmine::store
