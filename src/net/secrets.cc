// SPDX-License-Identifier: Apache-2.0
#include "net/secrets.h"

#include <algorithm>
#include <array>
#include <utility>

#include "net/percent.h"

namespace coalmine::net {
namespace {

constexpr std::size_t kShortestSecret = 4;
constexpr std::size_t kShortestSegment = 8; // of a secret path: "hooks" and "services" are none
constexpr std::string_view kHidden = "***";

// scheme://credentials@host:port/path?query#fragment, each without its separators.
struct UrlParts {
  std::string_view scheme; // with "://"
  std::string_view credentials;
  std::string_view host; // and port
  std::string_view path; // with its '/'
  std::string_view query;
  std::string_view fragment;
  bool clear = true; // it is certain which part is which
};

bool usable_port(std::string_view host) {
  const auto bracket = host.rfind(']');
  const auto colon = host.find(':', bracket == std::string_view::npos ? 0 : bracket);
  return colon == std::string_view::npos ||
         host.find_first_not_of("0123456789", colon + 1) == std::string_view::npos;
}

UrlParts parts_of(std::string_view url) {
  UrlParts out;
  if (const auto scheme = url.find("://"); scheme != std::string_view::npos) {
    out.scheme = url.substr(0, scheme + 3);
    url.remove_prefix(scheme + 3);
  }
  out.host = url.substr(0, url.find_first_of("/?#"));
  auto rest = url.substr(out.host.size());
  if (const auto at = out.host.rfind('@'); at != std::string_view::npos) {
    out.credentials = out.host.substr(0, at);
    out.host.remove_prefix(at + 1);
  }
  // A password with a bare '/', '?' or '#' ends the host too early; the '@' then comes after it.
  out.clear = rest.find('@') == std::string_view::npos && usable_port(out.host);
  if (const auto hash = rest.find('#'); hash != std::string_view::npos) {
    out.fragment = rest.substr(hash + 1);
    rest = rest.substr(0, hash);
  }
  if (const auto mark = rest.find('?'); mark != std::string_view::npos) {
    out.query = rest.substr(mark + 1);
    rest = rest.substr(0, mark);
  }
  out.path = rest;
  return out;
}

// Incoming webhooks of Slack, Mattermost, Rocket.Chat, Discord and Teams.
bool has_secret_path(const UrlParts& url) {
  static constexpr std::array<std::string_view, 5> kPaths = {"/hooks/", "/webhook/", "/webhooks/",
                                                             "/webhookb2/", "/services/T"};
  return url.host == "hooks.slack.com" || std::ranges::any_of(kPaths, [&](std::string_view path) {
           return url.path.find(path) != std::string_view::npos;
         });
}

std::string shown_parts(const UrlParts& url, UrlPath path) {
  std::string out(url.scheme);
  if (!url.clear) return out + "...";
  out += url.host;
  if (path == UrlPath::open && !has_secret_path(url)) out += url.path;
  std::ranges::replace_if(
      out, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }, '?');
  return out;
}

bool in_every_request(std::string_view header) {
  static constexpr std::array<std::string_view, 6> kUsual = {
      "Accept", "Content-Type", "Content-Encoding", "Content-Length", "User-Agent", "Host"};
  return std::ranges::any_of(kUsual,
                             [&](std::string_view usual) { return same_text(usual, header); });
}

} // namespace

std::string shown_url(std::string_view url) { return shown_parts(parts_of(url), UrlPath::open); }

std::string shown_origin(std::string_view url) {
  return shown_parts(parts_of(url), UrlPath::secret);
}

std::string with_path(std::string_view url, std::string_view path) {
  const auto end = std::min(url.find_first_of("?#"), url.size());
  auto front = url.substr(0, end);
  while (front.ends_with('/')) front.remove_suffix(1);
  auto back = url.substr(end);
  back = back.substr(0, back.find('#'));
  std::string out(front);
  out += path;
  if (back.size() < 2) return out;
  if (path.find('?') == std::string_view::npos) return out.append(back);
  return (out += '&').append(back.substr(1));
}

std::string mask_urls(std::string text) {
  const std::string_view whole = text;
  std::vector<std::pair<std::size_t, std::size_t>> hidden; // begin, size
  const auto hide = [&](std::string_view part) {
    if (!part.empty())
      hidden.emplace_back(static_cast<std::size_t>(part.data() - whole.data()), part.size());
  };
  for (auto at = whole.find("://"); at != std::string_view::npos; at = whole.find("://", at + 3)) {
    const auto end = std::min(whole.find_first_of(" \t\r\n\"'`", at), whole.size());
    auto rest = whole.substr(at + 3, end - at - 3);
    while (!rest.empty() && std::string_view(",}])").find(rest.back()) != std::string_view::npos)
      rest.remove_suffix(1); // of the text around it
    const auto url = parts_of(rest);
    if (!url.clear) {
      hide(rest);
      continue;
    }
    hide(url.credentials);
    if (url.path.size() > 1 && has_secret_path(url)) hide(url.path.substr(1));
    hide(url.query);
    hide(url.fragment);
  }
  for (const auto& [begin, size] : hidden) text.replace(begin, size, std::string(size, '*'));
  return text;
}

void SecretTexts::add(std::string_view secret) {
  if (secret.size() < kShortestSecret || std::ranges::find(texts_, secret) != texts_.end()) return;
  const auto shorter = [&](const std::string& text) { return text.size() < secret.size(); };
  texts_.insert(std::ranges::find_if(texts_, shorter), std::string(secret));
}

void SecretTexts::add_encoded(std::string_view text) {
  add(text);
  std::string decoded;
  percent_decode(text, Plus::plus, decoded);
  add(decoded);
}

void SecretTexts::add_url(std::string_view url, UrlPath path) {
  const auto parts = parts_of(url);
  if (!parts.clear) add(url.substr(parts.scheme.size()));
  add_encoded(parts.credentials);
  const auto colon = std::min(parts.credentials.find(':'), parts.credentials.size());
  add_encoded(parts.credentials.substr(0, colon));
  if (colon < parts.credentials.size()) add_encoded(parts.credentials.substr(colon + 1));
  add_encoded(parts.query);
  for (const auto& [name, value] : parse_form(parts.query)) {
    add(value);
    add(percent_encode(value));
  }
  add_encoded(parts.fragment);
  if (path == UrlPath::open && !has_secret_path(parts)) return;
  if (parts.path.size() > 1) add_encoded(parts.path);
  for (auto rest = parts.path; !rest.empty();) {
    const auto segment = rest.substr(0, rest.find('/'));
    if (segment.size() >= kShortestSegment) add_encoded(segment);
    rest.remove_prefix(std::min(segment.size() + 1, rest.size()));
  }
}

void SecretTexts::add_headers(const Headers& headers) {
  for (const auto& [name, value] : headers) {
    if (in_every_request(name)) continue;
    add(value);
    if (const auto space = value.find(' '); space != std::string::npos) // after "Bearer"
      add(std::string_view(value).substr(space + 1));
  }
}

std::string SecretTexts::hide(std::string text) const {
  for (const auto& secret : texts_) {
    for (auto at = text.find(secret); at != std::string::npos;
         at = text.find(secret, at + kHidden.size()))
      text.replace(at, secret.size(), kHidden);
  }
  return text;
}

Result<HttpResponse> fetch_discreetly(HttpClient& http, const ClientRequest& request,
                                      UrlPath path) {
  auto response = http.fetch(request);
  if (response) return response;
  SecretTexts secrets;
  secrets.add_url(request.url, path);
  secrets.add_headers(request.headers);
  return fail(response.error().code, secrets.hide(std::move(response.error().message)));
}

} // namespace coalmine::net
