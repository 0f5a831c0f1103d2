// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "telemetry/labels.h"

namespace coalmine::promql {

// The hash Prometheus takes of a label set; limit_ratio chooses series by it.
std::uint64_t prometheus_label_hash(const Labels& labels);

} // namespace coalmine::promql
