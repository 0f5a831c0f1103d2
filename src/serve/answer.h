// Answers as every part of this room builds them, and the headers that all of them get at the end.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "net/http.h"

namespace coalmine::serve {

net::HttpResponse json_answer(int status, std::string body);
net::HttpResponse text_answer(int status, std::string body,
                              std::string_view type = "text/plain; charset=utf-8");
// {"error": {"code", "message"}} with the matching status.
net::HttpResponse error_answer(const Error& error);
// The same for a status without an Error: requests that the listener itself refuses (too large,
// malformed).
net::HttpResponse error_answer(int status, std::string_view message);

// Whether the client takes gzip ("gzip", "*", not ";q=0").
bool accepts_gzip(const net::HttpRequest& request);
// Empty when zlib fails. level 1 (fast) to 9 (small).
std::string gzip(std::string_view bytes, int level);
// Compresses a big body when the client takes it and nobody did so before.
void compress(const net::HttpRequest& request, net::HttpResponse& answer);
// Content-Security-Policy and the like; no-store where no caching was asked for.
void harden(net::HttpResponse& answer);

} // namespace coalmine::serve
