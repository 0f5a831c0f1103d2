// The Prometheus HTTP API under /api/v1/ over the embedded store.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>
#include <vector>

#include "net/http.h"
#include "serve/api.h"
#include "serve/paths.h"

namespace coalmine::serve {

// Which Prometheus this API behaves as: clients switch features on by the version that
// status/buildinfo reports.
inline constexpr std::string_view kPrometheusVersion = "3.0.0";

// {"status":"error","errorType","error"}: every failure of a request below /api/.
net::HttpResponse prometheus_error(const Error& error);

// Stateless between requests; any thread. options and deps must outlive it.
class PrometheusApi {
 public:
  PrometheusApi(const Options& options, const Deps& deps) : options_(options), deps_(deps) {}
  std::vector<Route> routes() const;

 private:
  net::HttpResponse instant(const net::HttpRequest& request) const;
  net::HttpResponse range(const net::HttpRequest& request) const;
  net::HttpResponse exemplars(const net::HttpRequest& request) const;
  net::HttpResponse parsed(const net::HttpRequest& request) const;
  net::HttpResponse series(const net::HttpRequest& request) const;
  net::HttpResponse label_names(const net::HttpRequest& request) const;
  net::HttpResponse label_values(const net::HttpRequest& request, const std::string& label) const;
  net::HttpResponse metadata(const net::HttpRequest& request) const;
  net::HttpResponse build_info() const;

  const Options& options_;
  const Deps& deps_;
};

} // namespace coalmine::serve
