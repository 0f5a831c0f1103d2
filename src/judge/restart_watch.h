// Counts how often processes begin anew under a name that they keep. A part of one judge; one
// thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <deque>
#include <string>

#include "telemetry/cell.h"

namespace coalmine::judge {

class RestartWatch {
 public:
  static constexpr std::int64_t kWindowMs = 10 * 60'000;

  // Cells follow each other in time.
  void add(const CountCell& cell);

  // The process of a track that began anew most often in the last ten minutes.
  struct Most {
    std::string instance;
    std::uint32_t restarts = 0; // 0: none did
  };
  Most most(Track track) const;

 private:
  struct Restart {
    std::int64_t at_ms = 0;
    Track track = Track::stable;
    std::string instance;
    std::uint32_t times = 0;
  };
  std::deque<Restart> restarts_;
};

} // namespace coalmine::judge
