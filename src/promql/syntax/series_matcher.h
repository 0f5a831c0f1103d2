// Label matchers made ready to run: regexps compiled once.
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

// A pattern of Go's regexp package as RE2 reads it: named groups may be written (?<name>…) in Go.
std::string re2_pattern(std::string_view go_pattern);
// Matchers as a Queryable takes them: their patterns as RE2 reads them.
std::vector<Matcher> for_storage(std::vector<Matcher> matchers);
// Why the matcher cannot be used (a regexp that does not compile); nullopt when it can.
std::optional<std::string> check_matcher(const Matcher& matcher);

// All matchers of a selector. Thread-safe once made. A matcher that check_matcher refuses matches
// nothing.
class SeriesMatcher {
 public:
  explicit SeriesMatcher(const std::vector<Matcher>& matchers);
  ~SeriesMatcher();
  SeriesMatcher(SeriesMatcher&&) noexcept;
  SeriesMatcher& operator=(SeriesMatcher&&) noexcept;

  bool matches(const Labels& labels) const;
  // Whether the matchers of that one label accept the value.
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
