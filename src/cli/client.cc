// SPDX-License-Identifier: Apache-2.0
#include "cli/client.h"

#include <fmt/format.h>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

#include "net/secrets.h"

namespace coalmine::cli {
namespace {

namespace json = boost::json;

constexpr std::size_t kMaxResponse = 256u << 20;
constexpr std::chrono::milliseconds kTimeout{60'000};

std::string base_url(const Terminal& terminal) {
  std::string url = terminal.server;
  if (url.find("://") == std::string::npos) url = "http://" + url;
  while (url.ends_with('/')) url.pop_back();
  return url;
}

std::string shown_server(const Terminal& terminal) { return net::shown_url(base_url(terminal)); }

// Why nothing answered, without the address, which is said before. That there is no connection is
// said by that.
std::string reason_of(std::string_view cause) {
  constexpr std::string_view kAddressed = "cannot reach ";
  if (cause.starts_with(kAddressed)) {
    const auto end = cause.find(": ", kAddressed.size());
    if (end != std::string_view::npos) cause.remove_prefix(end + 2);
  }
  if (cause.find("connect to server") != std::string_view::npos) return "";
  return fmt::format(": {}", cause);
}

// 4317 and 4318 are where telemetry goes, and people have them at hand.
std::string otlp_hint(const Terminal& terminal) {
  const auto url = shown_server(terminal);
  for (const std::string_view port : {"4317", "4318"}) {
    if (url.ends_with(fmt::format(":{}", port)))
      return fmt::format("\n  {} takes telemetry (OTLP); commands want the port of the page, 7070",
                         port);
  }
  return "";
}

CallError unreachable(const Terminal& terminal, const Error& cause) {
  CallError error;
  error.unreachable = true;
  error.message = fmt::format(
      "no coalmine server answers at {}{}{}\n"
      "  Start a server:    coalmine serve\n"
      "  or name another:   --server URL  (or COALMINE_SERVER)",
      shown_server(terminal), reason_of(cause.message), otlp_hint(terminal));
  return error;
}

// Which exit code an error of the server means for a script.
int exit_for(int status, std::string_view code) {
  if (code == "unavailable" || code == "deadline_exceeded" || code == "internal" ||
      code == "timeout")
    return kExitUnreachable;
  if (status >= 500 || status == 429) return kExitUnreachable;
  return kExitUsage;
}

// {"error": {"code", "message"}}, or Prometheus's {"status": "error", "errorType", "error"}.
CallError refused(const Terminal& terminal, const net::HttpResponse& response) {
  CallError error;
  boost::system::error_code failure;
  const json::value body = json::parse(response.body, failure);
  if (!failure && body.is_object()) {
    const json::value& inner = member_of(body, "error");
    error.code = inner.is_object() ? text_of(inner, "code") : text_of(body, "errorType");
    error.message = inner.is_object() ? text_of(inner, "message") : text_of(body, "error");
  }
  if (error.message.empty()) {
    error.message = fmt::format("{} answered {} {}", shown_server(terminal), response.status,
                                net::reason_phrase(response.status));
    const auto hint = otlp_hint(terminal);
    const bool not_the_api = response.status == 400 || response.status == 404;
    if (not_the_api) {
      error.message += hint.empty()
                           ? "\n  Is it the address of the page? `coalmine serve` prints which is"
                           : hint;
    }
  }
  if (response.status == 401) {
    error.message += "\n  Give the token:    --token-file FILE  (or COALMINE_TOKEN_FILE)";
  }
  error.exit = exit_for(response.status, error.code);
  return error;
}

CallResult<Answer> call(const Terminal& terminal, net::ClientRequest request) {
  request.max_response = kMaxResponse;
  request.headers.emplace_back("Accept", "application/json");
  if (!terminal.token.empty())
    request.headers.emplace_back("Authorization", "Bearer " + terminal.token);
  const auto response = net::fetch_discreetly(terminal.http, request);
  if (!response) return std::unexpected(unreachable(terminal, response.error()));
  if (response->status < 200 || response->status > 299)
    return std::unexpected(refused(terminal, *response));
  boost::system::error_code failure;
  Answer answer{json::parse(response->body, failure), response->body};
  if (failure) {
    CallError error;
    error.message =
        fmt::format("{} answered something that is not JSON: is it a coalmine server?{}",
                    shown_server(terminal), otlp_hint(terminal));
    return std::unexpected(std::move(error));
  }
  return answer;
}

} // namespace

CallResult<Answer> get(const Terminal& terminal, const std::string& path,
                       const Parameters& parameters) {
  std::string more = path;
  char separator = '?';
  for (const auto& [name, value] : parameters) {
    if (value.empty()) continue;
    more += fmt::format("{}{}={}", separator, name, net::percent_encode(value));
    separator = '&';
  }
  net::ClientRequest request;
  request.url = net::with_path(base_url(terminal), more);
  request.timeout = kTimeout;
  return call(terminal, std::move(request));
}

CallResult<Answer> post(const Terminal& terminal, const std::string& path, json::object body,
                        std::chrono::milliseconds timeout) {
  json::object object;
  for (auto& [name, value] : body) {
    if (value != "") object[name] = std::move(value);
  }
  net::ClientRequest request;
  request.timeout = timeout;
  request.method = "POST";
  request.url = net::with_path(base_url(terminal), path);
  request.headers.emplace_back("Content-Type", "application/json");
  request.body = json::serialize(object);
  return call(terminal, std::move(request));
}

int report(const Terminal& terminal, const CallError& error) {
  terminal.err << "coalmine: " << error.message << '\n';
  return error.exit;
}

int usage_error(const Terminal& terminal, const std::string& sentence, const std::string& hint) {
  terminal.err << "coalmine: " << sentence << '\n';
  if (!hint.empty()) terminal.err << "  " << hint << '\n';
  return kExitUsage;
}

int print_json(const Terminal& terminal, const Answer& answer, int exit) {
  terminal.out << answer.text;
  if (!answer.text.ends_with('\n')) terminal.out << '\n';
  return exit;
}

const json::value& member_of(const json::value& object, std::string_view key) {
  static const json::value kNull;
  const auto* map = object.if_object();
  const auto* found = map == nullptr ? nullptr : map->if_contains(key);
  return found == nullptr ? kNull : *found;
}

std::string text_of(const json::value& object, std::string_view key) {
  const auto* text = member_of(object, key).if_string();
  return text == nullptr ? "" : std::string(text->data(), text->size());
}

bool has_number(const json::value& object, std::string_view key) {
  return member_of(object, key).is_number();
}

double number_of(const json::value& object, std::string_view key, double fallback) {
  const auto& value = member_of(object, key);
  if (const auto* d = value.if_double()) return *d;
  if (const auto* i = value.if_int64()) return static_cast<double>(*i);
  if (const auto* u = value.if_uint64()) return static_cast<double>(*u);
  return fallback;
}

bool flag_of(const json::value& object, std::string_view key) {
  const auto* flag = member_of(object, key).if_bool();
  return flag != nullptr && *flag;
}

const json::array& list_of(const json::value& object, std::string_view key) {
  static const json::array kEmpty;
  const auto* list = member_of(object, key).if_array();
  return list == nullptr ? kEmpty : *list;
}

} // namespace coalmine::cli
