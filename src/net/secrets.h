// What may be said of a URL, and how secrets are kept out of what others say. Log, journal, API and
// terminal show URLs through here only. Pure; any thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "net/http_client.h"

namespace coalmine::net {

// The URL without credentials, query and fragment: they may be secrets. Without its path where the
// path is known to be one (incoming webhooks of Slack and its kin). "http://..." when it cannot be
// told where the credentials end.
std::string shown_url(std::string_view url);
// Scheme, host and port alone: for targets whose path is a secret, as those of notifications.
std::string shown_origin(std::string_view url);

// url with more path; a query stays at the end.
std::string with_path(std::string_view url, std::string_view path);

// text, which holds URLs, with every byte of theirs that shown_url leaves out as '*': places in it
// stay where they are.
std::string mask_urls(std::string text);

enum class UrlPath { open, secret };

// Texts that must not be shown. Copyable; const functions: any thread.
class SecretTexts {
 public:
  // Texts of fewer than four bytes are not looked for: they would be found where no secret is.
  void add(std::string_view secret);
  // Its credentials, its query and the values in it, its fragment; the path and its segments when
  // they are secret, too.
  void add_url(std::string_view url, UrlPath path = UrlPath::open);
  // The values of headers, but for those that every request has.
  void add_headers(const Headers& headers);
  // Every secret in text becomes "***".
  std::string hide(std::string text) const;

 private:
  void add_encoded(std::string_view text);
  std::vector<std::string> texts_; // longest first
};

// http.fetch(request), and whatever fails, the message names no secret of the request: a client's
// and a server's words may hold the URL and the headers.
Result<HttpResponse> fetch_discreetly(HttpClient& http, const ClientRequest& request,
                                      UrlPath path = UrlPath::open);

} // namespace coalmine::net
