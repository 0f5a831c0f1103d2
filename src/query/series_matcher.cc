// SPDX-License-Identifier: Apache-2.0
#include "query/series_matcher.h"

#include <re2/re2.h>

#include <algorithm>

namespace coalmine::query {
namespace {

std::unique_ptr<re2::RE2> compile(const std::string& pattern) {
  re2::RE2::Options options;
  options.set_log_errors(false);
  options.set_dot_nl(true);
  options.set_max_mem(16 << 20);
  return std::make_unique<re2::RE2>(pattern, options);
}

bool is_regexp(const Matcher& matcher) { return matcher.op == Matcher::Op::regexp || matcher.op == Matcher::Op::not_regexp; }

} // namespace

std::optional<std::string> check_matcher(const Matcher& matcher) {
  if (!is_regexp(matcher)) return std::nullopt;
  const auto regexp = compile(matcher.value);
  if (regexp->ok()) return std::nullopt;
  return "error parsing regexp: " + regexp->error();
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
  return std::ranges::all_of(all_, [&](const One& one) { return accepts(one, labels.get(one.matcher.name)); });
}

bool SeriesMatcher::accepts(std::string_view label, std::string_view value) const {
  return std::ranges::all_of(all_, [&](const One& one) { return one.matcher.name != label || accepts(one, value); });
}

bool SeriesMatcher::matches_empty(const Matcher& matcher) {
  One one{matcher, nullptr};
  if (is_regexp(matcher)) one.regexp = compile(matcher.value);
  return accepts(one, "");
}

} // namespace coalmine::query
