// From a request to an answer, without any network: what unit tests call.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "serve/guard.h"
#include "serve/own_api.h"
#include "serve/prometheus_api.h"

namespace coalmine::serve {

// Whether a request may take long (a query), so that it goes to the pool of its own.
bool is_query(const net::HttpRequest& request);

// Stateless between requests; any thread.
class Dispatch {
 public:
  Dispatch(const Options& options, const Deps& deps, net::Endpoint bound);
  // Refused requests included. Everything but /v1/events.
  net::HttpResponse handle(const net::HttpRequest& request) const;
  // The refusal of a request, when it is refused.
  std::optional<net::HttpResponse> refusal(const net::HttpRequest& request) const;

 private:
  net::HttpResponse route(const net::HttpRequest& request) const;
  net::HttpResponse page(const net::HttpRequest& request) const;

  const Deps& deps_;
  const Guard guard_;
  const PrometheusApi prometheus_;
  const OwnApi own_;
};

} // namespace coalmine::serve
