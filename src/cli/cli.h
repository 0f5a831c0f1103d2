// The commands that talk to a running server: they ask over its HTTP API, print the answer, and
// return an exit code for scripts. docs/cli.md is the reference.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <ostream>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "net/http_client.h"

namespace coalmine::cli {

// Exit codes: a stable interface for scripts.
enum Exit : int {
  kExitGood = 0,        // promote, promoted, done
  kExitBad = 1,         // rollback, rolled back, aborted
  kExitUsage = 2,       // wrong usage or configuration
  kExitUndecided = 3,   // continue, inconclusive, paused for a person, time ran out
  kExitNoData = 4,      // nothing came of one or both tracks: too young, quiet, or unseen
  kExitUnreachable = 5, // the server (or its store) cannot be reached
  kExitRouter = 6,      // the router of a running rollout does not do what it is asked
};

enum class Output { text, json, junit, github };

// How a command sees the world. Tests stand in for each part. One thread; everything must outlive
// the command.
struct Terminal {
  net::HttpClient& http;
  const Clock& clock;
  std::ostream& out;                                    // results
  std::ostream& err;                                    // messages
  std::function<void(std::chrono::milliseconds)> sleep; // between two polls
  std::string server = "http://127.0.0.1:7070";
  std::string token{}; // sent as a bearer token when not empty
  Output output = Output::text;
  std::function<std::string(const char*)> environment{}; // of the process; empty: nothing is set
  bool color = false;
  bool interactive = false; // out is a terminal that can be redrawn
  bool quiet = false;       // no "Next:" line, no progress
  bool utc = false;         // times in UTC instead of local time
};

struct AnalyzeOptions {
  std::string service{};
  std::string canary_version{};
  std::string stable_version{};
  std::string window{}; // 10m; "": the service's own
};
struct FailuresOptions {
  std::string service{};
  std::string version{};
  std::string track = "canary"; // "any" for both
  int limit = 20;
};
struct QueryOptions {
  std::string promql{};
  std::string range{}; // 1h; "": an instant query
  std::string step{};  // 15s; "": range / 60
};
struct StartOptions {
  std::string service{};
  std::string canary_version{};
  std::string stable_version{};
  std::string actor{};
  bool wait = false;
  std::string timeout{};
};
struct StatusOptions {
  std::string target{}; // a service (its newest rollout) or a rollout's number
  bool watch = false;   // show changes until it ends
  bool wait = false;    // until it ends or pauses
  std::string timeout{};
};
struct ListOptions {
  std::string service{}; // "": of all
  std::string phase{};   // "": any
  int limit = 0;         // 0: all
};
struct CommandOptions {
  std::string verb{}; // pause, resume, promote, abort, abandon, undo
  bool full = false;  // of promote: all steps that are left
  std::string target{};
  std::string reason{};
  std::string actor{};
};

using Environment = std::function<std::string(const char* name)>; // "" when it is not set

// Prints a verdict (the JSON of POST /v1/analyze) in the terminal's form and returns its exit code.
// On GitHub Actions (GITHUB_ACTIONS=true in env) the job's summary and outputs are written as well,
// and an annotation where the canary is bad.
int print_verdict(const Terminal& terminal, const std::string& verdict_json,
                  const std::string& service, const Environment& env);

// A duration as it is typed (10m, 1h30m, 90s, 500ms, 30d), in milliseconds; -1 for any other text.
std::int64_t parse_duration_text(std::string_view text);

struct BackupOptions {
  std::string directory{}; // absolute, on the server's machine
};

// Each returns the exit code.
int analyze(const Terminal& terminal, const AnalyzeOptions& options);
int failures(const Terminal& terminal, const FailuresOptions& options);
int query(const Terminal& terminal, const QueryOptions& options);
int backup(const Terminal& terminal, const BackupOptions& options);
int rollout_start(const Terminal& terminal, const StartOptions& options);
// Starts the versions of a rollout that was not promoted again. start.service: target as in
// StatusOptions; the versions are those of the rollout.
int rollout_retry(const Terminal& terminal, StartOptions start);
int rollout_status(const Terminal& terminal, const StatusOptions& options);
int rollout_list(const Terminal& terminal, const ListOptions& options);
// target as in StatusOptions.
int rollout_log(const Terminal& terminal, const std::string& target);
// service: "" for all.
int services(const Terminal& terminal, const std::string& service);
int rollout_command(const Terminal& terminal, const CommandOptions& options);
// What is right and what is wrong with the server, its services and their telemetry. kExitUndecided
// when something is wrong. service: "" for all.
int doctor(const Terminal& terminal, const std::string& service);
// The configuration in force. service: "" for all.
int config_show(const Terminal& terminal, const std::string& service);

} // namespace coalmine::cli
