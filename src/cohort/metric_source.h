// The user's own metrics on one track over a window: the input of a rollout's judge besides
// requests.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "cohort/cohorts.h"
#include "cohort/signal_expression.h"

namespace coalmine::cohort {

struct RatioCounts {
  bool any_series = false; // false: the cohort sent no series of the whole
  double part = 0;
  double whole = 0;
};

// A source of metrics: the embedded store or a remote server. Thread-safe. unavailable: the source
// cannot be reached, which is not "no data".
class MetricSource {
 public:
  virtual ~MetricSource() = default;
  // The growth of two counters in (from_ms, to_ms]. First points of new processes and resets count
  // as in cohorts.h. A histogram is two counters, name_sum and name_count.
  virtual Result<RatioCounts> ratio(const CohortSelector& cohort, const std::string& part,
                                    const std::string& whole, std::int64_t from_ms,
                                    std::int64_t to_ms) const = 0;
  // See read_expression(): one number, none, or invalid_argument, which says what is wrong with the
  // expression.
  virtual Result<std::optional<double>> value(std::string_view promql, const SignalScope& scope,
                                              std::int64_t time_ms) const = 0;
};

} // namespace coalmine::cohort
