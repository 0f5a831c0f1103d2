// SPDX-License-Identifier: Apache-2.0
#include "store/retention.h"

#include <algorithm>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/log.h"
#include "store/disk/meta_rows.h"
#include "store/series/head.h"

namespace coalmine::store {

Status Retention::drop_expired(std::int64_t now_ms) {
  return drop_older(now_ms - limits_.age_ms, Reclaim::later);
}

Status Retention::drop_older(std::int64_t time_ms, Reclaim reclaim) {
  const std::int64_t block = block_of(time_ms);
  WriteSet writes;
  {
    std::lock_guard lock(contents_.locks.write);
    const auto oldest_block = contents_.series.head.oldest_block();
    const auto oldest_segment = contents_.spans.segments.oldest_received_ms();
    const bool chunks = oldest_block && *oldest_block < block;
    const bool spans = oldest_segment && *oldest_segment < time_ms;
    const auto stale = contents_.series.head.with_samples_before(time_ms);
    if (chunks) {
      for (const char kind : {'c', 'l', 't'})
        writes.erase_range(Family::chunks, std::string(1, kind), block_key(kind, block));
    }
    if (spans) {
      for (const char kind : {'s', 'd'})
        writes.erase_range(Family::spans, std::string(1, kind), segment_bound(kind, time_ms));
    }
    if (!writes.empty()) TRY(database_.write(writes));
    std::unique_lock state(contents_.locks.state);
    if (chunks) contents_.series.head.drop_chunks_before(time_ms);
    if (spans) contents_.spans.segments.drop_before(time_ms);
    for (const auto id : stale) contents_.series.head.drop_samples_before(id, time_ms);
  }
  if (reclaim == Reclaim::later) return {};
  for (const auto& op : writes.ops()) TRY(database_.reclaim(op.family, op.key, op.value));
  return {};
}

Status Retention::shrink(std::int64_t now_ms) {
  // Half of the size may be log files whose content is, or could be, in data files.
  if (database_.disk_bytes() > limits_.bytes) TRY(database_.flush());
  while (database_.disk_bytes() > limits_.bytes) {
    std::optional<std::int64_t> oldest;
    {
      std::lock_guard lock(contents_.locks.write);
      oldest = contents_.series.head.oldest_block();
      if (const auto segment = contents_.spans.segments.oldest_received_ms();
          segment && (!oldest || *segment < *oldest))
        oldest = block_of(*segment);
    }
    // The present block always stays. If it does not fit, the limit must be raised.
    if (!oldest || *oldest + kBlockMs > block_of(now_ms)) break;
    log_info("retention by size drops the oldest telemetry",
             {{"before_ms", std::to_string(*oldest + kBlockMs)}});
    TRY(drop_older(*oldest + kBlockMs, Reclaim::now));
  }
  return {};
}

Status Retention::drop_dead(std::int64_t now_ms) {
  std::lock_guard lock(contents_.locks.write);
  std::vector<SeriesId> dead;
  contents_.series.index.for_each([&](const SeriesInfo& info) {
    const auto* series = contents_.series.head.find(info.id);
    if (series == nullptr || (series->samples.empty() && series->chunks.empty()))
      dead.push_back(info.id);
  });
  const auto gone = contents_.presence.older_than(now_ms - limits_.age_ms);
  if (dead.empty() && gone.empty()) return {};
  WriteSet writes;
  for (const auto id : dead) writes.erase(Family::series, number_key(id.value));
  for (const auto& key : gone) writes.erase(Family::meta, std::string(kPresencePrefix) + key);
  writes.put(Family::meta, std::string(kNextSeriesKey),
             number_row(contents_.series.index.next_id().value));
  TRY(database_.write(writes));
  if (!dead.empty()) appender_.forget(); // it holds pointers into the index
  {
    std::unique_lock state(contents_.locks.state);
    contents_.series.index.remove(dead);
    for (const auto id : dead) contents_.series.head.erase(id);
    contents_.presence.erase(gone);
  }
  if (!dead.empty()) appender_.forget_ended(now_ms - limits_.age_ms);
  return {};
}

} // namespace coalmine::store
