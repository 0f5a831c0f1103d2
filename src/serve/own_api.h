// Coalmine's own API under /v1/ (docs/http-api.md).
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "net/http.h"
#include "serve/api.h"

namespace coalmine::serve {

// {"error": {"code", "message"}} with the matching status.
net::HttpResponse error_response(const Error& error);

// Stateless between requests; any thread. deps must outlive it.
class OwnApi {
 public:
  OwnApi(const Options& options, const Deps& deps) : options_(options), deps_(deps), started_ms_(deps.clock.steady_ms()) {}
  net::HttpResponse answer(const net::HttpRequest& request) const;

 private:
  Result<std::string> body_of(const net::HttpRequest& request) const;
  Result<std::string> list_rollouts() const;
  Result<std::string> start_rollout(const net::HttpRequest& request) const;
  Result<std::string> rollout(std::string_view id_and_verb, const net::HttpRequest& request) const;
  Result<std::string> analyze(const net::HttpRequest& request) const;
  Result<std::string> failures(const net::HttpRequest& request) const;
  Result<std::string> trace(std::string_view id) const;
  Result<std::string> dashboards() const;
  Result<std::string> services() const;
  Result<std::string> status() const;

  const Options& options_;
  const Deps& deps_;
  const std::int64_t started_ms_;
};

} // namespace coalmine::serve
