// Processes that no resource attribute tells apart: each has series of its own, by when its counts
// began.
// SPDX-License-Identifier: Apache-2.0
#include "store/ingest/processes.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <memory>
#include <utility>

#include "store/ingest/ingest.h"

namespace coalmine::store {
namespace {

// Of one series, at the same time.
constexpr std::size_t kMostProcesses = 100;
// A process that has sent nothing for this long makes room for others.
constexpr std::int64_t kProcessEndedMs = 10 * 60'000;
// What a process counted before is not the growth of the time in which it is first seen.
constexpr std::int64_t kOldProcessMs = 10 * 60'000;
// Points of one export are at most so far apart.
constexpr std::int64_t kOfOneExportMs = 1'000;
constexpr std::size_t kMostRemembered = 1'000;
constexpr std::size_t kMostShared = 50'000;

} // namespace

bool names_process(const Attributes& attributes) {
  const auto has = [&](std::string_view name) { return !attribute_text(attributes, name).empty(); };
  const auto pod = attribute_text(attributes, "k8s.pod.name");
  return has("service.instance.id") || (!pod.empty() && pod != "unknown") ||
         (has("host.name") && has("process.pid"));
}

// Invariant: two processes never share a series, so none of their counts is taken for a restart of
// the other's. A process that starts anew is a further one too: that it took the place of another
// is not known.
Ingest::Known* Ingest::process_of(Stage& stage, const MetricPoint& point, const ProcessPoint& at,
                                  Known& plain, Rejections& rejections) {
  if (at.start_ms == 0) return &plain; // nothing tells
  if (plain.process_start_ms == 0) plain.process_start_ms = at.start_ms;
  Known* out = &plain;
  if (at.start_ms != plain.process_start_ms) {
    out = other_process(stage, point, at, plain, rejections);
    if (out == nullptr) return nullptr;
  }
  if (plain.own != nullptr) {
    auto& processes = plain.own->processes;
    if (processes.size() >= kMostRemembered) processes.clear();
    processes.try_emplace(at.start_ms / 1000, at.time_ms);
  }
  return out;
}

Ingest::Known* Ingest::other_process(Stage& stage, const MetricPoint& point, const ProcessPoint& at,
                                     Known& plain, Rejections& rejections) {
  if (!has_room(plain.info->id, at)) {
    rejections.point(fmt::format(
        "more than {} processes write the series {} and no attribute tells them apart: give each a "
        "service.instance.id of its own",
        kMostProcesses, to_text(*plain.info->labels)));
    return nullptr;
  }
  if (plain.others == nullptr) plain.others = std::make_unique<std::map<std::int64_t, Known>>();
  auto& others = *plain.others;
  if (const auto it = others.find(at.start_ms); it != others.end()) return &it->second;
  if (others.size() >= 2 * kMostProcesses) others.clear(); // most have ended
  Known known = know(stage, point.series, at.start_ms);
  if (known.info == nullptr) {
    rejections.point(known.refusal);
    return nullptr;
  }
  known.baseline = known.baseline || is_old_process(plain, at);
  return &others.emplace(at.start_ms, std::move(known)).first->second;
}

// Whether the process is known beside the one that owns the series, or may become so.
bool Ingest::has_room(SeriesId series, const ProcessPoint& at) {
  if (processes_.size() >= kMostShared) processes_.clear(); // those of long ago with them
  auto& newest = processes_[series];
  if (!newest.contains(at.start_ms) && newest.size() >= kMostProcesses) {
    std::erase_if(newest,
                  [&](const auto& one) { return one.second < at.time_ms - kProcessEndedMs; });
    if (newest.size() >= kMostProcesses) return false;
  }
  auto& last = newest[at.start_ms];
  last = std::max(last, at.time_ms);
  return true;
}

// Whether the process was there before the first point that is seen of it. A further series of a
// process that is known has grown since its last export.
bool Ingest::is_old_process(const Known& plain, const ProcessPoint& at) {
  if (plain.own == nullptr || at.start_ms > at.time_ms - kOldProcessMs) return false;
  const auto& processes = plain.own->processes;
  for (const auto second : {-1, 0, 1}) { // the instruments of a process start one after the other
    const auto it = processes.find(at.start_ms / 1000 + second);
    if (it != processes.end() && it->second < at.time_ms - kOfOneExportMs) return false;
  }
  return true;
}

} // namespace coalmine::store
