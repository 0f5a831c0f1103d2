// SPDX-License-Identifier: Apache-2.0
#include "promql/syntax/series_matcher.h"

#include <fmt/format.h>
#include <re2/re2.h>

#include <algorithm>

namespace coalmine::promql {
namespace {

std::unique_ptr<re2::RE2> compile(const std::string& go_pattern) {
  const std::string pattern = re2_pattern(go_pattern);
  re2::RE2::Options options;
  options.set_log_errors(false);
  options.set_dot_nl(true);
  options.set_max_mem(16 << 20);
  return std::make_unique<re2::RE2>(pattern, options);
}

// Describes the error in a pattern in the words of Go's regexp package, which users of Prometheus
// know.
std::string complaint(const re2::RE2& regexp) {
  std::string_view what;
  switch (regexp.error_code()) {
    case re2::RE2::ErrorBadEscape: what = "invalid escape sequence"; break;
    case re2::RE2::ErrorBadCharClass: what = "invalid character class"; break;
    case re2::RE2::ErrorBadCharRange: what = "invalid character class range"; break;
    case re2::RE2::ErrorMissingBracket: what = "missing closing ]"; break;
    case re2::RE2::ErrorMissingParen: what = "missing closing )"; break;
    case re2::RE2::ErrorUnexpectedParen: what = "unexpected )"; break;
    case re2::RE2::ErrorTrailingBackslash: return "trailing backslash at end of expression: ``";
    case re2::RE2::ErrorRepeatArgument: what = "missing argument to repetition operator"; break;
    case re2::RE2::ErrorRepeatSize: what = "invalid repeat count"; break;
    case re2::RE2::ErrorRepeatOp: what = "invalid nested repetition operator"; break;
    case re2::RE2::ErrorBadPerlOp: what = "invalid or unsupported Perl syntax"; break;
    case re2::RE2::ErrorBadUTF8: what = "invalid UTF-8"; break;
    case re2::RE2::ErrorBadNamedCapture: what = "invalid named capture"; break;
    default: return regexp.error();
  }
  // An unclosed group is reported with the whole pattern.
  const bool whole = regexp.error_code() == re2::RE2::ErrorMissingParen ||
                     regexp.error_code() == re2::RE2::ErrorUnexpectedParen;
  return fmt::format("{}: `{}`", what, whole ? regexp.pattern() : regexp.error_arg());
}

bool is_regexp(const Matcher& matcher) {
  return matcher.op == Matcher::Op::regexp || matcher.op == Matcher::Op::not_regexp;
}

// Where the class that opens at `at` ends, or the end of the text.
std::size_t class_end(std::string_view pattern, std::size_t at) {
  ++at;
  if (at < pattern.size() && pattern[at] == '^') ++at;
  if (at < pattern.size() && pattern[at] == ']') ++at; // right after [ it is an ordinary character
  while (at < pattern.size() && pattern[at] != ']') {
    if (pattern[at] == '\\') {
      ++at;
    } else if (pattern.substr(at, 2) == "[:") {
      const auto close = pattern.find(":]", at + 2);
      if (close != std::string_view::npos) at = close + 1;
    }
    ++at;
  }
  return std::min(at + 1, pattern.size());
}

} // namespace

std::string re2_pattern(std::string_view go_pattern) {
  std::string out;
  for (std::size_t at = 0; at < go_pattern.size();) {
    const std::string_view rest = go_pattern.substr(at);
    std::size_t length = 1;
    if (rest.starts_with("\\Q")) {
      const auto close = rest.find("\\E");
      length = close == std::string_view::npos ? rest.size() : close + 2;
    } else if (rest[0] == '\\') {
      length = std::min<std::size_t>(2, rest.size());
    } else if (rest[0] == '[') {
      length = class_end(go_pattern, at) - at;
    } else if (rest.starts_with("(?<") && rest.size() > 3 && rest[3] != '=' && rest[3] != '!') {
      out += "(?P<";
      at += 3;
      continue;
    }
    out += rest.substr(0, length);
    at += length;
  }
  return out;
}

std::vector<Matcher> for_storage(std::vector<Matcher> matchers) {
  for (Matcher& matcher : matchers) {
    if (is_regexp(matcher)) matcher.value = re2_pattern(matcher.value);
  }
  return matchers;
}

std::optional<std::string> check_matcher(const Matcher& matcher) {
  if (!is_regexp(matcher)) return std::nullopt;
  const auto regexp = compile(matcher.value);
  if (regexp->ok()) return std::nullopt;
  return "error parsing regexp: " + complaint(*regexp);
}

SeriesMatcher::SeriesMatcher(const std::vector<Matcher>& matchers) {
  for (const Matcher& matcher : matchers) {
    One one{matcher, nullptr};
    if (is_regexp(matcher)) one.regexp = compile(matcher.value);
    all_.push_back(std::move(one));
  }
}
SeriesMatcher::~SeriesMatcher() = default;
SeriesMatcher::SeriesMatcher(SeriesMatcher&&) noexcept = default;
SeriesMatcher& SeriesMatcher::operator=(SeriesMatcher&&) noexcept = default;

bool SeriesMatcher::accepts(const One& one, std::string_view value) {
  switch (one.matcher.op) {
    case Matcher::Op::equal: return value == one.matcher.value;
    case Matcher::Op::not_equal: return value != one.matcher.value;
    case Matcher::Op::regexp:
    case Matcher::Op::not_regexp: break;
  }
  if (!one.regexp->ok()) return false;
  const bool found = re2::RE2::FullMatch(re2::StringPiece(value.data(), value.size()), *one.regexp);
  return found == (one.matcher.op == Matcher::Op::regexp);
}

bool SeriesMatcher::matches(const Labels& labels) const {
  return std::ranges::all_of(
      all_, [&](const One& one) { return accepts(one, labels.get(one.matcher.name)); });
}

bool SeriesMatcher::accepts(std::string_view label, std::string_view value) const {
  return std::ranges::all_of(
      all_, [&](const One& one) { return one.matcher.name != label || accepts(one, value); });
}

bool SeriesMatcher::matches_empty(const Matcher& matcher) {
  One one{matcher, nullptr};
  if (is_regexp(matcher)) one.regexp = compile(matcher.value);
  return accepts(one, "");
}

} // namespace coalmine::promql
