// The Prometheus HTTP API under /api/v1/ over the embedded store.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "net/http.h"
#include "serve/api.h"

namespace coalmine::serve {

// Stateless between requests; any thread. deps must outlive it.
class PrometheusApi {
 public:
  PrometheusApi(const Options& options, const Deps& deps) : options_(options), deps_(deps) {}
  // path begins with /api/v1/. Errors are answered in Prometheus's form.
  net::HttpResponse answer(const net::HttpRequest& request) const;

 private:
  net::HttpResponse instant(const net::HttpRequest& request) const;
  net::HttpResponse range(const net::HttpRequest& request) const;
  net::HttpResponse series(const net::HttpRequest& request) const;
  net::HttpResponse labels(const net::HttpRequest& request, std::string_view label) const; // "": the names
  net::HttpResponse metadata(const net::HttpRequest& request) const;
  net::HttpResponse format(const net::HttpRequest& request) const;

  const Options& options_;
  const Deps& deps_;
};

} // namespace coalmine::serve
