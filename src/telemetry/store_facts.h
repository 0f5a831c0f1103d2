// Facts about a telemetry store: the metrics that it knows, and how much it holds.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "telemetry/batch.h"

namespace coalmine {

struct MetricMetadata {
  std::string name; // Prometheus base name
  MetricKind kind = MetricKind::gauge;
  std::string unit;
  std::string help;
};

struct StoreStats {
  std::size_t series = 0;
  std::size_t head_samples = 0;
  std::uint64_t disk_bytes = 0;
  std::int64_t oldest_ms = 0;
  std::int64_t newest_ms = 0;
};

} // namespace coalmine
