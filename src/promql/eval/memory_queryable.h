// Series held in memory, for tests and the runner of PromQL test files.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "promql/queryable.h"

namespace coalmine::promql {

// Filled from one thread; reading is thread-safe once filling has ended.
class MemoryQueryable final : public Queryable {
 public:
  // Appends a sample to a series. Samples not in time order are dropped, as a time series database
  // would do.
  void append(const Labels& labels, const Sample& sample);
  void append(const Labels& labels, HistogramSample sample);
  void clear() { series_.clear(); }

  Result<std::vector<Series>> select(const Selection& selection) const override;
  Result<std::vector<Labels>> series(const Selection& selection) const override;
  Result<std::vector<std::string>> label_names(const Selection& selection) const override;
  Result<std::vector<std::string>> label_values(std::string_view label,
                                                const Selection& selection) const override;

 private:
  struct Held {
    Series data;
    std::int64_t last_ms = INT64_MIN;
    bool last_was_histogram = false;
  };
  std::map<Labels, Held> series_;
};

} // namespace coalmine::promql
