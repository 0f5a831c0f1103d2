// Whether options name the same traffic, or the same server twice. Pure; any thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>

#include "route/router.h"

namespace coalmine::route {

// What the options move, in words: "backend shop of HAProxy at /run/haproxy/admin.sock". Two
// rollouts on the same traffic undo each other's weights, and the same traffic has the same words.
// None when nothing is moved.
std::optional<std::string> traffic_of(const RouterOptions& options);

// Says which server is stable's and the canary's too ("stable's app* and the canary's app-canary*
// are the same server"): no weight tells the tracks apart then. None when there is none.
std::optional<std::string> server_of_both(const RouterOptions& options);

} // namespace coalmine::route
