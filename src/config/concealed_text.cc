// What of a config file is not shown again: secrets that were written out in it.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>

#include "base/text.h"
#include "config/yaml_reader.h"
#include "net/secrets.h"

namespace coalmine::config {
namespace {

// A key with one of these in its name has a secret as its value, read or not: misspelt keys and
// files that are no YAML are shown, too.
constexpr std::array<std::string_view, 8> kSecretWords{
    "token", "secret", "passw", "webhook", "authorization", "credential", "api_key", "apikey"};

bool names_secret(std::string_view key) {
  const auto lower = ascii_lower(key);
  return std::ranges::any_of(
      kSecretWords, [&](std::string_view word) { return lower.find(word) != std::string::npos; });
}

void cover(std::string& text, std::size_t begin, std::size_t end) {
  std::fill(text.begin() + static_cast<std::ptrdiff_t>(begin),
            text.begin() + static_cast<std::ptrdiff_t>(std::max(begin, end)), '*');
}

// The value that begins at `begin`, up to its end on this line.
std::size_t value_end(std::string_view text, std::size_t begin) {
  const auto line_end = std::min(text.find('\n', begin), text.size());
  const char first = text[begin];
  if (first == '"' || first == '\'') return std::min(text.find(first, begin + 1), line_end);
  return std::min(text.find_first_of(",}", begin), line_end);
}

// A place for the secret is named, or the value is a structure of its own.
bool is_no_secret(std::string_view value) {
  const auto bare = value.starts_with('"') || value.starts_with('\'') ? value.substr(1) : value;
  return bare.starts_with("env:") || bare.starts_with("file:") || value.empty() ||
         std::string_view("{[|>&*!#\n\r").find(value[0]) != std::string_view::npos;
}

// What of a URL may be seen: scheme and host. (Credentials are covered by mask_urls.)
std::size_t open_part(std::string_view value) {
  const auto scheme = value.find("://");
  return scheme == std::string_view::npos
             ? 0
             : std::min(value.find_first_of("/?#", scheme + 3), value.size());
}

void cover_named_values(std::string_view source, std::string& text, net::SecretTexts& secrets) {
  for (auto colon = source.find(':'); colon != std::string_view::npos;
       colon = source.find(':', colon + 1)) {
    const auto before = source.substr(0, colon);
    const auto key = before.substr(before.find_last_of(" \t\n{,-") + 1);
    const auto begin = source.find_first_not_of(" \t", colon + 1);
    if (begin == std::string_view::npos || begin == colon + 1 || !names_secret(key) ||
        is_no_secret(source.substr(begin)))
      continue;
    const auto quote = source[begin] == '"' || source[begin] == '\'' ? 1u : 0u;
    const auto value =
        trimmed(source.substr(begin + quote, value_end(source, begin) - begin - quote));
    secrets.add(value);
    cover(text, begin + quote + open_part(value), begin + quote + value.size());
  }
}

} // namespace

void YamlReader::keep_secret(const YAML::Node& node) {
  if (!node.IsDefined() || !node.IsScalar() || node.Mark().is_null() || node.Mark().pos < 0) return;
  secrets_.emplace_back(static_cast<std::size_t>(node.Mark().pos), node.Scalar());
}

std::string YamlReader::conceal() {
  net::SecretTexts secrets;
  auto text = net::mask_urls(std::string(source_));
  cover_named_values(source_, text, secrets);
  for (const auto& [begin, value] : secrets_) {
    secrets.add(value);
    auto at = begin;
    auto rest = std::string_view(value);
    while (!rest.empty() && at < source_.size()) {
      const auto line = rest.substr(0, rest.find('\n'));
      rest.remove_prefix(std::min(line.size() + 1, rest.size()));
      const auto found = source_.find(line, at);
      const auto end = std::min(source_.find('\n', at), source_.size());
      if (found == std::string_view::npos) {
        cover(text, at, end); // written in another way than it reads
        break;
      }
      cover(text, found + open_part(line), found + line.size());
      at = found + line.size();
    }
  }
  for (auto& diagnostic : out_) {
    diagnostic.message = net::mask_urls(secrets.hide(std::move(diagnostic.message)));
    diagnostic.hint = secrets.hide(std::move(diagnostic.hint));
  }
  return text;
}

} // namespace coalmine::config
