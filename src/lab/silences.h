// When nothing was heard of stable's processes. A counter that is there again after a gap has grown
// in between, and cells have that growth evenly in the gap: numbers, but no data. Pure.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "promql/queryable.h"
#include "telemetry/cell.h"

namespace coalmine::lab {

// (from_ms, to_ms].
struct Silence {
  std::int64_t from_ms = 0;
  std::int64_t to_ms = 0;
};

struct Silences {
  std::vector<Silence> stable{};                           // of all processes at once
  std::map<std::string, std::vector<Silence>> processes{}; // by InstanceCounts::instance
};

// seen: for each process a point at every step at which an instant query finds it, that is, when a
// sample was at most five minutes old. Shorter silences are not seen. instance_labels: the first of
// these that a series has names its process.
Silences find_silences(const std::vector<promql::Series>& seen, std::int64_t step_ms,
                       const std::vector<std::string>& instance_labels);

bool is_silent(const CountCell& cell, const std::vector<Silence>& silences);

} // namespace coalmine::lab
