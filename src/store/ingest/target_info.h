// The series target_info: the attributes of a resource that its other series do not carry
// (OpenTelemetry "Prometheus and OpenMetrics compatibility").
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>

#include "store/ingest/stage.h"
#include "telemetry/resource.h"

namespace coalmine::store {

// The resources of one batch whose points were taken. Lives for one append.
class TargetInfo {
 public:
  void see(const Resource& resource, std::int64_t time_ms);
  // Adds one sample a resource, at its newest point. A series that is refused is left out: the
  // sender did not send it, so nothing is reported.
  void put(Stage& stage) const;

 private:
  std::map<const Resource*, std::int64_t> newest_ms_;
  const Resource* before_ = nullptr;
  std::int64_t* before_ms_ = nullptr;
};

} // namespace coalmine::store
