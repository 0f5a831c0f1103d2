// Computes the counts of one cohort over a window from its samples, whatever source they come from.
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
#include "telemetry/outcome.h"
#include "telemetry/sample.h"

namespace coalmine::cohort {

// A point further ahead of our clock is refused on receipt.
inline constexpr std::int64_t kFutureMs = 10 * 60'000;
// How far before the window the sample is searched at which counting begins. Exporters send every
// 60 s by default, some every 5 minutes. After a longer gap a series is taken as new, and its start
// time decides.
inline constexpr std::int64_t kBaselineLookbackMs = 10 * 60 * 1000;
// A process counts as new to the window when it started at most this long before it and was not
// seen before. The value equals the look-back. A release's pods start minutes before its rollout,
// and their first export comes up to one interval later (60 s by default, sometimes 5 minutes).
// Everything they have done belongs to this release. An older process that is seen for the first
// time has an unknown past.
inline constexpr std::int64_t kNewProcessMs = kBaselineLookbackMs;

struct CohortWindow {
  std::int64_t from_ms = 0; // exclusive
  std::int64_t to_ms = 0;   // inclusive
  // For sources without start times (Prometheus): an instance first seen within the window began at
  // 0.
  bool unseen_instances_begin_at_zero = false;
};

// The families of one cohort, each series with its samples from kBaselineLookbackMs before
// the window to its end. Durations are classic histograms in milliseconds or exponential ones in
// seconds (telemetry/durations.h). Series with equal labels in both forms are the same requests:
// the exponential one is counted.
struct CohortFamilies {
  std::vector<SeriesData> requests;
  std::vector<SeriesData> errors;
  std::vector<SeriesData> client_errors; // beside those that the labels of requests tell
  std::vector<SeriesData> durations;
  FailureRule failures; // by which the errors were counted
  // Requests by sources that are not counted by, and spans that are marked as a sample: they show
  // whether spans are one.
  std::vector<SeriesData> witnesses;
  std::vector<SeriesData> tail_sampled;
  auto all() {
    return std::array{&requests, &errors, &client_errors, &durations, &witnesses, &tail_sampled};
  }
};

// The process that a series belongs to. Sources export at different moments, so each source of an
// instance is a process of its own here.
using InstanceKey = std::tuple<std::string, std::string, std::string, std::string, Source>;
// The time of every process's first sample near the window.
using InstanceFirsts = std::map<InstanceKey, std::int64_t>;

inline bool is_stale(const FloatSample& s) { return std::isnan(s.value); }
inline bool is_stale(const ClassicSample& s) { return s.stale; }
inline bool is_stale(const ExponentialSample& s) { return s.stale; }

// True when the whole first value falls into the window, because the process is new.
template <typename Sample>
bool is_new_process(const Sample& first, const CohortWindow& window) {
  const bool start_known = first.start_ms != 0 && first.start_ms < first.time_ms;
  return start_known && first.start_ms >= window.from_ms - kNewProcessMs;
}

// True when the first value lies in the window and its start time does not settle its past.
template <typename Sample>
bool lacks_baseline(const std::vector<Sample>& samples, const CohortWindow& window) {
  const auto it =
      std::find_if(samples.begin(), samples.end(), [](const Sample& s) { return !is_stale(s); });
  return it != samples.end() && it->time_ms > window.from_ms && !is_new_process(*it, window);
}

// What the labels of a series of requests say of their HTTP status.
inline Answer answer_of(const SeriesData& requests, const FailureRule& rule) {
  const auto status = http_status_of(*requests.labels);
  return coalmine::answer_of(status, is_failed(status, "", rule));
}

// Finds which instances reported and when: sets instances and last_ms of out.
InstanceFirsts find_instances(CohortFamilies& families, const CohortWindow& window,
                              CohortCounts& out);
// Sets the routes of out, and what shows whether spans are a sample.
void add_up(const CohortFamilies& families, const CohortWindow& window,
            const InstanceFirsts& firsts, CohortCounts& out);

} // namespace coalmine::cohort
