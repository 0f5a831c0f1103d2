// The command line as a table: names, flags, help; the work is in commands.h, demo.h, lab/ and
// cli/.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <string>
#include <vector>

#include "app/command/commands.h"
#include "cli/cli.h"
#include "demo/demo.h"
#include "lab/commands.h"

namespace coalmine::app {

// What was typed. The chosen subcommand sets run; it is called once everything is parsed.
struct Typed {
  cli::CommonFlags common;
  ClientFlags client;
  ServeFlags serve;
  demo::DemoOptions demo;
  CheckFlags check;
  std::vector<std::string> promql_files;
  std::vector<std::string> vector_files;
  lab::SimulateFlags simulate;
  cli::AnalyzeOptions analyze;
  lab::AnalyzeSourceFlags analyze_source;
  lab::ReplayFlags replay;
  BackupFlags backup;
  cli::FailuresOptions failures;
  cli::QueryOptions query;
  cli::StartOptions start;
  cli::StatusOptions status;
  cli::ListOptions list;
  std::string log_target;
  std::string services_of;
  std::string doctor_of;
  std::string config_of;
  cli::CommandOptions command;
  std::function<int()> run{};
};

// Adds every command. typed outlives root.
void add_commands(CLI::App& root, Typed& typed);

} // namespace coalmine::app
