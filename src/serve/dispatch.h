// Turns a request into an answer, without any network. Unit tests call it directly.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>

#include "serve/guard.h"
#include "serve/own_api.h"
#include "serve/page.h"
#include "serve/paths.h"
#include "serve/prometheus_api.h"

namespace coalmine::serve {

// Stateless between requests; any thread. options and deps must outlive it.
class Dispatch {
 public:
  Dispatch(const Options& options, const Deps& deps, net::Endpoint bound);

  // The whole answer, refusals included. Everything but /v1/events, which is a stream.
  net::HttpResponse handle(const net::HttpRequest& request) const;
  // The pool on which handle() should run for this request.
  Lane lane(const net::HttpRequest& request) const;
  // The refusal, when the request may not be served.
  std::optional<net::HttpResponse> refusal(const net::HttpRequest& request) const;
  // The answer when it cannot be served now.
  net::HttpResponse busy(const net::HttpRequest& request, const std::string& why) const;

 private:
  std::vector<Route> all_routes() const;
  net::HttpResponse route(const net::HttpRequest& request) const;
  net::HttpResponse misdirected(const net::HttpRequest& request) const;
  net::HttpResponse unknown(const net::HttpRequest& request, const std::string& allow) const;
  void count(const net::HttpRequest& request, const net::HttpResponse& answer) const;

  const Deps& deps_;
  const Guard guard_;
  const PrometheusApi prometheus_;
  const OwnApi own_;
  const Page page_;
  const Paths paths_;
};

} // namespace coalmine::serve
