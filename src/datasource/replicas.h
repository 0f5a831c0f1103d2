// Series that several servers collected from the same process: two Prometheus with a replica label,
// Thanos without deduplication. Pure.
// SPDX-License-Identifier: Apache-2.0
#pragma once

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

} // namespace coalmine::datasource
