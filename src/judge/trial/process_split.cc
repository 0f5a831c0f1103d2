// SPDX-License-Identifier: Apache-2.0
#include "judge/trial/process_split.h"

#include <algorithm>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

namespace coalmine::judge {
namespace {

// Gives the canary these durations of the row's.
void move_durations(std::vector<double> durations, RouteCounts& row) {
  auto& from = row.stable;
  const double before = from.timed;
  double moved = 0, left = 0;
  for (std::size_t i = 0; i < from.bucket_counts.size(); ++i) {
    durations[i] = std::clamp(durations[i], 0.0, from.bucket_counts[i]);
    from.bucket_counts[i] -= durations[i];
    moved += durations[i];
    left += from.bucket_counts[i];
  }
  const double share = moved + left > 0 ? moved / (moved + left) : 0;
  row.canary.sum_ms = from.sum_ms * share;
  from.sum_ms -= row.canary.sum_ms;
  row.canary.timed = before * share;
  from.timed -= row.canary.timed;
  row.canary.bucket_counts = std::move(durations);
}

// Gives the canary a part of the row's requests, and of its 4xx answers as large a share.
void move_requests(double requests, double errors, RouteCounts& row) {
  auto& from = row.stable;
  const double share = from.requests > 0 ? std::min(1.0, requests / from.requests) : 0;
  row.canary = {};
  row.canary.bounds_ms = from.bounds_ms;
  row.canary.bounds_note = from.bounds_note;
  row.canary.sampled = from.sampled;
  row.canary.requests = from.requests * share;
  row.canary.errors = std::clamp(errors, 0.0, from.errors);
  row.canary.answered = from.answered * share;
  row.canary.client_errors = from.client_errors * share;
  from.requests -= row.canary.requests;
  from.errors -= row.canary.errors;
  from.answered -= row.canary.answered;
  from.client_errors -= row.canary.client_errors;
}

// Stable's instances alone, those of the canary relabelled. Parts follow their instances.
void relabel(CountCell& cell, const std::set<std::string>& canary) {
  std::vector<std::optional<std::uint32_t>> place(cell.instances.size());
  std::vector<InstanceCounts> kept;
  for (std::size_t i = 0; i < cell.instances.size(); ++i) {
    auto& one = cell.instances[i];
    if (!is_of_stable(one)) continue;
    if (canary.contains(one.instance)) one.track = Track::canary;
    place[i] = static_cast<std::uint32_t>(kept.size());
    kept.push_back(std::move(one));
  }
  cell.instances = std::move(kept);
  for (auto& row : cell.routes) {
    std::erase_if(row.parts, [&](const InstancePart& part) {
      return part.instance >= place.size() || !place[part.instance];
    });
    for (auto& part : row.parts) part.instance = *place[part.instance];
  }
}

void move_processes(CountCell& cell) {
  TrackCounts own;
  own.bucket_counts.resize(cell.total.stable.bucket_counts.size());
  for (const auto& one : cell.instances) {
    if (is_of_stable(one)) continue;
    own.requests += one.requests;
    own.errors += one.errors;
    const auto buckets = std::min(own.bucket_counts.size(), one.bucket_counts.size());
    for (std::size_t i = 0; i < buckets; ++i) own.bucket_counts[i] += one.bucket_counts[i];
  }
  move_requests(own.requests, own.errors, cell.total);
  move_durations(std::move(own.bucket_counts), cell.total);
  for (auto& row : cell.routes) {
    double requests = 0, errors = 0;
    for (const auto& part : row.parts) {
      if (is_of_stable(cell.instances[part.instance])) continue;
      requests += part.requests;
      errors += part.errors;
    }
    // Those that warm up have no durations.
    const double timed = row.stable.requests - row.stable.warming_requests;
    const double share = timed > 0 ? std::min(1.0, requests / timed) : 0;
    auto durations = row.stable.bucket_counts;
    for (auto& count : durations) count *= share;
    move_requests(requests, errors, row);
    move_durations(std::move(durations), row);
  }
}

void drop_canary(CountCell& cell) {
  cell.total.canary = {};
  for (auto& row : cell.routes) {
    row.canary = {};
    std::erase_if(row.parts, [&](const InstancePart& part) {
      return !is_of_stable(cell.instances[part.instance]);
    });
  }
  // Instances of the canary stay in the list without requests, so that parts need not be
  // renumbered.
  for (auto& one : cell.instances) {
    if (is_of_stable(one)) continue;
    one.requests = one.errors = 0;
    one.bucket_counts.clear();
  }
}

} // namespace

void play_canary(CountCell& cell, const std::set<std::string>& canary) {
  cell.mixed = cell.warming = false;
  relabel(cell, canary);
  move_processes(cell);
  if (cell.baseline) drop_canary(cell);
}

} // namespace coalmine::judge
