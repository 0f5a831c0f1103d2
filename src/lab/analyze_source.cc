// analyze --source: one verdict without a running server.
// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <unistd.h>

#include <iostream>

#include "base/clock.h"
#include "config/config.h"
#include "lab/commands.h"
#include "lab/local_question.h"
#include "lab/sources.h"
#include "promql/engine.h"
#include "rollout/evidence/one_shot.h"
#include "rollout/json.h"

namespace coalmine::lab {
namespace {

int complain(const Error& error) {
  std::cerr << "coalmine: " << error.message << '\n';
  const bool environment =
      error.code == ErrorCode::unavailable || error.code == ErrorCode::deadline_exceeded;
  return environment ? cli::kExitUnreachable : cli::kExitUsage;
}

Result<config::Config> config_of(const std::string& path) {
  config::Config out;
  if (path.empty()) return out;
  TRY_ASSIGN(auto loaded, config::load_config(path, {.secrets_required = true}));
  for (const auto& report : loaded.reports) std::cerr << render(report, false);
  if (!loaded.ok())
    return fail(ErrorCode::invalid_argument,
                fmt::format("the configuration has {}", config::count_text(count(loaded.reports))));
  return std::move(loaded.config);
}

} // namespace

Result<rollout::RolloutSpec> spec_of(const std::string& service, const config::Config& config) {
  if (service.empty() && config.specs.size() == 1) return config.specs.front();
  for (const auto& spec : config.specs) {
    if (spec.service == service) return spec;
  }
  if (service.empty())
    return fail(ErrorCode::invalid_argument,
                "which service? Name it, or give a config file with one");
  return rollout::default_spec(service);
}

Result<std::int64_t> moment_of(const std::string& text, std::int64_t now_ms) {
  if (text.empty() || text == "now") return now_ms;
  if (const auto ago = cli::parse_duration_text(text); ago > 0) return now_ms - ago;
  const auto time = promql::parse_time_ms(text);
  if (time) return *time;
  return fail(ErrorCode::invalid_argument,
              fmt::format("\"{}\" is not a time: write 2026-11-22T13:42:07Z, Unix seconds, or 30m "
                          "for half an hour ago",
                          text));
}

Result<LocalQuestion> local_question(const std::string& source, const std::string& config_path,
                                     const std::string& service) {
  LocalQuestion out;
  TRY_ASSIGN(out.config, config_of(config_path));
  TRY_ASSIGN(out.spec, spec_of(service, out.config));
  TRY_ASSIGN(out.source, open_source(source, out.config));
  const SystemClock clock;
  out.now_ms = out.source.newest_ms.value_or(clock.wall_ms());
  return out;
}

int run_analyze_source(const AnalyzeSourceFlags& flags, const cli::AnalyzeOptions& typed,
                       const cli::CommonFlags& common) {
  auto question = local_question(flags.source, flags.config, typed.service);
  if (!question) return complain(question.error());
  const auto& spec = question->spec;
  const auto to = moment_of(flags.at, question->now_ms);
  if (!to) return complain(to.error());
  auto window = spec.analysis_window_ms;
  if (!typed.window.empty()) window = cli::parse_duration_text(typed.window);
  if (window <= 0) {
    std::cerr << fmt::format("coalmine: --window {} is not a duration: write 10m, 90s or 1h30m\n",
                             typed.window);
    return cli::kExitUsage;
  }
  const rollout::VerdictContext context{spec.service, typed.canary_version, typed.stable_version,
                                        *to - window, *to};
  const auto judgement = rollout::analyze(spec,
                                          {.canary_version = typed.canary_version,
                                           .stable_version = typed.stable_version,
                                           .from_ms = context.from_ms,
                                           .to_ms = context.to_ms},
                                          *question->source.cohorts, question->source.counts.get(),
                                          question->source.metrics.get());
  const SystemClock clock;
  cli::Terminal terminal{.http = *question->source.http,
                         .clock = clock,
                         .out = std::cout,
                         .err = std::cerr,
                         .sleep = {}};
  terminal.output = cli::output_of(common);
  terminal.color = cli::use_color(STDOUT_FILENO, common);
  terminal.quiet = true; // the commands that come next ask a server, and there is none
  const int exit = cli::print_verdict(terminal, rollout::verdict_json(judgement, context),
                                      spec.service, cli::environment);
  std::cout.flush();
  return exit;
}

} // namespace coalmine::lab
