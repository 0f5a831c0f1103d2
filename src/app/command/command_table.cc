// SPDX-License-Identifier: Apache-2.0
#include "app/command/command_table.h"

#include <iostream>
#include <utility>

#include "app/command/completion.h"
#include "app/command/typed_values.h"

namespace coalmine::app {
namespace {

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
  c->add_option("--listen", f.listen,
                "Address of API and page; :PORT means 127.0.0.1 [default: :7070]");
  c->add_option("--otlp-grpc", f.otlp_grpc, "Address for OTLP/gRPC [default: :4317]");
  c->add_option("--otlp-http", f.otlp_http, "Address for OTLP/HTTP [default: :4318]");
  c->add_option("--data", f.data, "Data directory [default: ~/.local/state/coalmine]");
  c->add_option("--retention", f.retention, "Keep telemetry this long [default: 24h]");
  c->add_option("--retention-size", f.retention_size,
                "Keep at most this much telemetry [default: 8GiB]");
  c->add_option("--dashboard", f.dashboards, "Panel file to show; may be given several times")
      ->allow_extra_args(false);
  c->add_flag("--insecure", f.insecure, "Allow addresses that other machines reach without tokens");
  c->add_option("--log-level", typed.common.log_level, "debug, info, warn or error [default: info]")
      ->check(one_of({"debug", "info", "warn", "error"}));
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
  c->add_option("--rps", f.rps, "Requests a second of a scene")->check(between(1.0, 5000.0));
  c->add_option("--repeat", f.repeat, "Repeat all scenes this many times")->check(between(1, 1000));
  c->add_option("--assets", f.assets_dir, "Folder with the demo's services");
  c->callback([&typed] {
    typed.demo.no_color = typed.common.no_color;
    typed.run = [&typed] { return run_demo(typed.demo); };
  });
}

void add_questions(CLI::App& root, Typed& typed) {
  auto* analyze = root.add_subcommand("analyze", "One verdict now: promote, rollback or continue");
  analyze->add_option("service", typed.analyze.service, "service.name")->required();
  analyze->add_option("--canary-version", typed.analyze.canary_version,
                      "service.version of the canary");
  analyze->add_option("--stable-version", typed.analyze.stable_version,
                      "service.version of stable");
  analyze->add_option("--window", typed.analyze.window,
                      "Look back this far [default: the service's own, else 10m]");
  analyze->add_option(
      "--source", typed.analyze_source.source,
      "Without a server: URL of a Prometheus-compatible one, or a recording's path");
  analyze->add_option("-c,--config", typed.analyze_source.config,
                      "With --source: config file with the service's margins and stores");
  analyze->add_option("--at", typed.analyze_source.at,
                      "With --source: end of the window [default: now, or a recording's end]");
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
  failures->add_option("service", typed.failures.service, "service.name")->required();
  failures->add_option("--version", typed.failures.version, "service.version");
  failures->add_option("--track", typed.failures.track, "canary, stable or any [default: canary]")
      ->check(one_of({"canary", "stable", "any"}));
  failures->add_option("--limit", typed.failures.limit, "At most this many [default: 20]");
  add_client(*failures, typed,
             [&typed](const cli::Terminal& t) { return cli::failures(t, typed.failures); });

  auto* services = root.add_subcommand("services", "Who sends telemetry: versions and instances");
  services->add_option("service", typed.services_of, "Only this service.name");
  add_client(*services, typed,
             [&typed](const cli::Terminal& t) { return cli::services(t, typed.services_of); });

  auto* doctor = root.add_subcommand("doctor", "What is missing or wrong, and what to do");
  doctor->add_option("service", typed.doctor_of, "Only this service.name");
  add_client(*doctor, typed,
             [&typed](const cli::Terminal& t) { return cli::doctor(t, typed.doctor_of); });

  auto* config = root.add_subcommand("config", "The server's configuration");
  config->require_subcommand(1);
  config->fallthrough();
  auto* show = config->add_subcommand("show", "What rollouts will do, as the server knows it now");
  show->add_option("service", typed.config_of, "Only this service.name");
  add_client(*show, typed,
             [&typed](const cli::Terminal& t) { return cli::config_show(t, typed.config_of); });

  auto* query = root.add_subcommand("query", "Evaluate PromQL");
  query->add_option("promql", typed.query.promql, "The expression")->required();
  query->add_option("--range", typed.query.range,
                    "Over this much time until now, like 1h [default: now alone]");
  query->add_option("--step", typed.query.step,
                    "Between two points of --range, like 15s [default: a sixtieth of it]");
  add_client(*query, typed,
             [&typed](const cli::Terminal& t) { return cli::query(t, typed.query); });
}

constexpr auto kTarget = "Service (its newest rollout), or a rollout as '#42' or 42";

void add_rollout_verb(CLI::App& rollout, Typed& typed, const std::string& verb,
                      const std::string& help) {
  auto* c = rollout.add_subcommand(verb, help);
  c->add_option("target", typed.command.target, kTarget)->required();
  c->add_option("--reason", typed.command.reason, "Why; kept in the log");
  if (verb == "promote")
    c->add_flag("--full", typed.command.full, "Pass all the steps that are left: 100% at once");
  add_client(*c, typed, [&typed, verb](const cli::Terminal& t) {
    typed.command.verb = verb;
    return cli::rollout_command(t, typed.command);
  });
}

void add_retry(CLI::App& rollout, Typed& typed) {
  auto* retry = rollout.add_subcommand(
      "retry", "Start a rollout that was not promoted again, with its versions");
  retry->add_option("target", typed.start.service, kTarget)->required();
  retry->add_flag("--wait", typed.start.wait,
                  "Wait until it ends or pauses; the exit code says how it ended");
  retry->add_option("--timeout", typed.start.timeout, "Give up waiting after this time");
  add_client(*retry, typed,
             [&typed](const cli::Terminal& t) { return cli::rollout_retry(t, typed.start); });
}

void add_rollout(CLI::App& root, Typed& typed) {
  auto* rollout = root.add_subcommand("rollout", "Start, watch and steer rollouts");
  rollout->require_subcommand(1);
  rollout->fallthrough();
  auto* start = rollout->add_subcommand("start", "Start a rollout of a configured service");
  start->add_option("service", typed.start.service, "service.name")->required();
  start->add_option("--version,--canary-version", typed.start.canary_version,
                    "service.version of the canary [default: the newest seen]");
  start->add_option("--stable-version", typed.start.stable_version,
                    "service.version of stable [default: the newest seen]");
  start->add_flag("--wait", typed.start.wait,
                  "Wait until it ends or pauses; the exit code says how it ended");
  start->add_option("--timeout", typed.start.timeout, "Give up waiting after this time");
  add_client(*start, typed,
             [&typed](const cli::Terminal& t) { return cli::rollout_start(t, typed.start); });

  add_retry(*rollout, typed);

  auto* status = rollout->add_subcommand("status", "Show a rollout");
  status->add_option("target", typed.status.target, kTarget)->required();
  status->add_flag("-w,--watch", typed.status.watch, "Show changes until it ends");
  status->add_flag("--wait", typed.status.wait, "Wait until it ends or pauses");
  status->add_option("--timeout", typed.status.timeout, "Give up waiting after this time");
  add_client(*status, typed,
             [&typed](const cli::Terminal& t) { return cli::rollout_status(t, typed.status); });

  auto* list = rollout->add_subcommand("list", "Rollouts, newest first");
  list->add_option("--service", typed.list.service, "Only those of this service.name");
  list->add_option("--phase", typed.list.phase, "Only those in this phase, like paused")
      ->check(one_of({"progressing", "paused", "rolling_back", "promoted", "rolled_back", "aborted",
                      "abandoned"}));
  list->add_option("--limit", typed.list.limit, "At most this many [default: all]")
      ->check(between(1, 1e6));
  add_client(*list, typed,
             [&typed](const cli::Terminal& t) { return cli::rollout_list(t, typed.list); });

  auto* log = rollout->add_subcommand("log", "What happened in a rollout, oldest first");
  log->add_option("target", typed.log_target, kTarget)->required();
  add_client(*log, typed,
             [&typed](const cli::Terminal& t) { return cli::rollout_log(t, typed.log_target); });
  add_rollout_verb(*rollout, typed, "pause", "Hold the weight");
  add_rollout_verb(*rollout, typed, "resume", "Go on after a pause");
  add_rollout_verb(*rollout, typed, "promote", "Pass the current gate by hand (needs --reason)");
  add_rollout_verb(*rollout, typed, "abort",
                   "End the rollout; a router that moves traffic gives all of it back to stable");
  add_rollout_verb(*rollout, typed, "abandon",
                   "Give up a router that is gone: the rollout ends, the traffic stays as it is "
                   "(needs --reason)");
  add_rollout_verb(*rollout, typed, "undo",
                   "Take a promoted release back: the router gives its traffic to stable");
}

void add_simulate(CLI::App& root, Typed& typed) {
  auto& f = typed.simulate;
  auto* c =
      root.add_subcommand("simulate", "Simulate releases to see how often the judge is right");
  c->add_option("--rps", f.rps, "Requests a second of both tracks [default: 200]")
      ->check(between(0.01, 1e6));
  c->add_option("--error-rate", f.error_rate, "Error rate of stable, like 1% or 0.01 [default: 1%]")
      ->transform(share());
  c->add_option("--errors", f.errors_added,
                "Error rate added on the canary, like 1% or 0.01 [default: 0]")
      ->transform(share());
  c->add_option("--latency", f.latency_factor, "Factor on the canary's durations [default: 1]")
      ->check(between(0.1, 100.0));
  c->add_option("--slow", f.slow_share,
                "Share of the canary's requests that is slow, like 2% [default: 0]")
      ->transform(share());
  c->add_option("--slow-factor", f.slow_factor, "Factor on the durations of those [default: 3]")
      ->check(between(1.0, 1000.0));
  c->add_option("--from", f.from_minute, "Minute in which the difference begins [default: 0]")
      ->check(between(0.0, 1e4));
  c->add_option("--ramp", f.ramp_minutes, "Minutes until the difference is complete [default: 0]")
      ->check(between(0.0, 1e4));
  c->add_option("--clump", f.clump, "Size of the groups that errors come in [default: 1]")
      ->check(between(1.0, 100.0));
  c->add_option("--instances", f.instances, "Instances of stable [default: 4]")
      ->check(between(1, 100));
  c->add_option("--routes", f.routes, "Routes of equal traffic [default: none]")
      ->check(between(0, 500));
  c->add_option("--only-route", f.only_route, "Number of the only route that is worse, from 0")
      ->check(between(0, 499));
  c->add_flag("--strict", f.strict, "Roll back only what is proven to be beyond the margin");
  c->add_option("--runs", f.runs, "Releases [default: 1000]")->check(between(1, 1000000));
  c->add_option("--seed", f.seed, "The same seed gives the same releases [default: 1]");
  c->add_option("--table", f.table, "Print a table of docs/benchmarks.md instead")
      ->check(one_of({"reference", "defaults", "exports", "latency", "hard"}));
  c->callback([&typed] {
    typed.run = [&typed] { return lab::run_simulate(typed.simulate, typed.common); };
  });
}

void add_replay(CLI::App& root, Typed& typed) {
  auto* replay =
      root.add_subcommand("replay", "What a config would have decided about past releases");
  replay->add_option("service", typed.replay.service,
                     "service.name [default: the only one of the config]");
  replay->add_option(
      "--source", typed.replay.source,
      "URL of a Prometheus-compatible server (a running coalmine is one), or a recording's path");
  replay->add_option("-c,--config", typed.replay.config, "Config file to judge by");
  replay->add_option("--from", typed.replay.from,
                     "Beginning: how long ago, or a time [default: 30d]");
  replay->add_option("--to", typed.replay.to, "End [default: now, or a recording's end]");
  replay
      ->add_option("--runs", typed.replay.runs,
                   "Random splits of stable for the rates [default: 200]")
      ->check(between(0, 100000));
  replay->add_option("--seed", typed.replay.seed, "Of the random splits [default: 1]");
  replay->callback(
      [&typed] { typed.run = [&typed] { return lab::run_replay(typed.replay, typed.common); }; });
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
      ->check(between(0.01, 1e6));
  check
      ->add_option("--error-rate", typed.check.error_rate,
                   "Error rate of stable, like 1% or 0.01, with --rps [default: 1%]")
      ->transform(share());
  check->add_option("--source", typed.check.source,
                    "Also say how often each service's config rolls back stable's own traffic; a "
                    "URL or a recording, as of replay");
  check
      ->add_option("--runs", typed.check.runs,
                   "Made-up releases of each kind, with --source [default: 200]")
      ->check(between(1, 100000));
  check->callback(
      [&typed] { typed.run = [&typed] { return run_check(typed.check, typed.common); }; });

  auto* backup = root.add_subcommand("backup", "Back up a running server into an empty directory");
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

  add_replay(root, typed);

  auto* completion =
      root.add_subcommand("completion", "Print a script that completes commands in bash and zsh");
  completion->callback([&root, &typed] {
    typed.run = [&root] {
      std::cout << completion_script(root);
      return cli::kExitGood;
    };
  });

  auto* version = root.add_subcommand("version", "Print the version");
  version->callback([&typed] { typed.run = [&typed] { return run_version(typed.common); }; });
}

void add_common(CLI::App& root, Typed& typed) {
  root.add_option("-o,--output", typed.common.output,
                  "text or json; of a verdict also junit or github [default: text]")
      ->check(one_of({"text", "json", "junit", "github"},
                     "use text or json, or junit or github for a verdict"));
  root.add_flag("--no-color", typed.common.no_color, "No colour (also NO_COLOR)");
  root.add_flag("-q,--quiet", typed.common.quiet, "Only the result");
  root.add_option("--server", typed.client.server,
                  "Server to talk to [default: COALMINE_SERVER, else http://127.0.0.1:7070]");
  root.add_option("--token-file", typed.client.token_file,
                  "File with the token: asked for by serve, sent by the others");
}

void add_examples(CLI::App& root) {
  constexpr std::pair<const char*, const char*> kExamples[] = {
      {"serve", "coalmine serve -c checkout.yaml"},
      {"demo", "coalmine demo"},
      {"analyze", "coalmine analyze checkout --canary-version 2.4.0 --window 10m"},
      {"failures", "coalmine failures checkout --version 2.4.0"},
      {"services", "coalmine services checkout"},
      {"doctor", "coalmine doctor checkout"},
      {"config", "coalmine config show checkout"},
      {"query", "coalmine query 'sum(rate(http_server_request_total[5m]))' --range 1h --step 1m"},
      {"check", "coalmine check checkout.yaml --explain --rps 20"},
      {"backup", "coalmine backup /var/backups/coalmine"},
      {"promql-test", "coalmine promql-test rules.test"},
      {"vectors", "coalmine vectors tests/judge/vectors.json"},
      {"replay", "coalmine replay -c checkout.yaml --from 30d --source http://prometheus:9090"},
      {"simulate", "coalmine simulate --rps 20 --errors 1% --runs 200"},
      {"version", "coalmine version -o json"},
      {"completion", "source <(coalmine completion)"},
  };
  constexpr std::pair<const char*, const char*> kRolloutExamples[] = {
      {"start", "coalmine rollout start checkout --version 2.4.0 --wait --timeout 40m"},
      {"status", "coalmine rollout status checkout --watch"},
      {"list", "coalmine rollout list --service checkout --limit 5"},
      {"log", "coalmine rollout log checkout"},
      {"pause", "coalmine rollout pause checkout --reason 'looking at latency'"},
      {"resume", "coalmine rollout resume checkout"},
      {"promote",
       "coalmine rollout promote checkout --reason 'errors are known, ticket 123'\n"
       "  coalmine rollout promote checkout --full --reason 'hotfix, ticket 124'"},
      {"retry", "coalmine rollout retry checkout --wait"},
      {"undo", "coalmine rollout undo checkout --reason 'invoices are wrong'"},
      {"abort", "coalmine rollout abort checkout --reason 'wrong version'"},
      {"abandon", "coalmine rollout abandon checkout --reason 'the proxy was replaced'"},
  };
  const auto add = [](CLI::App& command, const char* example) {
    command.footer(std::string("Example:\n  ") + example);
  };
  for (const auto& [name, example] : kExamples) add(*root.get_subcommand(name), example);
  add(*root.get_subcommand("config")->get_subcommand("show"), "coalmine config show checkout");
  auto& rollout = *root.get_subcommand("rollout");
  add(rollout, kRolloutExamples[0].second);
  for (const auto& [name, example] : kRolloutExamples) add(*rollout.get_subcommand(name), example);
}

} // namespace

void add_commands(CLI::App& root, Typed& typed) {
  add_common(root, typed);
  add_serve(root, typed);
  add_demo(root, typed);
  add_questions(root, typed);
  add_rollout(root, typed);
  add_local(root, typed);
  add_simulate(root, typed);
  add_examples(root);
}

} // namespace coalmine::app
