// A Prometheus-compatible server (Prometheus, Mimir, Thanos, VictoriaMetrics, another coalmine) as
// a source of samples and expressions, through its HTTP API.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "net/http_client.h"
#include "promql/expressions.h"
#include "promql/queryable.h"

namespace coalmine::datasource {

struct PrometheusOptions {
  std::string url;          // without /api/v1: http://mimir:9009/prometheus
  std::string bearer_token; // "" none
  std::string user;         // "" no basic authentication
  std::string password;
  net::Headers headers; // X-Scope-OrgID and the like
  std::shared_ptr<const net::ClientTls> tls;
  std::int64_t timeout_ms = 10'000; // of one try
  int retries = 2; // after failures that may pass: no connection, no answer, 429, 5xx
  std::int64_t retry_wait_ms = 200; // before the first retry; doubles with each
  std::size_t max_response = 256u << 20;
};

// Thread-safe; calls block for at most (retries + 1) * timeout_ms and the waits between. Errors:
//   unavailable, deadline_exceeded  the server cannot be reached, does not answer, or says that it
//                                   cannot; never "no data"
//   permission_denied               it refuses our credentials
//   invalid_argument                it refuses the query; its own words say why
//   resource_exhausted              the answer is too large
//   internal                        it answers something that is not Prometheus's API
// select() reads raw samples, native histograms among them, by an instant query of a range
// selector, so that nothing is evaluated and staleness markers are left out. An answer that says it
// is partial (VictoriaMetrics's cluster) is unavailable.
class Prometheus : public promql::Queryable, public promql::ExpressionSource {
 public:
  // Its URL without secrets.
  virtual const std::string& shown_url() const = 0;
};

// invalid_argument: the URL is not valid. http must outlive the result.
Result<std::unique_ptr<Prometheus>> make_prometheus(PrometheusOptions options,
                                                    net::HttpClient& http);

// {__name__="up",job="a","service.name"="b"}: the matchers as PromQL writes them. A label that is
// not of letters, digits and '_' is quoted, as Prometheus 3 and VictoriaMetrics read it; a store
// that knows no such names has no such label either.
std::string selector_text(const std::vector<Matcher>& matchers);

} // namespace coalmine::datasource
