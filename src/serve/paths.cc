// SPDX-License-Identifier: Apache-2.0
#include "serve/paths.h"

namespace coalmine::serve {
namespace {

// Cuts the next segment off; both texts begin with '/'.
std::string_view next_segment(std::string_view& path) {
  path.remove_prefix(1);
  const auto segment = path.substr(0, path.find('/'));
  path.remove_prefix(segment.size());
  return segment;
}

bool matches(std::string_view pattern, std::string_view path, Segments& segments) {
  segments.clear();
  while (!pattern.empty() && !path.empty()) {
    const auto wanted = next_segment(pattern);
    const auto seen = next_segment(path);
    if (wanted == "*" && !seen.empty()) {
      segments.emplace_back(seen);
    } else if (wanted != seen) {
      return false;
    }
  }
  return pattern.empty() && path.empty();
}

} // namespace

Paths::Found Paths::find(std::string_view method, std::string_view path) const {
  Found found;
  if (!path.starts_with('/')) return found;
  Segments segments;
  for (const auto& route : routes_) {
    if (!matches(route.path, path, segments)) continue;
    if (route.method == method || (method == "HEAD" && route.method == "GET")) {
      return {.route = &route, .segments = std::move(segments), .allow = {}};
    }
    found.allow += found.allow.empty() ? "" : ", ";
    found.allow += route.method;
  }
  return found;
}

} // namespace coalmine::serve
