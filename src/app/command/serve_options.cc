// SPDX-License-Identifier: Apache-2.0
#include "app/command/serve_options.h"

#include <fmt/format.h>

#include <cstdlib>
#include <filesystem>

#include "app/version.h"
#include "config/config_values.h"

namespace coalmine::app {
namespace {

// The flag if given, else the file's value, else what is there.
Status take_endpoint(const std::string& flag, std::string_view flag_name,
                     const std::optional<std::string>& file, std::string_view key,
                     net::Endpoint& out) {
  if (flag.empty() && !file) return {};
  auto endpoint = net::parse_endpoint(flag.empty() ? *file : flag);
  if (!endpoint)
    return fail(endpoint.error().code,
                fmt::format("{}: {}", flag.empty() ? key : flag_name, endpoint.error().message));
  out = std::move(*endpoint);
  return {};
}

Status take_retention(const ServeFlags& flags, const config::ServerConfig& file,
                      ServerOptions& out) {
  out.store = file.store;
  if (!flags.retention.empty()) {
    const auto parsed = config::parse_duration(flags.retention);
    if (!parsed || *parsed < 600'000) {
      return fail(ErrorCode::invalid_argument,
                  fmt::format("--retention {} is not a duration of 10m or more; write 24h or 7d",
                              flags.retention));
    }
    out.store.retention_ms = *parsed;
  }
  if (!flags.retention_size.empty()) {
    const auto parsed = config::parse_bytes(flags.retention_size);
    if (!parsed)
      return fail(
          ErrorCode::invalid_argument,
          fmt::format("--retention-size {} is not a size; write 8GiB", flags.retention_size));
    out.store.retention_bytes = *parsed;
  }
  return {};
}

Status take_tokens(const ServeFlags& flags, const config::ServerConfig& file, ServerOptions& out) {
  out.operator_token = file.operator_token.value_or("");
  out.viewer_token = file.viewer_token.value_or("");
  out.otlp_token = file.otlp_token.value_or("");
  out.insecure = flags.insecure || file.insecure.value_or(false);
  if (flags.token_file.empty()) return {};
  TRY_ASSIGN(auto token, config::read_file(flags.token_file, 4096));
  while (token.ends_with('\n') || token.ends_with('\r')) token.pop_back();
  if (token.size() < 16) {
    return fail(ErrorCode::invalid_argument,
                fmt::format("the token in {} has {} characters, at least 16 are needed; make one "
                            "with: openssl rand -hex 32",
                            flags.token_file, token.size()));
  }
  out.operator_token = std::move(token);
  return {};
}

} // namespace

std::string default_data_directory() {
  const auto variable = [](const char* name) -> std::string {
    const char* value = std::getenv(name);
    return value == nullptr ? "" : value;
  };
  if (const auto given = variable("COALMINE_DATA"); !given.empty()) return given;
  if (const auto state = variable("XDG_STATE_HOME"); state.starts_with('/'))
    return state + "/coalmine";
  if (const auto home = variable("HOME"); home.starts_with('/'))
    return home + "/.local/state/coalmine";
  return "coalmine-data";
}

Result<ServerOptions> server_options(const ServeFlags& flags, const config::Config& config) {
  const config::ServerConfig& file = config.server;
  ServerOptions out;
  TRY(take_endpoint(flags.listen, "--listen", file.listen, "server.listen", out.listen));
  TRY(take_endpoint(flags.otlp_grpc, "--otlp-grpc", file.otlp_grpc, "server.otlp_grpc",
                    out.otlp_grpc));
  TRY(take_endpoint(flags.otlp_http, "--otlp-http", file.otlp_http, "server.otlp_http",
                    out.otlp_http));
  TRY(take_retention(flags, file, out));
  TRY(take_tokens(flags, file, out));
  out.data_directory =
      !flags.data.empty() ? flags.data : file.data_directory.value_or(default_data_directory());
  if (out.data_directory == "memory") {
    return fail(ErrorCode::unimplemented,
                "--data memory is not available yet; give a directory (write ./memory for one of "
                "that name)");
  }
  out.prometheus = file.prometheus;
  out.telemetry_endpoint = file.telemetry_endpoint.value_or("self");
  out.specs = config.specs;
  FailureRules::ByService failures;
  for (const auto& spec : out.specs) {
    if (!spec.failures.empty()) failures[spec.service] = spec.failures;
  }
  out.store.failures = FailureRules(std::move(failures));
  // A selector can only find labels.
  out.promoted_attributes = file.promoted_attributes;
  for (const auto& spec : out.specs) {
    for (const auto* selector : {&spec.canary, &spec.stable}) {
      for (const auto& [name, value] : *selector) out.promoted_attributes.push_back(name);
    }
  }
  return out;
}

std::string banner(const Server& server, const std::string& data_directory,
                   const std::vector<std::string>& services) {
  const auto api = server.api_endpoint().to_string();
  const auto http = server.otlp_http_endpoint().to_string();
  const auto grpc = server.otlp_grpc_endpoint().to_string();
  std::string out = fmt::format("coalmine {}\n\n", kVersion);
  out += fmt::format("  page and API   http://{}\n", api);
  out += fmt::format("  OTLP           http://{} (HTTP)   {} (gRPC)\n", http, grpc);
  out += fmt::format("  data           {}\n", data_directory);
  out += fmt::format("  rollouts of    {}\n\n",
                     services.empty()
                         ? "no service configured: `analyze` works, `rollout start` needs --config"
                         : fmt::format("{}", fmt::join(services, ", ")));
  out += "In your application:\n";
  out += "  export OTEL_SERVICE_NAME=checkout-service\n";
  out += fmt::format("  export OTEL_EXPORTER_OTLP_ENDPOINT=http://{}\n", http);
  out += "  export OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf\n";
  out +=
      "  export OTEL_RESOURCE_ATTRIBUTES=service.version=2.4.0,deployment.track=canary     # "
      "stable for the old version\n";
  return out;
}

std::string start_error(const Error& error, const ServerOptions& options) {
  std::string out = "coalmine: " + error.message + "\n";
  if (error.code != ErrorCode::unavailable) return out;
  const auto concerns = [&](const net::Endpoint& endpoint) {
    return error.message.find(endpoint.to_string()) != std::string::npos;
  };
  // A port that reads like the old one and is most likely free.
  const auto other = [](const net::Endpoint& endpoint) {
    return endpoint.port < 50'000 ? endpoint.port + 10'000 : endpoint.port - 10'000;
  };
  if (concerns(options.otlp_grpc)) {
    out += fmt::format(
        "  If that is a Collector, point it at us:   exporters: {{ otlp: {{ endpoint: "
        "localhost:{0}, tls: {{ insecure: true }} "
        "}} }}\n"
        "  and run:                                  coalmine serve --otlp-grpc :{0}\n",
        other(options.otlp_grpc));
  } else if (concerns(options.otlp_http)) {
    out += fmt::format(
        "  If that is a Collector, point it at us:   exporters: {{ otlphttp: {{ endpoint: "
        "http://localhost:{0} }} }}\n"
        "  and run:                                  coalmine serve --otlp-http :{0}\n",
        other(options.otlp_http));
  } else if (concerns(options.listen)) {
    out +=
        fmt::format("  Listen elsewhere:   coalmine serve --listen :{}\n", other(options.listen));
  }
  return out;
}

} // namespace coalmine::app
