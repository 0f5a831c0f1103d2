// What main.cc's table calls: each command takes what was typed, does its work and returns the exit
// code (docs/cli.md).
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "cli/cli.h"

namespace coalmine::app {

// Flags that several commands share.
struct CommonFlags {
  std::string output = "text"; // text, json; a verdict also junit, github
  bool no_color = false;
  bool quiet = false;
  std::string log_level = "info";
};

struct ServeFlags {
  std::string config;
  std::string listen;
  std::string otlp_grpc;
  std::string otlp_http;
  std::string data;
  std::string retention;
  std::string retention_size;
  std::vector<std::string> dashboards;
  bool insecure = false;
  std::string token_file;
};

struct ClientFlags {
  std::string server;     // "": COALMINE_SERVER, else http://127.0.0.1:7070
  std::string token_file; // "": COALMINE_TOKEN_FILE, else none
};

struct BackupFlags {
  std::string directory;
  std::string data; // "": through the running server
};

struct CheckFlags {
  std::vector<std::string> files;
  bool explain = false;
  bool strict = false;      // warnings are errors
  double rps = 0;           // of both tracks; 0: nothing is told of what the traffic can decide
  double error_rate = 0.01; // of stable, with rps
};

// Releases that never happened: what the sequential judge with its defaults decides about them.
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
  std::string table; // reference, defaults
};

// analyze --source, and what else it needs.
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
                       const CommonFlags& common);
int run_replay(const ReplayFlags& flags, const CommonFlags& common);
int run_serve(const ServeFlags& flags, const CommonFlags& common);
int run_check(const CheckFlags& flags, const CommonFlags& common);
int run_backup(const BackupFlags& flags, const ClientFlags& client, const CommonFlags& common);
int run_version(const CommonFlags& common);
int run_promql_tests(const std::vector<std::string>& files, const CommonFlags& common);
int run_vectors(const std::vector<std::string>& files, const CommonFlags& common);
int run_simulate(const SimulateFlags& flags, const CommonFlags& common);

// Runs a command of cli/ against the server that the flags name.
int run_client(const ClientFlags& client, const CommonFlags& common,
               const std::function<int(const cli::Terminal&)>& command);

cli::Output output_of(const CommonFlags& common);
// A variable of the process; "" when it is not set.
std::string environment(const char* name);

// Colour on this stream: a terminal, and neither --no-color nor NO_COLOR nor TERM=dumb.
bool use_color(int descriptor, const CommonFlags& common);

} // namespace coalmine::app
