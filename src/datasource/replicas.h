// Series that several servers collected from the same process: two Prometheus with a replica label,
// Thanos without deduplication. Pure.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "promql/queryable.h"

namespace coalmine::datasource {

// Series that differ only in replica_labels become one, without these labels. Samples are those of
// the first replica by name; another one's are used only where it has a gap, so that two servers
// that collected a counter at almost the same moment do not make it look as if it fell. A series
// without any of instance_labels is left alone: the label may be all that tells two processes
// apart. Labels must have plain names.
std::vector<promql::Series> merge_replicas(std::vector<promql::Series> series,
                                           const std::vector<std::string>& replica_labels,
                                           const std::vector<std::string>& instance_labels);

// A label under which series run together that are equal otherwise.
struct RunTogether {
  std::string label;
  std::vector<std::string> values; // in order
};

// The label of which all this holds: series that differ in it alone count the same at the same time
// (each of one lies between its neighbours in time of the other, over kTogetherSamples at least and
// a growth of kTogetherGrowth), and no two that differ in it alone do not. Two processes with the
// same load hardly do that, in sums of durations never. apart: labels that tell processes or
// requests apart, and are none. Series are counters with plain names.
inline constexpr std::size_t kTogetherSamples = 6;
inline constexpr double kTogetherGrowth = 30;
std::optional<RunTogether> find_run_together(const std::vector<promql::Series>& series,
                                             const std::vector<std::string>& apart);

} // namespace coalmine::datasource
