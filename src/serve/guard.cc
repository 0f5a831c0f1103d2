// SPDX-License-Identifier: Apache-2.0
#include "serve/guard.h"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>

#include "base/base64.h"
#include "base/text.h"

namespace coalmine::serve {
namespace {

// Takes equally long whatever the texts have in common, so that a token cannot be guessed byte by
// byte.
bool equal_in_constant_time(std::string_view given, std::string_view secret) {
  unsigned difference = given.size() == secret.size() ? 0 : 1;
  for (std::size_t i = 0; i < given.size(); ++i) {
    const char against = secret.empty() ? '\0' : secret[i % secret.size()];
    difference |= static_cast<unsigned char>(given[i] ^ against);
  }
  const volatile unsigned result = difference; // keeps the loop from being cut short
  return result == 0 && !secret.empty();
}

// "name:port" without the port, "[v6]:port" without the brackets too.
std::string_view name_of(std::string_view host) {
  if (host.starts_with('[')) {
    const auto end = host.find(']');
    return end == std::string_view::npos ? std::string_view() : host.substr(1, end - 1);
  }
  return host.substr(0, host.rfind(':'));
}

bool is_address(const std::string& name) {
  in6_addr address{};
  return inet_pton(AF_INET, name.c_str(), &address) == 1 ||
         inet_pton(AF_INET6, name.c_str(), &address) == 1;
}

bool is_loopback(const std::string& name) {
  in_addr address{};
  if (inet_pton(AF_INET, name.c_str(), &address) == 1) return (ntohl(address.s_addr) >> 24) == 127;
  return name == "localhost" || name.ends_with(".localhost") || name == "::1";
}

// Names that nobody can own on the internet, so that no foreign page can have been loaded from one.
bool is_private_name(const std::string& name) {
  static constexpr std::array<std::string_view, 6> kEndings = {
      ".internal", ".local", ".home.arpa", ".svc", ".cluster.local", ".test"};
  return (!name.empty() && name.find('.') == std::string::npos) ||
         std::ranges::any_of(kEndings, [&](auto ending) { return name.ends_with(ending); });
}

// "Bearer TOKEN", or "Basic" with the token as password: the only one a browser can ask for, for
// the page and its event stream.
std::string token_of(const net::HttpRequest& request) {
  const auto value = net::header(request.headers, "Authorization");
  const auto scheme = ascii_lower(value.substr(0, value.find(' ')));
  const auto rest = trimmed(value.substr(std::min(scheme.size(), value.size())), " \t");
  if (scheme == "bearer") return std::string(rest);
  if (scheme != "basic") return {};
  const auto pair = decode_base64(rest).value_or("");
  const auto colon = pair.find(':');
  return colon == std::string::npos ? std::string() : pair.substr(colon + 1);
}

// PromQL by POST form changes nothing; everything else that is posted does.
bool changes_something(const net::HttpRequest& request) {
  return request.method != "GET" && request.method != "HEAD" && request.method != "OPTIONS" &&
         !request.path.starts_with("/api/v1/");
}

bool is_write(const net::HttpRequest& request) { return request.path == "/api/v1/write"; }

// The paths of health checks. Their answers reveal nothing.
bool is_probe(const net::HttpRequest& request) {
  return request.path == "/healthz" || request.path == "/readyz";
}

} // namespace

Guard::Guard(const Options& options, net::Endpoint bound)
    : operator_token_(options.operator_token),
      viewer_token_(options.viewer_token),
      write_token_(options.write_token),
      bound_(std::move(bound)) {
  for (const auto& name : options.host_names) names_.push_back(ascii_lower(name));
  names_.push_back(ascii_lower(bound_.host));
}

// A page on evil.example can point its name at this server's address; the browser then takes its
// requests for same-site ones. So only names that no such page can have are answered. Beyond
// loopback with a token set, every name is: a foreign page has no token.
bool Guard::host_allowed(std::string_view host) const {
  const auto name = ascii_lower(name_of(host));
  if (is_loopback(name) || std::ranges::find(names_, name) != names_.end()) return true;
  if (bound_.loopback()) return false;
  return is_address(name) || is_private_name(name) || !operator_token_.empty() ||
         !viewer_token_.empty();
}

Role Guard::role_of_token(std::string_view token) const {
  const bool is_operator = equal_in_constant_time(token, operator_token_);
  const bool is_viewer = equal_in_constant_time(token, viewer_token_);
  return is_operator ? Role::operator_ : is_viewer ? Role::viewer : Role::nobody;
}

Role Guard::role(const net::HttpRequest& request) const {
  if (operator_token_.empty() && viewer_token_.empty()) return Role::operator_;
  return role_of_token(token_of(request));
}

// Incoming telemetry. Needs the write token, where one is set, as on the OTLP ports. Operators may
// write too.
Status Guard::check_write(const net::HttpRequest& request) const {
  if (!net::header(request.headers, "Origin").empty())
    return fail(ErrorCode::permission_denied, "a page may not send telemetry");
  const auto token = token_of(request);
  if (!write_token_.empty() && equal_in_constant_time(token, write_token_)) return {};
  const bool asked = !write_token_.empty() || !operator_token_.empty() || !viewer_token_.empty();
  if (!asked || role_of_token(token) == Role::operator_) return {};
  return fail(
      ErrorCode::unauthenticated,
      "a token is needed to send telemetry: Authorization: Bearer TOKEN (server.otlp_token)");
}

Status Guard::check(const net::HttpRequest& request) const {
  if (is_probe(request)) return {};
  const auto host = net::header(request.headers, "Host");
  if (!host_allowed(host)) {
    return fail(ErrorCode::permission_denied,
                fmt::format("this server does not answer to the host name \"{}\"; use {}", host,
                            bound_.loopback() ? "localhost or 127.0.0.1" : "its address"));
  }
  if (is_write(request)) return check_write(request);
  const auto who = role(request);
  if (who == Role::nobody) {
    const bool given = !net::header(request.headers, "Authorization").empty();
    return fail(ErrorCode::unauthenticated, given
                                                ? "the token is not one of this server's"
                                                : "a token is needed: Authorization: Bearer TOKEN");
  }
  if (!changes_something(request)) return {};
  if (who != Role::operator_)
    return fail(ErrorCode::permission_denied,
                "this token may look but not change anything; the operator token may");
  const auto origin = ascii_lower(net::header(request.headers, "Origin"));
  const auto own = ascii_lower(host);
  if (!origin.empty() && origin != "http://" + own && origin != "https://" + own) {
    return fail(ErrorCode::permission_denied,
                fmt::format("a page of {} may not change anything here", origin));
  }
  const auto type = net::header(request.headers, "Content-Type");
  // A form or plain text can be posted by any page without asking; JSON cannot.
  if (ascii_lower(trimmed(type.substr(0, type.find(';')), " \t")) != "application/json") {
    return fail(ErrorCode::invalid_argument,
                fmt::format("Content-Type is \"{}\"; send application/json", type));
  }
  return {};
}

Status check_listen(const Options& options) {
  if (options.listen.loopback() || options.insecure || !options.operator_token.empty() ||
      !options.viewer_token.empty())
    return {};
  return fail(
      ErrorCode::failed_precondition,
      fmt::format("{} is reachable from other machines, and everybody there could move traffic\n"
                  "  Set a token:     --token-file FILE\n  or stay local:   --listen :{}\n  or "
                  "accept it:    --insecure",
                  options.listen.to_string(), options.listen.port));
}

} // namespace coalmine::serve
