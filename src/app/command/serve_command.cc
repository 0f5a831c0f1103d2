// serve: read the configuration, start the server, wait for a signal, stop.
// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <iostream>

#include "app/command/commands.h"
#include "app/command/serve_options.h"
#include "base/log.h"
#include "config/dashboard_file.h"

namespace coalmine::app {
namespace {

int complain(const std::string& sentence) {
  std::cerr << "coalmine: " << sentence << '\n';
  return cli::kExitUsage;
}

// Blocks the signals that end the program in this thread and in all that it will start, so that
// only wait() sees them.
class StopSignals {
 public:
  StopSignals() {
    sigemptyset(&set_);
    sigaddset(&set_, SIGINT);
    sigaddset(&set_, SIGTERM);
    ::pthread_sigmask(SIG_BLOCK, &set_, &before_);
    ::signal(SIGPIPE, SIG_IGN);
  }
  // The second signal ends the program at once.
  int wait() {
    int number = 0;
    ::sigwait(&set_, &number);
    ::pthread_sigmask(SIG_SETMASK, &before_, nullptr);
    return number;
  }

 private:
  sigset_t set_{};
  sigset_t before_{};
};

// The panel files of flags and config. False: at least one cannot be used, and why was printed.
bool read_dashboards(const std::vector<std::string>& paths, bool color,
                     std::vector<promql::Dashboard>& out) {
  bool good = true;
  for (const auto& path : paths) {
    auto file = config::load_dashboard(path);
    if (!file) {
      complain(file.error().message);
      good = false;
      continue;
    }
    std::cerr << render(file->report, color);
    good &= file->ok();
    const std::string base = file->dashboard.name;
    const auto taken = [&] {
      return std::ranges::any_of(out,
                                 [&](const auto& d) { return d.name == file->dashboard.name; });
    };
    for (int n = 2; taken(); ++n) file->dashboard.name = fmt::format("{}-{}", base, n);
    out.push_back(std::move(file->dashboard));
  }
  return good;
}

LogLevel level_of(const std::string& name) {
  if (name == "debug") return LogLevel::debug;
  if (name == "warn") return LogLevel::warn;
  return name == "error" ? LogLevel::error : LogLevel::info;
}

int exit_for(ErrorCode code) {
  const bool environment = code == ErrorCode::unavailable || code == ErrorCode::deadline_exceeded ||
                           code == ErrorCode::internal;
  return environment ? cli::kExitUnreachable : cli::kExitUsage;
}

} // namespace

int run_serve(const ServeFlags& flags, const cli::CommonFlags& common) {
  set_log_level(level_of(common.log_level));
  const bool color = cli::use_color(STDERR_FILENO, common);
  config::LoadedConfig loaded;
  if (!flags.config.empty()) {
    auto read = config::load_config(flags.config, {.secrets_required = true});
    if (!read) return complain(read.error().message);
    loaded = std::move(*read);
    for (const auto& report : loaded.reports) std::cerr << render(report, color);
    if (!loaded.ok())
      return complain(fmt::format("the configuration has {}; nothing was started",
                                  config::count_text(count(loaded.reports))));
  }
  auto options = server_options(flags, loaded.config);
  if (!options) return complain(options.error().message);
  std::vector<std::string> panels = flags.dashboards;
  panels.insert(panels.end(), loaded.config.server.dashboards.begin(),
                loaded.config.server.dashboards.end());
  if (!read_dashboards(panels, color, options->dashboards)) return cli::kExitUsage;

  StopSignals signals;
  auto server = Server::start(*options);
  if (!server) {
    std::cerr << start_error(server.error(), *options);
    return exit_for(server.error().code);
  }
  if (!common.quiet) {
    std::vector<std::string> services;
    for (const auto& spec : options->specs) services.push_back(spec.service);
    std::cout << banner(**server, options->data_directory, services) << std::flush;
  }
  const int signal = signals.wait();
  log_info("stopping", {{"signal", signal == SIGINT ? "SIGINT" : "SIGTERM"}});
  server->reset();
  log_info("stopped");
  return cli::kExitGood;
}

} // namespace coalmine::app
