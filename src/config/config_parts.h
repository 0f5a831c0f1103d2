// The pieces config.cc puts together, one block of the file each. Private to the config parser.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

#include "config/config.h"
#include "config/yaml_reader.h"

namespace coalmine::config {

// What reading one service block needs beside the node. Lives for one parse_config call.
struct ConfigContext {
  YamlReader& yaml;
  const ConfigOptions& options;
};

// One `service:` block. Empty when it has no usable service name.
std::optional<rollout::RolloutSpec> read_service(const ConfigContext& context,
                                                 const YAML::Node& node, ServerConfig& server,
                                                 bool with_server_keys);
// The keys `server` and `telemetry`.
YamlReader::Keys server_keys(const ConfigContext& context, ServerConfig& server);

void read_stores(const ConfigContext& context, const YAML::Node& node, ServerConfig& server);
void read_steps(const ConfigContext& context, const YAML::Node& node, rollout::RolloutSpec& spec);

// `analysis`, `metrics` and `judge` overlap: they are read together. A null node is an absent key.
struct JudgeNodes {
  YAML::Node analysis{YAML::NodeType::Undefined};
  YAML::Node metrics{YAML::NodeType::Undefined};
  YAML::Node judge{YAML::NodeType::Undefined};
};
void read_judging(const ConfigContext& context, const JudgeNodes& nodes,
                  rollout::RolloutSpec& spec);

void read_policy(const ConfigContext& context, const YAML::Node& node, rollout::RolloutSpec& spec);
void read_routes(const ConfigContext& context, const YAML::Node& node, rollout::RolloutSpec& spec);
void read_failures(const ConfigContext& context, const YAML::Node& node,
                   rollout::RolloutSpec& spec);
void read_router(const ConfigContext& context, const YAML::Node& node, rollout::RolloutSpec& spec);
void read_notify(const ConfigContext& context, const YAML::Node& node, rollout::RolloutSpec& spec);

enum class Literal { refused, allowed };
// env:NAME or file:/path, resolved. A literal is refused, or passed through when allowed.
std::optional<std::string> read_secret(const ConfigContext& context, const YAML::Node& node,
                                       std::string_view what, Literal literal);

} // namespace coalmine::config
