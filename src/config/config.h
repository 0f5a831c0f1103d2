// The config file: YAML in, options of each room out, with every mistake pointed at. docs/config.md
// is its reference.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "config/diagnostics.h"
#include "datasource/prometheus.h"
#include "datasource/series_names.h"
#include "rollout/spec.h"
#include "store/store.h"

namespace coalmine::config {

// `stores: prometheus:` telemetry that is asked of a Prometheus-compatible server instead of the
// built-in store.
struct PrometheusStore {
  datasource::PrometheusOptions client;
  datasource::SeriesNames names;
};

// The `server:`, `telemetry:` and `stores:` blocks. Empty: not given, so flags and defaults decide.
// Addresses are as written.
struct ServerConfig {
  std::optional<std::string> listen;
  std::optional<std::string> otlp_grpc;
  std::optional<std::string> otlp_http;
  std::optional<std::string> data_directory;
  store::Options store;                         // without its directory
  std::vector<std::string> promoted_attributes; // resource attributes that become labels, too
  std::optional<std::string> operator_token;
  std::optional<std::string> viewer_token;
  std::optional<std::string> otlp_token;
  std::optional<bool> insecure;
  std::vector<std::string> dashboards;
  std::optional<std::string> telemetry_endpoint; // self, off, or a URL
  std::optional<PrometheusStore> prometheus;     // none: the built-in store
};

struct Config {
  ServerConfig server;
  std::vector<rollout::RolloutSpec> specs;
};

struct ConfigOptions {
  // A secret (env:NAME, file:/path) that cannot be read is an error when true (serve), a warning
  // when false (check).
  bool secrets_required = true;
};

// One file's text. Appends to config; problems go to the result's diagnostics, by place. A config
// with errors must not be used.
FileReport parse_config(std::string path, std::string text, const ConfigOptions& options,
                        Config& config);

struct LoadedConfig {
  Config config;
  std::vector<FileReport> reports; // one a file, in the order read
  bool ok() const { return count(reports).errors == 0; }
};

// A file, or every *.yaml and *.yml of a directory in the order of their names. Fails only when
// nothing can be read.
Result<LoadedConfig> load_config(const std::string& path, const ConfigOptions& options);

// What a rollout will do, in words (`check --explain`).
std::string explain(const rollout::RolloutSpec& spec);
// The same with " [default]" behind each line that a config of nothing but the service has, too.
std::string explain_with_defaults(const rollout::RolloutSpec& spec);
// What a config of nothing but the service's name makes.
rollout::RolloutSpec plain_spec(const std::string& service);
// A sentence without its full stop on steps that are too short for how often SDKs export; "": none.
std::string short_step_note(const rollout::RolloutSpec& spec);

// The whole file, at most limit bytes.
Result<std::string> read_file(const std::string& path, std::size_t limit);

} // namespace coalmine::config
