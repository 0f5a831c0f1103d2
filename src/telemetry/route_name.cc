// SPDX-License-Identifier: Apache-2.0
#include "telemetry/route_name.h"

#include <cctype>

namespace coalmine {

bool is_route_template(std::string_view path) {
  if (!path.starts_with('/')) return false;
  if (path.find_first_of("{<") != std::string_view::npos) return true;
  const auto parameter = path.find("/:");
  return parameter != std::string_view::npos && parameter + 2 < path.size() &&
         std::isalpha(static_cast<unsigned char>(path[parameter + 2])) != 0;
}

std::string_view route_in_name(std::string_view span_name) {
  const auto path = span_name.find('/');
  if (path == std::string_view::npos) return {};
  // Nothing but a method may come before it.
  if (path > 0 && (span_name[path - 1] != ' ' || span_name.find(' ') != path - 1)) return {};
  const auto route = span_name.substr(path);
  return is_route_template(route) ? route : std::string_view();
}

} // namespace coalmine
