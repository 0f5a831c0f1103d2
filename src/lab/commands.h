// The commands that compute locally, without a server: each takes its parsed flags, does its work
// and returns the exit code (docs/cli.md). Called once, on the main thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "cli/flags.h"

namespace coalmine::lab {

// Simulated releases, and the decisions of the sequential judge with its defaults.
struct SimulateFlags {
  double rps = 200;
  double error_rate = 0.01; // of stable
  double errors_added = 0;  // on the canary: 0.01 is one percentage point
  double latency_factor = 1;
  double slow_share = 0; // of the canary's requests, slower by slow_factor
  double slow_factor = 3;
  double from_minute = 0;
  double ramp_minutes = 0;
  double clump = 1;
  int instances = 4;
  int routes = 0;
  int only_route = -1;
  bool strict = false;
  std::size_t runs = 1000;
  std::uint64_t seed = 1;
  std::string table; // reference, defaults, exports, latency, hard
};

// analyze --source and its further flags.
struct AnalyzeSourceFlags {
  std::string source; // URL or recording
  std::string config;
  std::string at; // end of the window; "": now, or the recording's end
};

struct ReplayFlags {
  std::string service;
  std::string source;
  std::string config;
  std::string from = "30d";
  std::string to;
  int runs = 200;
  std::uint64_t seed = 1;
};

int run_analyze_source(const AnalyzeSourceFlags& flags, const cli::AnalyzeOptions& typed,
                       const cli::CommonFlags& common);
int run_replay(const ReplayFlags& flags, const cli::CommonFlags& common);
int run_promql_tests(const std::vector<std::string>& files, const cli::CommonFlags& common);
int run_vectors(const std::vector<std::string>& files, const cli::CommonFlags& common);
int run_simulate(const SimulateFlags& flags, const cli::CommonFlags& common);

} // namespace coalmine::lab
