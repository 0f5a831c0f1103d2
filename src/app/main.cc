// The command line as a table: names, flags, help; the work is in commands.h, demo.h and cli/.
// SPDX-License-Identifier: Apache-2.0
#include <CLI/CLI.hpp>
#include <cstdlib>
#include <exception>
#include <functional>
#include <iostream>
#include <string>
#include <string_view>
#include <vector>

#include "app/commands.h"
#include "app/version.h"
#include "config/config_values.h"
#include "demo/demo.h"
#include "lab/commands.h"

namespace {

using namespace coalmine;
using cli::CommonFlags;

// What was typed. The chosen subcommand sets run; main calls it once everything is parsed.
struct Typed {
  CommonFlags common;
  app::ClientFlags client;
  app::ServeFlags serve;
  demo::DemoOptions demo;
  app::CheckFlags check;
  std::vector<std::string> promql_files;
  std::vector<std::string> vector_files;
  lab::SimulateFlags simulate;
  cli::AnalyzeOptions analyze;
  lab::AnalyzeSourceFlags analyze_source;
  lab::ReplayFlags replay;
  app::BackupFlags backup;
  cli::FailuresOptions failures;
  cli::QueryOptions query;
  cli::StartOptions start;
  cli::StatusOptions status;
  cli::CommandOptions command;
  std::function<int()> run;
};

void add_client(CLI::App& command, Typed& typed, std::function<int(const cli::Terminal&)> work) {
  command.callback([&typed, work = std::move(work)] {
    typed.run = [&typed, work] { return run_client(typed.client, typed.common, work); };
  });
}

void add_serve(CLI::App& root, Typed& typed) {
  auto& f = typed.serve;
  auto* c =
      root.add_subcommand("serve", "Receive telemetry, judge rollouts, serve the API and the page");
  c->add_option("-c,--config", f.config, "Config file, or a directory of them (docs/config.md)");
  c->add_option("--listen", f.listen, "Address of API and page (:7070; :PORT means 127.0.0.1)");
  c->add_option("--otlp-grpc", f.otlp_grpc, "Address for OTLP/gRPC (:4317)");
  c->add_option("--otlp-http", f.otlp_http, "Address for OTLP/HTTP (:4318)");
  c->add_option("--data", f.data, "Data directory (~/.local/state/coalmine)");
  c->add_option("--retention", f.retention, "Keep telemetry this long (24h)");
  c->add_option("--retention-size", f.retention_size, "Keep at most this much telemetry (8GiB)");
  c->add_option("--dashboard", f.dashboards, "Panel file to show; may be given several times")
      ->allow_extra_args(false);
  c->add_flag("--insecure", f.insecure, "Allow addresses that other machines reach without tokens");
  c->add_option("--log-level", typed.common.log_level, "debug, info, warn or error")
      ->check(CLI::IsMember({"debug", "info", "warn", "error"}));
  c->callback([&typed] {
    typed.serve.token_file = typed.client.token_file;
    typed.run = [&typed] { return run_serve(typed.serve, typed.common); };
  });
}

void add_demo(CLI::App& root, Typed& typed) {
  auto& f = typed.demo;
  auto* c = root.add_subcommand(
      "demo",
      "Real processes on this machine: bad releases are rolled back, a good one is promoted");
  c->add_flag("--ci", f.ci, "Unattended; exit 0 only if every scene ended as it should");
  c->add_option("--scenario", f.scenario, "Only one: bad-release, slow-tail, good-release");
  c->add_flag("--keep", f.keep, "Leave the working directory behind");
  c->add_option("--rps", f.rps, "Requests a second")->check(CLI::Range(1.0, 5000.0));
  c->add_option("--repeat", f.repeat, "Repeat all scenes this many times")
      ->check(CLI::Range(1, 1000));
  c->add_option("--assets", f.assets_dir, "Folder with the demo's services");
  c->callback([&typed] {
    typed.demo.no_color = typed.common.no_color;
    typed.run = [&typed] { return run_demo(typed.demo); };
  });
}

void add_questions(CLI::App& root, Typed& typed) {
  auto* analyze = root.add_subcommand("analyze", "One verdict now: promote, rollback or continue");
  analyze->add_option("service,--service", typed.analyze.service, "service.name")->required();
  analyze->add_option("--canary-version", typed.analyze.canary_version,
                      "service.version of the canary");
  analyze->add_option("--stable-version", typed.analyze.stable_version,
                      "service.version of stable");
  analyze->add_option("--window", typed.analyze.window,
                      "Look back this far (the service's own, 10m)");
  analyze->add_option(
      "--source", typed.analyze_source.source,
      "Without a server: URL of a Prometheus-compatible one, or a recording's path");
  analyze->add_option("-c,--config", typed.analyze_source.config,
                      "With --source: config file with the service's margins and stores");
  analyze->add_option("--at", typed.analyze_source.at,
                      "With --source: end of the window (now; a recording's end)");
  analyze->callback([&typed] {
    typed.run = [&typed] {
      const auto& local = typed.analyze_source;
      if (!local.source.empty() || !local.config.empty())
        return lab::run_analyze_source(local, typed.analyze, typed.common);
      return run_client(typed.client, typed.common, [&typed](const cli::Terminal& t) {
        return cli::analyze(t, typed.analyze);
      });
    };
  });

  auto* failures = root.add_subcommand("failures", "Failing requests of a version, newest first");
  failures->add_option("service,--service", typed.failures.service, "service.name")->required();
  failures->add_option("--version", typed.failures.version, "service.version");
  failures->add_option("--track", typed.failures.track, "canary, stable or any")
      ->check(CLI::IsMember({"canary", "stable", "any"}));
  failures->add_option("--limit", typed.failures.limit, "At most this many (20)");
  add_client(*failures, typed,
             [&typed](const cli::Terminal& t) { return cli::failures(t, typed.failures); });

  auto* query = root.add_subcommand("query", "Evaluate PromQL");
  query->add_option("promql", typed.query.promql, "The expression")->required();
  query->add_option("--range", typed.query.range, "Over this much time until now (1h)");
  query->add_option("--step", typed.query.step, "Between two points of --range (15s)");
  add_client(*query, typed,
             [&typed](const cli::Terminal& t) { return cli::query(t, typed.query); });
}

void add_rollout_verb(CLI::App& rollout, Typed& typed, const std::string& verb,
                      const std::string& help) {
  auto* c = rollout.add_subcommand(verb, help);
  c->add_option("target", typed.command.target,
                "Service (its newest rollout), or a rollout as '#42' or 42")
      ->required();
  c->add_option("--reason", typed.command.reason, "Why; kept in the log");
  add_client(*c, typed, [&typed, verb](const cli::Terminal& t) {
    typed.command.verb = verb;
    return cli::rollout_command(t, typed.command);
  });
}

void add_rollout(CLI::App& root, Typed& typed) {
  auto* rollout = root.add_subcommand("rollout", "Start, watch and steer rollouts");
  rollout->require_subcommand(1);
  rollout->fallthrough();
  auto* start = rollout->add_subcommand("start", "Start a rollout of a configured service");
  start->add_option("service", typed.start.service, "service.name")->required();
  start->add_option("--version,--canary-version", typed.start.canary_version,
                    "service.version of the canary (the newest seen)");
  start->add_option("--stable-version", typed.start.stable_version,
                    "service.version of stable (the newest seen)");
  start->add_flag("--wait", typed.start.wait,
                  "Wait until it ends or pauses; the exit code says how it ended");
  start->add_option("--timeout", typed.start.timeout, "Give up waiting after this time");
  add_client(*start, typed,
             [&typed](const cli::Terminal& t) { return cli::rollout_start(t, typed.start); });

  auto* status = rollout->add_subcommand("status", "Show a rollout");
  status
      ->add_option("target", typed.status.target,
                   "Service (its newest rollout), or a rollout as '#42' or 42")
      ->required();
  status->add_flag("-w,--watch", typed.status.watch, "Show changes until it ends");
  status->add_flag("--wait", typed.status.wait, "Wait until it ends or pauses");
  status->add_option("--timeout", typed.status.timeout, "Give up waiting after this time");
  add_client(*status, typed,
             [&typed](const cli::Terminal& t) { return cli::rollout_status(t, typed.status); });

  auto* list = rollout->add_subcommand("list", "All rollouts, newest first");
  add_client(*list, typed, [](const cli::Terminal& t) { return cli::rollout_list(t); });
  add_rollout_verb(*rollout, typed, "pause", "Hold the weight");
  add_rollout_verb(*rollout, typed, "resume", "Go on after a pause");
  add_rollout_verb(*rollout, typed, "promote", "Pass the current gate by hand (needs --reason)");
  add_rollout_verb(*rollout, typed, "abort",
                   "End the rollout; a router that moves traffic gives all of it back to stable");
  add_rollout_verb(*rollout, typed, "abandon",
                   "Give up a router that is gone: the rollout ends, the traffic stays as it is "
                   "(needs --reason)");
}

void add_simulate(CLI::App& root, Typed& typed) {
  auto& f = typed.simulate;
  auto* c =
      root.add_subcommand("simulate", "What the judge decides about releases whose truth is known");
  c->add_option("--rps", f.rps, "Requests a second of both tracks (200)")
      ->check(CLI::Range(0.01, 1e6));
  c->add_option("--error-rate", f.error_rate, "Error rate of stable, 0 to 1 (0.01)")
      ->check(CLI::Range(0.0, 1.0));
  c->add_option("--errors", f.errors_added, "Error rate added on the canary, 0 to 1 (0)")
      ->check(CLI::Range(0.0, 1.0));
  c->add_option("--latency", f.latency_factor, "Factor on the canary's durations (1)")
      ->check(CLI::Range(0.1, 100.0));
  c->add_option("--slow", f.slow_share, "Share of the canary's requests that is slow (0)")
      ->check(CLI::Range(0.0, 1.0));
  c->add_option("--slow-factor", f.slow_factor, "Factor on the durations of those (3)")
      ->check(CLI::Range(1.0, 1000.0));
  c->add_option("--from", f.from_minute, "Minute in which the difference begins (0)")
      ->check(CLI::Range(0.0, 1e4));
  c->add_option("--ramp", f.ramp_minutes, "Minutes until the difference is complete (0)")
      ->check(CLI::Range(0.0, 1e4));
  c->add_option("--clump", f.clump, "Size of the groups that errors come in (1)")
      ->check(CLI::Range(1.0, 100.0));
  c->add_option("--instances", f.instances, "Instances of stable (4)")->check(CLI::Range(1, 100));
  c->add_option("--routes", f.routes, "Routes of equal traffic (0: none)")
      ->check(CLI::Range(0, 500));
  c->add_option("--only-route", f.only_route, "Number of the only route that is worse, from 0")
      ->check(CLI::Range(0, 499));
  c->add_flag("--strict", f.strict, "Roll back only what is proven to be beyond the margin");
  c->add_option("--runs", f.runs, "Releases (1000)")->check(CLI::Range(1, 1000000));
  c->add_option("--seed", f.seed, "The same seed gives the same releases (1)");
  c->add_option("--table", f.table, "Print a table of docs/benchmarks.md instead")
      ->check(CLI::IsMember({"reference", "defaults", "exports", "latency"}));
  c->callback([&typed] {
    typed.run = [&typed] { return lab::run_simulate(typed.simulate, typed.common); };
  });
}

void add_local(CLI::App& root, Typed& typed) {
  auto* check = root.add_subcommand("check", "Check config and panel files");
  check->add_option("files", typed.check.files, "Files or directories")->required();
  check->add_flag("--explain", typed.check.explain,
                  "Say in words what each service's rollout does");
  check->add_flag("--strict", typed.check.strict, "Warnings are errors");
  check->add_flag("--live", typed.check.live, "The routers must answer, and have what is named");
  check
      ->add_option("--rps", typed.check.rps,
                   "Also say what the judge can decide at this many requests a second")
      ->check(CLI::Range(0.01, 1e6));
  check
      ->add_option("--error-rate", typed.check.error_rate,
                   "Error rate of stable, 0 to 1, with --rps (0.01)")
      ->check(CLI::Range(0.0, 1.0));
  check->callback(
      [&typed] { typed.run = [&typed] { return run_check(typed.check, typed.common); }; });

  auto* backup = root.add_subcommand(
      "backup", "Copy telemetry and journal into an empty directory, while the server works on");
  backup->add_option("directory", typed.backup.directory, "Where to; on the server's machine")
      ->required();
  backup->add_option("--data", typed.backup.data,
                     "Copy this data directory; its server must not be running");
  add_client(*backup, typed, [](const cli::Terminal&) { return cli::kExitUsage; });
  backup->callback([&typed] {
    typed.run = [&typed] { return run_backup(typed.backup, typed.client, typed.common); };
  });

  auto* promql = root.add_subcommand("promql-test", "Run PromQL test files in Prometheus's format");
  promql->add_option("files", typed.promql_files, "Test files")->required();
  promql->callback([&typed] {
    typed.run = [&typed] { return lab::run_promql_tests(typed.promql_files, typed.common); };
  });

  auto* vectors =
      root.add_subcommand("vectors", "Check the judges against files of golden vectors");
  vectors->add_option("files", typed.vector_files, "Vectors files")->required();
  vectors->callback([&typed] {
    typed.run = [&typed] { return lab::run_vectors(typed.vector_files, typed.common); };
  });

  auto* replay =
      root.add_subcommand("replay", "What a config would have decided about past releases");
  replay->add_option("service,--service", typed.replay.service,
                     "service.name (the only one of the config)");
  replay->add_option(
      "--source", typed.replay.source,
      "URL of a Prometheus-compatible server (a running coalmine is one), or a recording's path");
  replay->add_option("-c,--config", typed.replay.config, "Config file to judge by");
  replay->add_option("--from", typed.replay.from, "Beginning: 30d ago, or a time (30d)");
  replay->add_option("--to", typed.replay.to, "End (now; a recording's end)");
  replay->add_option("--runs", typed.replay.runs, "Random splits of stable for the rates (200)")
      ->check(CLI::Range(0, 100000));
  replay->add_option("--seed", typed.replay.seed, "Of the random splits (1)");
  replay->callback(
      [&typed] { typed.run = [&typed] { return lab::run_replay(typed.replay, typed.common); }; });

  auto* version = root.add_subcommand("version", "Print the version");
  version->callback([&typed] { typed.run = [&typed] { return app::run_version(typed.common); }; });
}

void add_common(CLI::App& root, Typed& typed) {
  root.add_option("-o,--output", typed.common.output,
                  "text or json; of a verdict also junit or github")
      ->check(CLI::IsMember({"text", "json", "junit", "github"}));
  root.add_flag("--no-color", typed.common.no_color, "No colour (also NO_COLOR)");
  root.add_flag("-q,--quiet", typed.common.quiet, "Only the result");
  root.add_option("--server", typed.client.server,
                  "Server to talk to (COALMINE_SERVER, else http://127.0.0.1:7070)");
  root.add_option("--token-file", typed.client.token_file,
                  "File with the token: asked for by serve, sent by the others");
}

// `rollout stats` and the like: CLI11 only says that a subcommand is missing.
bool explain_wrong_word(CLI::App& root) {
  CLI::App* at = &root;
  while (!at->get_subcommands().empty()) at = at->get_subcommands().front();
  std::vector<std::string_view> known;
  for (const auto* command : at->get_subcommands([](const CLI::App*) { return true; }))
    known.push_back(command->get_name());
  for (const auto& word : root.remaining(true)) {
    if (word.starts_with('-') || known.empty()) continue;
    const std::string close = config::did_you_mean(word, known);
    std::cerr << "coalmine: unknown command \"" << word << '"'
              << (close.empty() ? "" : " - did you mean \"" + close + "\"?")
              << "\n  All commands:   " << (at == &root ? "coalmine" : "coalmine " + at->get_name())
              << " --help\n";
    return true;
  }
  return false;
}

int main_checked(int argc, char** argv) {
  Typed typed;
  CLI::App root{
      "coalmine watches a canary release through OpenTelemetry and rolls it back or promotes it.",
      "coalmine"};
  root.require_subcommand(1);
  root.fallthrough();
  root.set_version_flag("--version", "coalmine " + std::string(app::kVersion));
  add_common(root, typed);
  add_serve(root, typed);
  add_demo(root, typed);
  add_questions(root, typed);
  add_rollout(root, typed);
  add_local(root, typed);
  add_simulate(root, typed);
  root.footer(
      "Exit codes: 0 good, 1 bad canary, 2 usage or config, 3 undecided, 4 no data, 5 "
      "unreachable.");
  try {
    root.parse(argc, argv);
  } catch (const CLI::ParseError& problem) {
    const bool wanted = dynamic_cast<const CLI::Success*>(&problem) != nullptr; // --help, --version
    if (!wanted && explain_wrong_word(root)) return cli::kExitUsage;
    return root.exit(problem) == 0 ? cli::kExitGood : cli::kExitUsage;
  }
  const char* user = std::getenv("USER");
  typed.start.actor = typed.command.actor =
      user != nullptr && *user != '\0' ? std::string(user) + " (cli)" : "cli";
  return typed.run();
}

} // namespace

int main(int argc, char** argv) {
  try {
    return main_checked(argc, argv);
  } catch (const std::exception& problem) {
    std::cerr << "coalmine: stopped by an unexpected failure: " << problem.what() << '\n';
    return 70;
  }
}
