// The times of an instance's first and last report.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

namespace coalmine {

// First and last telemetry of one (service, track, version, instance), metrics and spans alike. The
// age of a canary is taken from here.
struct Presence {
  std::string service;
  std::string track;
  std::string version;
  std::string instance;
  std::string environment;
  std::int64_t first_ms = 0;
  std::int64_t last_ms = 0;
  std::int64_t export_interval_ms = 0; // longest seen between two metric exports; 0: unknown
  // When its newest telemetry came in, by the server's clock; telemetry may come late. 0: not since
  // the start.
  std::int64_t last_arrival_ms = 0;
};

} // namespace coalmine
