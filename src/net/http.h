// HTTP messages as the rest of the program sees them: no Beast, no nghttp2 types leave net/.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace coalmine::net {

// Names are compared without case.
using Headers = std::vector<std::pair<std::string, std::string>>;
// The first value of that name, "" when absent; the view is good as long as headers is unchanged.
std::string_view header(const Headers& headers, std::string_view name);

struct HttpRequest {
  std::string method; // GET, POST …
  std::string path;   // decoded, without the query
  std::string query;  // raw, without '?'
  Headers headers;
  std::string body; // whole; chunked bodies are put together; still as Content-Encoding says
  std::string peer; // 127.0.0.1:53211
  // Becomes true, within a second, when the client hangs up while it waits for the answer. Null:
  // not watched.
  std::shared_ptr<const std::atomic<bool>> client_gone = nullptr;
};

struct HttpResponse {
  int status = 200;
  Headers headers; // Content-Length, Connection and Date are written by the server
  std::string body;
};

// name=value pairs of a query string or a form body, percent-decoded, in order.
std::vector<std::pair<std::string, std::string>> parse_form(std::string_view text);
std::string percent_encode(std::string_view text);
std::string_view reason_phrase(int status);

} // namespace coalmine::net
