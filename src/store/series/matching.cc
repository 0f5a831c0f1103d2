// SPDX-License-Identifier: Apache-2.0
#include "store/series/matching.h"

#include <fmt/format.h>
#include <re2/re2.h>

namespace coalmine::store {

CompiledMatcher::CompiledMatcher(Matcher matcher) : matcher_(std::move(matcher)) {}
CompiledMatcher::CompiledMatcher(CompiledMatcher&&) noexcept = default;
CompiledMatcher& CompiledMatcher::operator=(CompiledMatcher&&) noexcept = default;
CompiledMatcher::~CompiledMatcher() = default;

Result<CompiledMatcher> CompiledMatcher::compile(const Matcher& matcher) {
  CompiledMatcher out(matcher);
  if (matcher.op == Matcher::Op::regexp || matcher.op == Matcher::Op::not_regexp) {
    re2::RE2::Options options;
    options.set_dot_nl(true);
    options.set_log_errors(false);
    out.pattern_ = std::make_unique<re2::RE2>(matcher.value, options);
    if (!out.pattern_->ok()) {
      return fail(ErrorCode::invalid_argument,
                  fmt::format("the regular expression \"{}\" for label {} is not valid RE2: {}",
                              matcher.value, matcher.name, out.pattern_->error()));
    }
  }
  out.matches_empty_ = out.matches("");
  return out;
}

bool CompiledMatcher::matches(std::string_view value) const {
  switch (matcher_.op) {
    case Matcher::Op::equal: return value == matcher_.value;
    case Matcher::Op::not_equal: return value != matcher_.value;
    case Matcher::Op::regexp:
      return re2::RE2::FullMatch(re2::StringPiece(value.data(), value.size()), *pattern_);
    case Matcher::Op::not_regexp:
      return !re2::RE2::FullMatch(re2::StringPiece(value.data(), value.size()), *pattern_);
  }
  return false;
}

Result<std::vector<CompiledMatcher>> compile_all(const std::vector<Matcher>& matchers) {
  std::vector<CompiledMatcher> out;
  out.reserve(matchers.size());
  for (const auto& matcher : matchers) {
    TRY_ASSIGN(auto compiled, CompiledMatcher::compile(matcher));
    out.push_back(std::move(compiled));
  }
  return out;
}

} // namespace coalmine::store
