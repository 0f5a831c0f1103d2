// The clock that queries are timed by.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>

#include "base/clock.h"

namespace coalmine::serve {

// Follows the given clock until stop(). From then on every deadline has passed, so that a stopping
// server does not wait for a heavy query. Any thread; clock must outlive it.
class QueryClock final : public Clock {
 public:
  explicit QueryClock(const Clock& clock) : clock_(clock) {}
  std::int64_t wall_ns() const override { return clock_.wall_ns(); }
  std::int64_t steady_ms() const override { return stopped_ ? INT64_MAX : clock_.steady_ms(); }
  void stop() { stopped_ = true; }
  bool stopped() const { return stopped_; }

 private:
  const Clock& clock_;
  std::atomic<bool> stopped_{false};
};

} // namespace coalmine::serve
