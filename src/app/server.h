// The composition root: every part of a running server, made in order and destroyed in reverse.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "config/config.h"
#include "net/http_server.h"
#include "rollout/spec.h"
#include "serve/api.h"
#include "store/store.h"

namespace coalmine::app {

struct ServerOptions {
  net::Endpoint listen{"127.0.0.1", 7070}; // API and page
  net::Endpoint otlp_grpc{"127.0.0.1", 4317};
  net::Endpoint otlp_http{"127.0.0.1", 4318};
  std::string data_directory; // journal/ and telemetry/ are made inside
  store::Options store;       // its directory comes from data_directory
  // Resource attributes that become labels of series, beside those that always do.
  std::vector<std::string> promoted_attributes;
  std::int64_t maintain_interval_ms = 30'000; // sealing, retention
  bool insecure = false;                      // may listen beyond loopback without tokens
  std::string operator_token;
  std::string viewer_token;
  std::string otlp_token;
  std::vector<promql::Dashboard> dashboards;
  std::vector<rollout::RolloutSpec> specs;
  std::optional<config::PrometheusStore>
      prometheus; // rollouts and pages ask it; the built-in store goes on receiving
  std::string telemetry_endpoint = "self"; // where canary.analysis spans go: self, off, or a URL
};

// A running server. start returns when every port answers. Destruction stops listening, finishes
// what was accepted, closes the stores; weights in routers stay as they are. Used by `serve` and by
// tests in their own process; any number may run at once.
class Server {
 public:
  static Result<std::unique_ptr<Server>> start(ServerOptions options);
  virtual ~Server() = default;
  virtual net::Endpoint api_endpoint() const = 0;
  virtual net::Endpoint otlp_grpc_endpoint() const = 0;
  virtual net::Endpoint otlp_http_endpoint() const = 0;
};

} // namespace coalmine::app
