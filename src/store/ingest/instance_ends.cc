// SPDX-License-Identifier: Apache-2.0
#include "store/ingest/instance_ends.h"

#include <algorithm>
#include <mutex>
#include <vector>

#include "store/disk/meta_rows.h"
#include "store/ingest/stage.h"
#include "store/series/record_codec.h"

namespace coalmine::store {

std::set<std::string> InstanceEnds::silent_instances(std::int64_t now_ms) const {
  constexpr std::int64_t kLeastMs = 60'000;
  std::set<std::string> out;
  for (const auto& [key, row] : contents_.presence.rows()) {
    const auto interval_ms = row.presence.export_interval_ms;
    const auto patience_ms = std::max(
        kLeastMs, static_cast<std::int64_t>(after_intervals_ * static_cast<double>(interval_ms)));
    if (interval_ms != 0 && now_ms - std::max(row.last_export_ms, opened_ms_) > patience_ms)
      out.insert(instance_key(row.presence));
  }
  return out;
}

Status InstanceEnds::mark_silent(std::int64_t now_ms) {
  if (after_intervals_ <= 0) return {};
  std::lock_guard lock(contents_.locks.write);
  const auto silent = silent_instances(now_ms);
  if (silent.empty()) return {};
  auto& head = contents_.series.head;
  std::vector<StagedSample> markers;
  contents_.series.index.for_each([&](const SeriesInfo& info) {
    const auto* series = head.find(info.id);
    if (series == nullptr || series->samples.empty() || series->samples.ends_stale()) return;
    if (!silent.contains(instance_key(*info.labels)) || series->samples.last_ms() >= now_ms) return;
    markers.push_back({info.id, stale_marker(info.kind, now_ms, series->samples.last_start_ms())});
  });
  if (markers.empty()) return {};
  auto bytes = encode_record(markers);
  const std::size_t size = bytes.size();
  WriteSet writes;
  writes.put(Family::log, number_key(contents_.log.next()), std::move(bytes));
  TRY(database_.write(writes));
  contents_.log.add(size, now_ms);
  std::unique_lock state(contents_.locks.state);
  for (const auto& [series, sample] : markers) (void)head.upsert(series, sample);
  return {};
}

} // namespace coalmine::store
