// An error such as HTTP clients and servers make: it repeats all it was given.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "net/http_client.h"

namespace coalmine::net {

// "why: GET http://user:password@host/path?token=x [Authorization: Bearer y]". Fakes of HttpClient
// fail with it, so that every user of one shows in tests what it would tell the world.
inline std::unexpected<Error> unkind_failure(const ClientRequest& request,
                                             const std::string& why = "connection refused") {
  auto text = why + ": " + request.method + " " + request.url;
  for (const auto& [name, value] : request.headers) text += " [" + name + ": " + value + "]";
  return fail(ErrorCode::unavailable, std::move(text));
}

} // namespace coalmine::net
