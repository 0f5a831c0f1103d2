// A blocking HTTP client (libcurl inside). Called from pools, never from an I/O thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "base/result.h"
#include "net/http.h"

namespace coalmine::net {

// How an https:// server is verified and how we identify ourselves to it. Paths of PEM files.
// Empty: the system's authorities, and no client certificate.
struct ClientTls {
  std::string ca_file;
  std::string certificate_file;
  std::string key_file;
  bool verify = true; // false: any server is accepted; for tests and lab setups
};

struct ClientRequest {
  std::string method = "GET";
  std::string url = {};
  Headers headers = {};
  std::string body = {};
  std::chrono::milliseconds timeout{10'000};
  std::size_t max_response = 64u << 20;
  std::shared_ptr<const ClientTls> tls = nullptr; // null: the defaults
};

// An interface so that tests can answer without a network.
class HttpClient {
 public:
  virtual ~HttpClient() = default;
  // Thread-safe. Any status that arrives is a value; unavailable or deadline_exceeded when none
  // arrives. Follows no redirects.
  virtual Result<HttpResponse> fetch(const ClientRequest& request) = 0;
  // Streams the body to on_chunk until it returns false or the server ends (server-sent events); no
  // overall timeout.
  virtual Status stream(const ClientRequest& request,
                        const std::function<bool(std::string_view)>& on_chunk) = 0;
  // Before the end of whoever uses it: calls under way, and those that begin from now on, end
  // within grace (at the pace at which they are looked after, once a second) as
  // failed_precondition: another try cannot help. Any thread.
  virtual void stop(std::chrono::milliseconds) {}
};

std::unique_ptr<HttpClient> make_http_client();

} // namespace coalmine::net
