// Servers of an HAProxy backend found by the beginning of their names, for configs that do not list
// them.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "rollout/spec.h"
#include "route/router.h"

namespace coalmine::route {

// The names in an answer to `show servers state BACKEND`:
//   1
//   # be_id be_name srv_id srv_name srv_addr …
//   3 checkout 1 stable1 127.0.0.1 …
// not_found with HAProxy's own words when it knows no such backend.
Result<std::vector<std::string>> parse_server_names(std::string_view answer);

// Replaces patterns (`stable*`) by the names they stand for. failed_precondition when one stands
// for nothing or a server is on both sides; the message lists what the backend has.
Result<route::HaproxyOptions> resolve_servers(const route::HaproxyOptions& options,
                                              const std::vector<std::string>& names);

// The router of a spec. A HAProxy router with patterns asks HAProxy for the names at its first use
// and before every change; what was found last is kept for the way back, so that a rollback needs
// nothing more.
Result<std::unique_ptr<route::Router>> make_router(const rollout::RouterSpec& spec);

} // namespace coalmine::route
