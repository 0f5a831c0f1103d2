// Label matchers prepared for use: regexps are compiled once.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "telemetry/labels.h"

namespace re2 {
class RE2;
}

namespace coalmine::promql {

// Translates a pattern of Go's regexp package for RE2: Go allows (?<name>…) for named groups.
std::string re2_pattern(std::string_view go_pattern);
// The matchers for a Queryable, with patterns translated for RE2.
std::vector<Matcher> for_storage(std::vector<Matcher> matchers);
// The reason why a matcher cannot be used (a regexp that does not compile); nullopt when it can be
// used.
std::optional<std::string> check_matcher(const Matcher& matcher);

// All matchers of a selector. Thread-safe once made. A matcher refused by check_matcher matches
// nothing.
class SeriesMatcher {
 public:
  explicit SeriesMatcher(const std::vector<Matcher>& matchers);
  ~SeriesMatcher();
  SeriesMatcher(SeriesMatcher&&) noexcept;
  SeriesMatcher& operator=(SeriesMatcher&&) noexcept;

  bool matches(const Labels& labels) const;
  // True if all matchers of this label accept the value.
  bool accepts(std::string_view label, std::string_view value) const;

  static bool matches_empty(const Matcher& matcher);

 private:
  struct One {
    Matcher matcher;
    std::unique_ptr<re2::RE2> regexp; // null: compared as text
  };
  static bool accepts(const One& one, std::string_view value);
  std::vector<One> all_;
};

} // namespace coalmine::promql
