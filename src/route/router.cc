// SPDX-License-Identifier: Apache-2.0
#include "route/router.h"

#include <algorithm>
#include <filesystem>

#include "route/haproxy_discovery.h"

namespace coalmine::route {
namespace {

// "/run//haproxy/admin.sock" is "/run/haproxy/admin.sock".
std::string plain_socket(const std::string& socket) {
  return socket.starts_with('/') ? std::filesystem::path(socket).lexically_normal().string()
                                 : socket;
}

} // namespace

bool moves_traffic(const RouterOptions& options) {
  return !std::holds_alternative<ObserveOptions>(options);
}

double tolerance(const HaproxyOptions& options, double weight) {
  constexpr double kRounding = 1e-9; // of a share that integers express exactly
  return options.tolerance * std::min(1.0, weight / kSmallShare) + kRounding;
}

double tolerance(const RouterOptions& options, double weight) {
  const auto* haproxy = std::get_if<HaproxyOptions>(&options);
  return haproxy == nullptr ? 0 : tolerance(*haproxy, weight);
}

std::string endpoint(const RouterOptions& options) {
  const auto* haproxy = std::get_if<HaproxyOptions>(&options);
  return haproxy == nullptr ? "" : "HAProxy at " + plain_socket(haproxy->socket);
}

std::int64_t longest_call_ms(const RouterOptions& options) {
  // Finding the servers, the change and reading it back have a timeout each.
  constexpr std::int64_t kCalls = 5;
  const auto* haproxy = std::get_if<HaproxyOptions>(&options);
  return kCalls * (haproxy == nullptr ? 2000 : haproxy->timeout_ms);
}

Result<std::unique_ptr<Router>> make_router(const RouterOptions& options) {
  const auto* haproxy = std::get_if<HaproxyOptions>(&options);
  if (haproxy == nullptr) return make_observe_router();
  if (has_patterns(*haproxy)) return make_discovering_router(*haproxy);
  return make_haproxy_router(*haproxy);
}

} // namespace coalmine::route
