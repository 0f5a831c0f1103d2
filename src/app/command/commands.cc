// check, version, and the way to the commands of cli/.
// SPDX-License-Identifier: Apache-2.0
#include "app/command/commands.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <limits>
#include <thread>

#include "app/backup.h"
#include "app/router_check.h"
#include "app/version.h"
#include "base/clock.h"
#include "base/self_metrics.h"
#include "config/config.h"
#include "config/dashboard_file.h"
#include "lab/outlook.h"
#include "lab/stable_rates.h"
#include "net/http_client.h"
#include "store/store.h"

namespace coalmine::app {
namespace {

namespace json = boost::json;

constexpr std::size_t kMaxFileBytes = 1u << 20;

// What check found over all files.
struct Findings {
  std::vector<config::FileReport> reports;
  std::vector<config::Config> configs;     // one a path
  std::vector<rollout::RolloutSpec> specs; // of all of them
  std::vector<lab::StableRates> rates{};   // with --source
};

// One file or directory of the command line; a file may be a config or a panel file.
Status check_path(const std::string& path, Findings& findings) {
  std::error_code failure;
  if (!std::filesystem::is_directory(path, failure)) {
    TRY_ASSIGN(auto text, config::read_file(path, kMaxFileBytes));
    if (config::looks_like_dashboard(text)) {
      findings.reports.push_back(config::parse_dashboard(path, std::move(text)).report);
      return {};
    }
  }
  TRY_ASSIGN(auto loaded, config::load_config(path, {.secrets_required = false}));
  for (auto& report : loaded.reports) findings.reports.push_back(std::move(report));
  for (const auto& spec : loaded.config.specs) findings.specs.push_back(spec);
  findings.configs.push_back(std::move(loaded.config));
  return {};
}

// How often the configs would roll back stable's own traffic. The exit code where that is not known
// because the source cannot be read, else kExitGood.
int measure_rates(const CheckFlags& flags, Findings& findings) {
  constexpr std::uint64_t kSeed = 1; // the same answer for the same data
  int exit = cli::kExitGood;
  for (const auto& config : findings.configs) {
    for (auto& found : lab::rates_of_services(config, flags.source, flags.runs, kSeed)) {
      if (!found.rates) {
        const auto code = found.rates.error().code;
        const bool away = code == ErrorCode::unavailable || code == ErrorCode::deadline_exceeded;
        exit = std::max<int>(exit, away ? cli::kExitUnreachable : cli::kExitUsage);
      }
      findings.rates.push_back(std::move(found));
    }
  }
  return exit;
}

// What is said of the services beside their problems.
void print_services(const CheckFlags& flags, const Findings& findings, bool first) {
  if (flags.explain) {
    for (std::size_t i = 0; i < findings.specs.size(); ++i)
      std::cout << (i == 0 && first ? "" : "\n") << config::explain(findings.specs[i]);
  }
  if (flags.rps > 0) {
    for (const auto& spec : findings.specs)
      std::cout << '\n'
                << spec.service << '\n'
                << lab::traffic_outlook(spec, flags.rps, flags.error_rate);
  }
  for (const auto& found : findings.rates) std::cout << '\n' << lab::text_of(found);
}

std::string findings_json(const Findings& findings) {
  json::array files;
  for (const auto& report : findings.reports) {
    json::array diagnostics;
    for (const auto& d : report.diagnostics) {
      diagnostics.push_back(
          {{"severity", d.severity == Diagnostic::Severity::error ? "error" : "warning"},
           {"line", d.span.line},
           {"column", d.span.column},
           {"length", d.span.length},
           {"message", d.message},
           {"hint", d.hint}});
    }
    files.push_back({{"path", report.path}, {"diagnostics", std::move(diagnostics)}});
  }
  const auto problems = config::count(findings.reports);
  json::object out{{"schema", "coalmine.check/v1"},
                   {"errors", problems.errors},
                   {"warnings", problems.warnings},
                   {"files", std::move(files)}};
  json::array rates;
  for (const auto& found : findings.rates) rates.push_back(lab::json_of(found));
  if (!rates.empty()) out["on_stable"] = std::move(rates);
  return json::serialize(out);
}

// A token of the client: the file of the flag, else of the environment. Empty text: none.
Result<std::string> client_token(const ClientFlags& client) {
  const std::string file =
      client.token_file.empty() ? cli::environment("COALMINE_TOKEN_FILE") : client.token_file;
  if (file.empty()) return std::string();
  TRY_ASSIGN(auto token, config::read_file(file, 4096));
  while (token.ends_with('\n') || token.ends_with('\r')) token.pop_back();
  if (token.empty())
    return fail(ErrorCode::invalid_argument,
                fmt::format("{} is empty, so it holds no token", file));
  return token;
}

} // namespace

int run_client(const ClientFlags& client, const cli::CommonFlags& common,
               const std::function<int(const cli::Terminal&)>& command) {
  auto token = client_token(client);
  if (!token) {
    std::cerr << "coalmine: " << token.error().message << '\n';
    return cli::kExitUsage;
  }
  const auto http = net::make_http_client();
  const SystemClock clock;
  cli::Terminal terminal{
      .http = *http,
      .clock = clock,
      .out = std::cout,
      .err = std::cerr,
      .sleep = [](std::chrono::milliseconds time) { std::this_thread::sleep_for(time); }};
  const std::string server =
      client.server.empty() ? cli::environment("COALMINE_SERVER") : client.server;
  if (!server.empty()) terminal.server = server;
  terminal.token = std::move(*token);
  terminal.output = cli::output_of(common);
  terminal.environment = cli::environment;
  terminal.color = cli::use_color(STDOUT_FILENO, common);
  terminal.interactive = ::isatty(STDOUT_FILENO) == 1 && cli::environment("TERM") != "dumb";
  terminal.quiet = common.quiet;
  const int exit = command(terminal);
  std::cout.flush();
  return exit;
}

int run_backup(const BackupFlags& flags, const ClientFlags& client,
               const cli::CommonFlags& common) {
  std::error_code error;
  const std::string to =
      std::filesystem::absolute(flags.directory, error).lexically_normal().string();
  if (flags.data.empty()) {
    return run_client(client, common,
                      [&to](const cli::Terminal& terminal) { return cli::backup(terminal, {to}); });
  }
  const auto done = [&]() -> Result<serve::Backup> {
    store::Options options;
    options.directory = (std::filesystem::path(flags.data) / "telemetry").string();
    if (!std::filesystem::is_directory(options.directory, error)) {
      return fail(ErrorCode::not_found,
                  fmt::format("{} is not a data directory: it has no telemetry in it", flags.data));
    }
    options.retention_ms =
        std::numeric_limits<std::int64_t>::max() / 4; // nothing is dropped on the way
    const SystemClock clock;
    SelfMetrics metrics;
    TRY_ASSIGN(const auto store, store::Store::open(std::move(options), clock, metrics));
    return backup(flags.data, *store, to);
  }();
  if (!done) {
    std::cerr << "coalmine: " << done.error().message << '\n';
    return done.error().code == ErrorCode::unavailable || done.error().code == ErrorCode::data_loss
               ? cli::kExitUnreachable
               : cli::kExitUsage;
  }
  if (common.output == "json") {
    std::cout << json::serialize(json::object{{"directory", done->directory},
                                              {"files", done->files},
                                              {"bytes", done->bytes}})
              << '\n';
  } else {
    std::cout << fmt::format("{} files, {:.1f} MB in {}\n", done->files,
                             static_cast<double>(done->bytes) / 1e6, done->directory);
  }
  return cli::kExitGood;
}

int run_check(const CheckFlags& flags, const cli::CommonFlags& common) {
  Findings findings;
  for (const auto& path : flags.files) {
    if (const auto read = check_path(path, findings); !read) {
      std::cerr << "coalmine: " << read.error().message << '\n';
      return cli::kExitUsage;
    }
  }
  if (config::count(findings.reports).errors == 0)
    check_routers(findings.specs, route::make_router, flags.live, findings.reports);
  const auto problems = config::count(findings.reports);
  const bool failed = problems.errors > 0 || (flags.strict && problems.warnings > 0);
  const int measured = problems.errors == 0 && !flags.source.empty()
                           ? measure_rates(flags, findings)
                           : cli::kExitGood;
  const int exit = failed ? cli::kExitUsage : measured;
  if (common.output == "json") {
    std::cout << findings_json(findings) << '\n';
    return exit;
  }
  const bool color = cli::use_color(STDOUT_FILENO, common);
  for (const auto& report : findings.reports) std::cout << render(report, color);
  const std::string total = config::count_text(problems);
  if (!total.empty()) std::cout << '\n' << total << '\n';
  if (!flags.explain && !common.quiet && problems.errors == 0) {
    for (const auto& spec : findings.specs) {
      const auto note = config::short_step_note(spec); // is no problem where exports are quicker
      if (!note.empty()) std::cout << fmt::format("{}: note: {}.\n", spec.service, note);
    }
  }
  if (problems.errors == 0) print_services(flags, findings, total.empty());
  if (total.empty() && !common.quiet && !flags.explain) {
    std::cout << fmt::format("{} file{} checked, no problems\n", findings.reports.size(),
                             findings.reports.size() == 1 ? "" : "s");
  }
  return exit;
}

int run_version(const cli::CommonFlags& common) {
  if (common.output == "json") {
    std::cout << json::serialize(json::value{{"version", kVersion}}) << '\n';
  } else {
    std::cout << "coalmine " << kVersion << '\n';
  }
  return cli::kExitGood;
}

} // namespace coalmine::app
