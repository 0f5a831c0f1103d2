// SPDX-License-Identifier: Apache-2.0
#include "config/config.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <map>

#include "base/digest.h"
#include "config/config_parts.h"
#include "route/shared_traffic.h"

namespace coalmine::config {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kMaxFileBytes = 1u << 20;
constexpr std::size_t kMaxFiles = 1000;
constexpr std::size_t kMaxServices = 10'000;

// document = service-block | list-of-service-blocks | { services: list, server:, telemetry: }
class FileParser {
 public:
  FileParser(const ConfigContext& context, Config& config) : context_(context), config_(config) {}

  void document(const YAML::Node& node) {
    if (node.IsSequence()) {
      context_.yaml.items(node, "the file", [&](const YAML::Node& item) { service(item, false); });
    } else if (node.IsMap()) {
      top_map(node);
    } else {
      context_.yaml.error(
          node,
          fmt::format("a config file must be a map or a list of services, not {}", kind_of(node)),
          "start with `service: NAME`");
    }
  }

 private:
  void top_map(const YAML::Node& node) {
    bool has_service = false;
    bool has_server = false;
    bool has_list = false;
    for (const auto& entry : node) {
      if (!entry.first.IsScalar()) continue;
      const auto& key = entry.first.Scalar();
      has_service |= key == "service";
      has_list |= key == "services";
      has_server |= key == "server" || key == "telemetry" || key == "stores";
    }
    if (has_service || !(has_server || has_list)) return service(node, true);
    YamlReader::Keys keys = server_keys(context_, config_.server);
    keys.push_back({"version", {}});
    keys.push_back({"services", [&](const YAML::Node& list) {
                      context_.yaml.items(list, "services",
                                          [&](const YAML::Node& item) { service(item, false); });
                    }});
    context_.yaml.map(node, "the file", keys);
  }

  void service(const YAML::Node& node, bool with_server_keys) {
    auto spec = read_service(context_, node, config_.server, with_server_keys);
    if (!spec) return;
    const auto& specs = config_.specs;
    if (specs.size() >= kMaxServices) {
      context_.yaml.error(node, fmt::format("more than {} services", kMaxServices));
    } else if (std::any_of(specs.begin(), specs.end(),
                           [&](const auto& s) { return s.service == spec->service; })) {
      context_.yaml.error(node, fmt::format("service \"{}\" is configured twice", spec->service),
                          "a service has one block; remove one of them");
    } else {
      check_traffic(node, *spec);
      config_.specs.push_back(std::move(*spec));
    }
  }

  // What two services move, one moves against the other.
  void check_traffic(const YAML::Node& node, const rollout::RolloutSpec& spec) {
    const auto traffic = route::traffic_of(spec.router);
    if (!traffic) return;
    const auto& specs = config_.specs;
    const auto other = std::ranges::find_if(
        specs, [&](const auto& s) { return route::traffic_of(s.router) == traffic; });
    if (other == specs.end()) return;
    context_.yaml.warn(
        node["router"] ? node["router"] : node,
        fmt::format("{} and {} move the same traffic, {}: each would undo the other's weights, so "
                    "a rollout of one is refused while one of the other runs",
                    other->service, spec.service, *traffic),
        "give each service a backend (or a map key) of its own");
  }

  const ConfigContext& context_;
  Config& config_;
};

Result<std::vector<std::string>> config_files(const std::string& path) {
  std::error_code failure;
  if (!fs::is_directory(path, failure)) return std::vector<std::string>{path};
  std::vector<std::string> files;
  for (fs::directory_iterator it(path, failure), end; !failure && it != end;
       it.increment(failure)) {
    const auto& file = it->path();
    const bool yaml = file.extension() == ".yaml" || file.extension() == ".yml";
    if (yaml && !file.filename().string().starts_with('.')) files.push_back(file.string());
  }
  if (failure)
    return fail(ErrorCode::invalid_argument,
                fmt::format("cannot list {}: {}", path, failure.message()));
  if (files.empty()) {
    return fail(
        ErrorCode::invalid_argument,
        fmt::format("{} has no *.yaml or *.yml file; put one file per service there", path));
  }
  if (files.size() > kMaxFiles) {
    return fail(ErrorCode::invalid_argument,
                fmt::format("{} has {} config files, at most {}", path, files.size(), kMaxFiles));
  }
  std::sort(files.begin(), files.end());
  return files;
}

} // namespace

Result<std::string> read_file(const std::string& path, std::size_t limit) {
  std::error_code failure;
  if (fs::is_directory(path, failure)) {
    return fail(ErrorCode::invalid_argument,
                fmt::format("cannot read {}: it is a directory", path));
  }
  std::ifstream in(path, std::ios::binary);
  if (!in) {
    const bool missing = !fs::exists(path, failure);
    return fail(missing ? ErrorCode::not_found : ErrorCode::permission_denied,
                fmt::format("cannot read {}: {}", path,
                            missing ? "no such file" : "it cannot be opened for reading"));
  }
  std::string text;
  std::array<char, 16384> chunk{};
  while (in.read(chunk.data(), chunk.size()) || in.gcount() > 0) {
    text.append(chunk.data(), static_cast<std::size_t>(in.gcount()));
    if (text.size() > limit) {
      return fail(ErrorCode::resource_exhausted,
                  fmt::format("cannot read {}: larger than {} bytes", path, limit));
    }
  }
  return text;
}

namespace {

// Relative paths in a file are relative to that file, wherever the server is started.
void anchor_paths(const std::string& config_path, std::size_t first_dashboard, bool data_was_set,
                  ServerConfig& server) {
  const fs::path folder = fs::path(config_path).parent_path();
  const auto anchor = [&folder](std::string& path) {
    if (fs::path(path).is_relative()) path = (folder / path).string();
  };
  for (std::size_t i = first_dashboard; i < server.dashboards.size(); ++i)
    anchor(server.dashboards[i]);
  if (!data_was_set && server.data_directory) anchor(*server.data_directory);
}

} // namespace

FileReport parse_config(std::string path, std::string text, const ConfigOptions& options,
                        Config& config) {
  FileReport report{std::move(path), std::move(text), {}};
  YamlReader yaml(report.text, report.diagnostics);
  const ConfigContext context{yaml, options};
  const std::size_t first_new = config.specs.size();
  const std::size_t first_dashboard = config.server.dashboards.size();
  const bool data_was_set = config.server.data_directory.has_value();
  try {
    const auto documents = yaml.load();
    if (documents.empty() && report.diagnostics.empty()) {
      report.diagnostics.push_back(
          {Diagnostic::Severity::error, {}, "the file is empty", "start with `service: NAME`"});
    }
    FileParser parser(context, config);
    for (const auto& document : documents) parser.document(document);
  } catch (const YAML::Exception& problem) {
    report.diagnostics.push_back(
        {Diagnostic::Severity::error, {}, "cannot be read: " + problem.msg, ""});
  }
  anchor_paths(report.path, first_dashboard, data_was_set, config.server);
  const std::string hash = sha256_hex(report.text);
  report.text = yaml.conceal();
  for (std::size_t i = first_new; i < config.specs.size(); ++i) config.specs[i].config_hash = hash;
  sort_by_place(report.diagnostics);
  return report;
}

Result<LoadedConfig> load_config(const std::string& path, const ConfigOptions& options) {
  TRY_ASSIGN(const auto files, config_files(path));
  LoadedConfig loaded;
  for (const auto& file : files) {
    TRY_ASSIGN(auto text, read_file(file, kMaxFileBytes));
    loaded.reports.push_back(parse_config(file, std::move(text), options, loaded.config));
  }
  return loaded;
}

} // namespace coalmine::config
