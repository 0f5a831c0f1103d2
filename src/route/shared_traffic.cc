// SPDX-License-Identifier: Apache-2.0
#include "route/shared_traffic.h"

#include <fmt/format.h>

#include <string_view>

namespace coalmine::route {
namespace {

// Whether some name fits both; a trailing * stands for any end.
bool overlap(std::string_view one, std::string_view other) {
  const bool any = one.ends_with('*');
  const bool any_other = other.ends_with('*');
  if (any) one.remove_suffix(1);
  if (any_other) other.remove_suffix(1);
  if (any && any_other) return one.starts_with(other) || other.starts_with(one);
  return any ? other.starts_with(one) : any_other ? one.starts_with(other) : one == other;
}

} // namespace

std::optional<std::string> traffic_of(const RouterOptions& options) {
  const auto* haproxy = std::get_if<HaproxyOptions>(&options);
  if (haproxy == nullptr) return std::nullopt;
  if (haproxy->map.empty())
    return fmt::format("backend {} of {}", haproxy->backend, endpoint(options));
  return fmt::format("key {} of map {} of {}", haproxy->map_key, haproxy->map, endpoint(options));
}

std::optional<std::string> server_of_both(const RouterOptions& options) {
  const auto* haproxy = std::get_if<HaproxyOptions>(&options);
  if (haproxy == nullptr || !haproxy->map.empty()) return std::nullopt;
  for (const auto& stable : haproxy->stable_servers) {
    for (const auto& canary : haproxy->canary_servers) {
      if (stable == canary) return fmt::format("server {} is stable's and the canary's", stable);
      if (overlap(stable, canary)) {
        return fmt::format("stable's {} and the canary's {} are the same server", stable, canary);
      }
    }
  }
  return std::nullopt;
}

} // namespace coalmine::route
