// SPDX-License-Identifier: Apache-2.0
#include "telemetry/sample_columns.h"

namespace coalmine {

void SampleColumns::clear() {
  times.clear();
  values.clear();
  width = 1;
  bounds = nullptr;
  hidden = 0;
  uniform = true;
}

double* SampleColumns::add(std::int64_t time_ms) {
  times.push_back(time_ms);
  values.resize(times.size() * width);
  return values.data() + (times.size() - 1) * width;
}

void SampleColumns::set_bounds(const BucketBounds& next) {
  if (next == bounds) return;
  if (bounds == nullptr && times.empty()) {
    bounds = next;
    width = next->size() + 1;
  } else if (*next != *bounds) {
    uniform = false;
  }
}

void SampleColumns::add_buckets(std::int64_t time_ms, std::span<const std::uint64_t> counts,
                                std::uint64_t total) {
  double* row = add(time_ms);
  std::uint64_t below = 0;
  for (std::size_t i = 0; i + 1 < width; ++i) {
    if (i < counts.size()) below += counts[i];
    row[i] = static_cast<double>(below);
  }
  row[width - 1] = static_cast<double>(total);
}

void SampleColumns::append(const SampleColumns& later) {
  uniform = uniform && later.uniform;
  if (later.times.empty()) return;
  if (later.bounds != nullptr) set_bounds(later.bounds);
  if (!uniform) return;
  hidden += later.hidden;
  times.insert(times.end(), later.times.begin(), later.times.end());
  values.insert(values.end(), later.values.begin(), later.values.end());
}

} // namespace coalmine
