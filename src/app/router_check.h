// What `check` can learn from the routers of the services, where they can be reached.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "base/result.h"
#include "config/diagnostics.h"
#include "rollout/spec.h"
#include "route/router.h"

namespace coalmine::app {

// At `router`, for each service: an error when the router answers and has not what is named
// (backend, servers, map), and a warning when it says that its shares of requests are not those of
// the weights. A router that cannot be reached says nothing, since the check may run elsewhere;
// with must_answer that is an error too. Blocks for as long as the routers' timeouts. make:
// route::make_router.
using MakeRouter =
    std::function<Result<std::unique_ptr<route::Router>>(const route::RouterOptions&)>;
void check_routers(const std::vector<rollout::RolloutSpec>& specs, const MakeRouter& make,
                   bool must_answer, std::vector<config::FileReport>& reports);

} // namespace coalmine::app
