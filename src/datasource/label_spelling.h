// How a source spells the labels of a selector: service_name, or "service.name" where it keeps
// UTF-8 names.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "base/guarded.h"
#include "datasource/series_names.h"
#include "promql/queryable.h"
#include "telemetry/labels.h"

namespace coalmine::datasource {

// Asks the source which labels its counted metrics have, at most once a minute. Thread-safe; data
// must outlive it.
class LabelSpelling {
 public:
  LabelSpelling(const promql::Queryable& data, const SeriesNames& names);

  // The matchers in every spelling under which the source may have such series: as given, and with
  // the source's own names where these differ. They select different series. A source that keeps
  // both (because it was changed, or gets telemetry in two ways) is asked for both. A source that
  // does not say what labels it has is asked as given.
  std::vector<std::vector<Matcher>> of(const std::vector<Matcher>& matchers,
                                       std::int64_t time_ms) const;
  // The label under every spelling that the source has, to be grouped by; as given at least.
  std::vector<std::string> of_label(const std::string& label, std::int64_t time_ms) const;

 private:
  struct Known {
    std::int64_t asked_ms = INT64_MIN; // the time asked about, not that of a clock
    std::vector<std::string> labels;
  };
  std::vector<std::string> labels_at(std::int64_t time_ms) const;

  const promql::Queryable& data_;
  const std::string pattern_;
  mutable Guarded<Known> known_;
};

} // namespace coalmine::datasource
