// The route of a request where no http.route says it.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

namespace coalmine {

// Whether the path has a part that stands for many: {id}, <id> or :id. A path without may be a
// route, or one of countless requests; only who knows its origin can tell.
bool is_route_template(std::string_view path);

// The route in a name as "GET /api/cart/{id}", the name of a server span by the semantic
// conventions. "" when it holds no template.
std::string_view route_in_name(std::string_view span_name);

} // namespace coalmine
