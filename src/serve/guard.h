// Who may ask for what: Host and Origin against DNS rebinding and cross-site requests, tokens and
// roles.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "net/http.h"
#include "net/http_server.h"
#include "serve/api.h"

namespace coalmine::serve {

enum class Role { nobody, viewer, operator_ };

// Immutable after construction; any thread.
class Guard {
 public:
  // bound: the address really listened on.
  Guard(const Options& options, net::Endpoint bound);

  // OK, or why the request is refused (permission_denied, unauthenticated, invalid_argument).
  Status check(const net::HttpRequest& request) const;

 private:
  Status check_write(const net::HttpRequest& request) const;
  bool host_allowed(std::string_view host) const;
  Role role(const net::HttpRequest& request) const;
  Role role_of_token(std::string_view token) const;

  const std::string operator_token_;
  const std::string viewer_token_;
  const std::string write_token_;
  const net::Endpoint bound_;
  std::vector<std::string> names_; // lower case
};

// failed_precondition when listening there would let strangers in.
Status check_listen(const Options& options);

} // namespace coalmine::serve
