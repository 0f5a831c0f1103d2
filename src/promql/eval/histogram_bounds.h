// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace coalmine::promql {

// Upper bound of a bucket of an exponential schema.
double exponential_bound(std::int64_t index, std::int32_t schema);

} // namespace coalmine::promql
