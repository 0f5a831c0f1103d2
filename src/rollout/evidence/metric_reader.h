// Puts the numbers of the user's own metrics into cells of evidence.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "cohort/metric_source.h"
#include "judge/judge.h"
#include "rollout/evidence/evidence_feed.h"
#include "rollout/spec.h"

namespace coalmine::rollout {

// Which telemetry of which release.
struct MetricScope {
  std::shared_ptr<const RolloutSpec> spec;
  std::string canary_version;
  std::string stable_version;
};

// What is read over (from_ms, to_ms]: the counters, or the expressions, which are taken at to_ms
// with $window as long as the window.
struct MetricWindow {
  enum class What { counters, expressions } what = What::counters;
  std::int64_t from_ms = 0;
  std::int64_t to_ms = 0;
  bool stable_alone = false;
};
// A metric that cannot be read by its own fault has that as its problem. unavailable: the source
// does not answer; nothing is known then.
Result<std::vector<MetricNumbers>> read_metrics(const cohort::MetricSource& source,
                                                const MetricScope& scope,
                                                const MetricWindow& window);

// Counters and expressions over one window.
Result<std::vector<MetricNumbers>> read_window_metrics(const cohort::MetricSource& source,
                                                       const MetricScope& scope,
                                                       std::int64_t from_ms, std::int64_t to_ms);

// A feed whose cells carry metrics. Counters are read cell by cell, stable's past in one go;
// expressions once in kValueCells cells, over all of them, so that a rate() of an exporter that is
// as slow as a cell is long has points to work with, and no time is used twice. A cell waits until
// its metrics could be read. source outlives it.
std::unique_ptr<EvidenceFeed> make_metric_feed(std::unique_ptr<EvidenceFeed> cells,
                                               const cohort::MetricSource& source,
                                               MetricScope scope);
inline constexpr std::size_t kValueCells = 3;

} // namespace coalmine::rollout
