// SPDX-License-Identifier: Apache-2.0
#include "serve/guard.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace coalmine::serve {
namespace {

// As long for every pair of texts of one length, so that a token cannot be guessed byte by byte.
bool equal_in_constant_time(std::string_view a, std::string_view b) {
  unsigned char difference = a.size() == b.size() ? 0 : 1;
  for (std::size_t i = 0; i < a.size(); ++i) {
    difference = static_cast<unsigned char>(difference | (a[i] ^ (b.empty() ? 0 : b[i % b.size()])));
  }
  return difference == 0;
}

std::string lower(std::string_view text) {
  std::string out(text);
  std::ranges::transform(out, out.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  return out;
}

// "name:port" or "[v6]:port" without the port.
std::string_view without_port(std::string_view host) {
  if (host.starts_with('[')) return host.substr(0, host.find(']') + 1);
  return host.substr(0, host.rfind(':'));
}

// PromQL by POST form changes nothing; everything else that is posted does.
bool changes_something(const net::HttpRequest& request) {
  return request.method != "GET" && request.method != "HEAD" && request.method != "OPTIONS" && !request.path.starts_with("/api/v1/");
}

} // namespace

Guard::Guard(const Options& options, net::Endpoint bound)
    : operator_token_(options.operator_token), viewer_token_(options.viewer_token), bound_(std::move(bound)) {}

bool Guard::host_allowed(std::string_view host) const {
  // A page on evil.example can point its name at 127.0.0.1; only names that are this server's own are answered there.
  static constexpr std::array<std::string_view, 3> kLoopback = {"localhost", "127.0.0.1", "[::1]"};
  const auto name = lower(without_port(host));
  if (!bound_.loopback()) return true; // behind whatever name; tokens guard it
  return std::ranges::find(kLoopback, name) != kLoopback.end() || name == bound_.host || name == "[" + bound_.host + "]";
}

Role Guard::role(const net::HttpRequest& request) const {
  if (operator_token_.empty() && viewer_token_.empty()) return Role::operator_;
  const auto value = net::header(request.headers, "Authorization");
  if (!lower(value.substr(0, 7)).starts_with("bearer ")) return Role::nobody;
  const auto token = value.substr(7);
  if (!operator_token_.empty() && equal_in_constant_time(token, operator_token_)) return Role::operator_;
  if (!viewer_token_.empty() && equal_in_constant_time(token, viewer_token_)) return Role::viewer;
  return Role::nobody;
}

Status Guard::check(const net::HttpRequest& request) const {
  const auto host = net::header(request.headers, "Host");
  if (!host_allowed(host)) {
    return fail(ErrorCode::permission_denied, fmt::format("this server does not answer to the host name \"{}\"; use localhost or 127.0.0.1", host));
  }
  if (request.path == "/healthz" || request.path == "/readyz") return {};
  const auto who = role(request);
  if (who == Role::nobody) return fail(ErrorCode::unauthenticated, "a token is needed: Authorization: Bearer TOKEN");
  if (!changes_something(request)) return {};
  if (who != Role::operator_) return fail(ErrorCode::permission_denied, "this token may look but not change anything");
  const auto origin = net::header(request.headers, "Origin");
  if (!origin.empty() && lower(origin) != "http://" + lower(host) && lower(origin) != "https://" + lower(host)) {
    return fail(ErrorCode::permission_denied, fmt::format("a page of {} may not change anything here", origin));
  }
  const auto type = lower(net::header(request.headers, "Content-Type"));
  if (!type.starts_with("application/json")) {
    return fail(ErrorCode::invalid_argument, fmt::format("Content-Type is \"{}\"; send application/json", type));
  }
  return {};
}

Status check_listen(const Options& options) {
  if (options.listen.loopback() || options.insecure || !options.operator_token.empty() || !options.viewer_token.empty()) return {};
  return fail(ErrorCode::failed_precondition,
              fmt::format("{} is reachable from other machines, and everybody there could move traffic\n"
                          "  Set a token:     --token-file FILE\n  or stay local:   --listen :{}\n  or accept it:    --insecure",
                          options.listen.to_string(), options.listen.port));
}

} // namespace coalmine::serve
