// The services, metrics and sizes that the server holds, for the answers that list them.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "telemetry/presence.h"
#include "telemetry/store_facts.h"

namespace coalmine::serve {

// Thread-safe and quick. Reads memory only.
class Holdings {
 public:
  virtual ~Holdings() = default;
  virtual std::vector<Presence> presence() const = 0;
  virtual std::vector<MetricMetadata> metadata() const = 0;
  virtual StoreStats stats() const = 0;
};

} // namespace coalmine::serve
