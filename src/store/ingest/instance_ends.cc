// SPDX-License-Identifier: Apache-2.0
#include "store/ingest/instance_ends.h"

#include <algorithm>
#include <mutex>
#include <set>
#include <vector>

#include "store/disk/meta_rows.h"
#include "store/ingest/stage.h"
#include "store/series/record_codec.h"

namespace coalmine::store {

std::map<std::string, InstanceEnds::End> InstanceEnds::ended_instances(std::int64_t now_ms) const {
  constexpr std::int64_t kLeastMs = 60'000;
  std::map<std::string, End> out;
  std::set<std::string> reporting; // one instance may report from several environments
  for (const auto& [key, row] : contents_.presence.rows()) {
    const auto interval_ms = row.presence.export_interval_ms;
    const auto patience_ms = std::max(
        kLeastMs, static_cast<std::int64_t>(after_intervals_ * static_cast<double>(interval_ms)));
    const auto silence_ms = now_ms - std::max(row.export_arrival_ms, opened_ms_);
    auto instance = instance_key(row.presence);
    if (interval_ms == 0 || silence_ms <= patience_ms) {
      reporting.insert(std::move(instance));
      continue;
    }
    auto& end = out[std::move(instance)];
    end.time_ms = std::max(end.time_ms, row.last_export_ms + silence_ms);
    end.patience_ms = std::max(end.patience_ms, patience_ms);
  }
  for (const auto& instance : reporting) out.erase(instance);
  return out;
}

Status InstanceEnds::mark_silent(std::int64_t now_ms) {
  if (after_intervals_ <= 0) return {};
  std::lock_guard lock(contents_.locks.write);
  const auto ended = ended_instances(now_ms);
  if (ended.empty()) return {};
  auto& head = contents_.series.head;
  std::vector<StagedSample> markers;
  contents_.series.index.for_each([&](const SeriesInfo& info) {
    const auto* series = head.find(info.id);
    if (series == nullptr || series->samples.empty() || series->samples.ends_stale()) return;
    const auto it = ended.find(instance_key(*info.labels));
    if (it == ended.end()) return;
    // What is derived from spans has the time of its arrival, and may still come.
    const auto last_ms = series->samples.last_ms();
    const auto& [time_ms, patience_ms] = it->second;
    if (last_ms >= time_ms && now_ms - last_ms <= patience_ms) return;
    markers.push_back({info.id, stale_marker(info.kind, std::max(time_ms, last_ms + 1),
                                             series->samples.last_start_ms())});
  });
  if (markers.empty()) return {};
  std::int64_t newest_ms = INT64_MIN;
  for (const auto& marker : markers) newest_ms = std::max(newest_ms, time_of(marker.sample));
  auto bytes = encode_record(markers);
  const std::size_t size = bytes.size();
  WriteSet writes;
  writes.put(Family::log, number_key(contents_.log.next()), std::move(bytes));
  TRY(database_.write(writes));
  contents_.log.add(size, newest_ms);
  std::unique_lock state(contents_.locks.state);
  for (const auto& [series, sample] : markers) (void)head.upsert(series, sample);
  return {};
}

} // namespace coalmine::store
