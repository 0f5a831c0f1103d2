// Parses PromQL text into a type-checked tree.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <expected>
#include <string>
#include <string_view>
#include <vector>

#include "base/diagnostic.h"
#include "promql/syntax/ast.h"

namespace coalmine::promql {

struct ParseOptions {
  bool experimental_functions = false;   // also limitk and limit_ratio
  bool extended_range_selectors = false; // anchored, smoothed
  bool fill_modifiers = false;
  static ParseOptions all() { return {true, true, true}; }
};

// A parse error and its place. text() has Prometheus's wording: `1:5: parse error: ...`.
struct ParseError {
  std::string message;
  TextRange range;
  SourceSpan span;
  std::string text() const;
};

template <typename T>
using ParseOutcome = std::expected<T, ParseError>;

ParseOutcome<ExprPtr> parse_expression(std::string_view text, const ParseOptions& options);
// Parses one vector selector without modifiers, as used in match[].
ParseOutcome<std::vector<Matcher>> parse_metric_selector(std::string_view text);

// `line:column` of a byte offset.
SourceSpan span_of(std::string_view text, TextRange range);

// Used by the parser. Also resolves many-to-many matching of set operators. nullopt when the tree
// is well typed.
struct TypeError {
  std::string message;
  TextRange range;
};
std::optional<TypeError> check_types(Expr& expr, std::string_view text);

} // namespace coalmine::promql
