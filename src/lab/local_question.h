// The common part of `analyze --source` and `replay`: a configuration, a service and telemetry
// without a server.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"
#include "config/config.h"
#include "lab/sources.h"
#include "rollout/spec.h"

namespace coalmine::lab {

struct LocalQuestion {
  config::Config config;
  rollout::RolloutSpec spec;
  TelemetrySource source;
  std::int64_t now_ms = 0; // of a recording: its last sample
};

// config_path "": defaults. service "": the only one of the config. Problems of the config go to
// stderr with their places.
Result<LocalQuestion> local_question(const std::string& source, const std::string& config_path,
                                     const std::string& service);

// The config's block of that service, else the defaults.
Result<rollout::RolloutSpec> spec_of(const std::string& service, const config::Config& config);

// RFC 3339, Unix seconds, a duration before now_ms, "now" or "".
Result<std::int64_t> moment_of(const std::string& text, std::int64_t now_ms);

} // namespace coalmine::lab
