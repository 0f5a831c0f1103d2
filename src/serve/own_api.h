// Coalmine's own API under /v1/ (docs/http-api.md).
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/json.hpp>
#include <string>
#include <vector>

#include "net/http.h"
#include "serve/api.h"
#include "serve/paths.h"

namespace coalmine::serve {

// Stateless between requests; any thread. options and deps must outlive it.
class OwnApi {
 public:
  OwnApi(const Options& options, const Deps& deps)
      : options_(options), deps_(deps), started_ms_(deps.clock.steady_ms()) {}
  std::vector<Route> routes() const;

 private:
  Result<std::string> list_rollouts(const net::HttpRequest& request) const;
  Result<std::string> start_rollout(const net::HttpRequest& request) const;
  Result<std::string> show_rollout(const std::string& id) const;
  Result<std::string> command(const std::string& id, const std::string& verb,
                              const net::HttpRequest& request) const;
  Result<std::string> analyze(const net::HttpRequest& request) const;
  Result<std::string> failures(const net::HttpRequest& request) const;
  Result<std::string> trace(const std::string& id) const;
  Result<std::string> dashboards() const;
  Result<std::string> services() const;
  Result<std::string> status() const;
  Result<std::string> config(const net::HttpRequest& request) const;
  Result<std::string> doctor(const net::HttpRequest& request) const;
  boost::json::array misdirected() const;
  rollout::RolloutSpec spec_of(const std::string& service) const; // the default where none is named
  Result<std::string> backup(const net::HttpRequest& request) const;

  const Options& options_;
  const Deps& deps_;
  const std::int64_t started_ms_;
};

} // namespace coalmine::serve
