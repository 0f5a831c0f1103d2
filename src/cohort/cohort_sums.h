// From the samples of one cohort to its counts over a window, whichever source they were read from.
// Pure.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <map>
#include <string>
#include <tuple>
#include <vector>

#include "cohort/cohorts.h"
#include "telemetry/sample.h"

namespace coalmine::cohort {

// How far before the window the sample is looked for that counting begins at. Exporters send every
// 60 s unless told otherwise, some every 5 minutes; behind a longer gap a series is taken as new,
// and its start time decides.
inline constexpr std::int64_t kBaselineLookbackMs = 10 * 60 * 1000;
// A process that started this long before the window, and of which nothing was seen before it, is a
// new process to it. As long as the look-back: a release's pods start minutes before its rollout
// is, their first export may be outstanding for one interval (60 s unless told otherwise, 5 minutes
// in places), and everything they have done belongs to this release. An older one that is seen for
// the first time has a past that nobody saw.
inline constexpr std::int64_t kNewProcessMs = kBaselineLookbackMs;

struct CohortWindow {
  std::int64_t from_ms = 0; // exclusive
  std::int64_t to_ms = 0;   // inclusive
  // Where no start times are known (Prometheus): an instance that is first seen within the window
  // began at 0.
  bool unseen_instances_begin_at_zero = false;
};

// The three families of one cohort, each series with its samples from kBaselineLookbackMs before
// the window to its end.
struct CohortFamilies {
  std::vector<SeriesData> requests;
  std::vector<SeriesData> errors;
  std::vector<SeriesData> durations;
  auto all() { return std::array{&requests, &errors, &durations}; }
};

// Which process a series is of. Sources export at different moments, so each is a process of its
// own here.
using InstanceKey = std::tuple<std::string, std::string, std::string, std::string, Source>;
// The first sample near the window of every process.
using InstanceFirsts = std::map<InstanceKey, std::int64_t>;

inline bool is_stale(const FloatSample& s) { return std::isnan(s.value); }
inline bool is_stale(const ClassicSample& s) { return s.stale; }

// The whole first value falls into the window: the process is new.
template <typename Sample>
bool is_new_process(const Sample& first, const CohortWindow& window) {
  const bool start_known = first.start_ms != 0 && first.start_ms < first.time_ms;
  return start_known && first.start_ms >= window.from_ms - kNewProcessMs;
}

// True when the first number lies in the window and its past is not told by its start time.
template <typename Sample>
bool lacks_baseline(const std::vector<Sample>& samples, const CohortWindow& window) {
  const auto it =
      std::find_if(samples.begin(), samples.end(), [](const Sample& s) { return !is_stale(s); });
  return it != samples.end() && it->time_ms > window.from_ms && !is_new_process(*it, window);
}

// Who reported and when: sets instances and last_ms of out.
InstanceFirsts find_instances(CohortFamilies& families, const CohortWindow& window,
                              CohortCounts& out);
// Sets the routes of out.
void add_up(const CohortFamilies& families, const CohortWindow& window,
            const InstanceFirsts& firsts, CohortCounts& out);

} // namespace coalmine::cohort
