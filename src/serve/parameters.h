// Query string and form parameters of a request.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "net/http.h"

namespace coalmine::serve {

class Parameters {
 public:
  // From the query, and for a form from the body too; the body's come first, as in Prometheus.
  explicit Parameters(const net::HttpRequest& request);
  std::string get(std::string_view name) const; // the first; "" when absent
  std::vector<std::string> all(std::string_view name) const;
  // A whole number, fallback when absent; invalid_argument names the parameter and the text seen.
  Result<std::int64_t> integer(std::string_view name, std::int64_t fallback) const;

 private:
  std::vector<std::pair<std::string, std::string>> pairs_;
};

} // namespace coalmine::serve
