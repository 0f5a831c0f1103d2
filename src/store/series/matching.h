// Matchers made ready to run: regular expressions compiled once, fully anchored, with '.' matching
// newline.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "telemetry/labels.h"

namespace re2 {
class RE2;
}

namespace coalmine::store {

// Immutable; matches() may be called from any thread.
class CompiledMatcher {
 public:
  // invalid_argument: not a regular expression; the message says where.
  static Result<CompiledMatcher> compile(const Matcher& matcher);
  CompiledMatcher(CompiledMatcher&&) noexcept;
  CompiledMatcher& operator=(CompiledMatcher&&) noexcept;
  ~CompiledMatcher();

  const std::string& name() const { return matcher_.name; }
  // A missing label is passed as "".
  bool matches(std::string_view value) const;
  bool matches_empty() const { return matches_empty_; }
  // The only value that can match, or nullptr when there may be several.
  const std::string* only_value() const {
    return matcher_.op == Matcher::Op::equal ? &matcher_.value : nullptr;
  }

 private:
  explicit CompiledMatcher(Matcher matcher);
  Matcher matcher_;
  std::unique_ptr<re2::RE2> pattern_; // of the regexp operators
  bool matches_empty_ = false;
};

Result<std::vector<CompiledMatcher>> compile_all(const std::vector<Matcher>& matchers);

} // namespace coalmine::store
