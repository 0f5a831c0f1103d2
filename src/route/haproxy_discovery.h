// Servers of an HAProxy backend found by the beginning of their names, for configs that do not list
// them.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
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
Result<HaproxyOptions> resolve_servers(const HaproxyOptions& options,
                                       const std::vector<std::string>& names);

// Some server is a pattern: the names must be asked for.
bool has_patterns(const HaproxyOptions& options);

// A HAProxy router that asks HAProxy for the names before every call. What was ever found to be the
// canary's stays so for the way back: it takes the weight from servers that were added since and
// from those known before, and needs no answer about the names where it knows some.
std::unique_ptr<Router> make_discovering_router(HaproxyOptions options);

} // namespace coalmine::route
