// The Responder that goes out with each request.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "net/http_connection.h"

namespace coalmine::net {

// charge is given back when the responder is used or dropped.
std::unique_ptr<Responder> make_responder(HttpCore& core, std::weak_ptr<HttpConnection> connection,
                                          Charge charge);

} // namespace coalmine::net
