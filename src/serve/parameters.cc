// SPDX-License-Identifier: Apache-2.0
#include "serve/parameters.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

namespace coalmine::serve {

Parameters::Parameters(const net::HttpRequest& request) {
  if (net::header(request.headers, "Content-Type")
          .starts_with("application/x-www-form-urlencoded")) {
    pairs_ = net::parse_form(request.body);
  }
  for (auto& pair : net::parse_form(request.query)) pairs_.push_back(std::move(pair));
}

std::string Parameters::get(std::string_view name) const {
  const auto it =
      std::ranges::find(pairs_, name, [](const auto& p) { return std::string_view(p.first); });
  return it == pairs_.end() ? std::string() : it->second;
}

std::vector<std::string> Parameters::all(std::string_view name) const {
  std::vector<std::string> out;
  for (const auto& [key, value] : pairs_) {
    if (key == name) out.push_back(value);
  }
  return out;
}

Result<std::int64_t> Parameters::integer(std::string_view name, std::int64_t fallback) const {
  const auto text = get(name);
  if (text.empty()) return fallback;
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) {
    return fail(ErrorCode::invalid_argument,
                fmt::format("{}: \"{}\" is not a whole number", name, text));
  }
  return value;
}

} // namespace coalmine::serve
