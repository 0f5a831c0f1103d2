// What the table of commands calls: each command takes what was typed, does its work and returns
// the exit code (docs/cli.md).
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "cli/flags.h"

namespace coalmine::app {

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
  bool live = false;        // the routers must answer
  double rps = 0;           // of both tracks; 0: nothing is told of what the traffic can decide
  double error_rate = 0.01; // of stable, with rps
  std::string source;       // where stable's traffic is; "": no rates on it are told
  int runs = 200;           // made-up releases for them
};

int run_serve(const ServeFlags& flags, const cli::CommonFlags& common);
int run_check(const CheckFlags& flags, const cli::CommonFlags& common);
int run_backup(const BackupFlags& flags, const ClientFlags& client, const cli::CommonFlags& common);
int run_version(const cli::CommonFlags& common);

// Runs a command of cli/ against the server that the flags name.
int run_client(const ClientFlags& client, const cli::CommonFlags& common,
               const std::function<int(const cli::Terminal&)>& command);

} // namespace coalmine::app
