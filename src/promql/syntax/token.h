// The tokens of PromQL's grammar.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace coalmine::promql {

enum class Tok : std::uint8_t {
  end_of_input,
  error,
  comma,
  colon,
  left_paren,
  right_paren,
  left_brace,
  right_brace,
  left_bracket,
  right_bracket,
  identifier,
  metric_identifier,
  string,
  number,
  duration,
  // Operators, kFirstOperator … kLastOperator.
  eql,
  eql_regex,
  neq_regex,
  at,
  add,
  sub,
  mul,
  div,
  mod,
  pow,
  atan2,
  eqlc,
  neq,
  gtr,
  lss,
  gte,
  lte,
  trim_upper,
  trim_lower,
  land,
  lor,
  lunless,
  // Aggregators.
  avg,
  bottomk,
  count,
  count_values,
  group,
  max,
  min,
  quantile,
  stddev,
  stdvar,
  sum,
  topk,
  limitk,
  limit_ratio,
  // Keywords.
  kw_bool,
  by,
  group_left,
  group_right,
  fill,
  fill_left,
  fill_right,
  ignoring,
  offset,
  smoothed,
  anchored,
  on,
  without,
  // Words whose meaning depends on the place: functions, durations or @ edges.
  start,
  end,
  step,
  range,
  max_of,
  min_of,
};

constexpr bool is_operator(Tok t) { return t >= Tok::eql_regex && t <= Tok::lunless; }
constexpr bool is_aggregator(Tok t) { return t >= Tok::avg && t <= Tok::limit_ratio; }
constexpr bool is_keyword(Tok t) { return t >= Tok::kw_bool && t <= Tok::without; }
constexpr bool is_set_operator(Tok t) {
  return t == Tok::land || t == Tok::lor || t == Tok::lunless;
}
constexpr bool is_comparison(Tok t) { return t >= Tok::eqlc && t <= Tok::lte; }
constexpr bool takes_param(Tok t) {
  return t == Tok::topk || t == Tok::bottomk || t == Tok::count_values || t == Tok::quantile ||
         t == Tok::limitk || t == Tok::limit_ratio;
}

// As written in a query ("+", "sum", "group_left"); "" for the kinds that have no fixed spelling.
std::string_view spelling(Tok t);

struct Token {
  Tok type = Tok::end_of_input;
  std::size_t pos = 0;
  std::string_view text; // part of the input, which must outlive it
  std::string error;     // Tok::error: what is wrong
};

// How an error message names the token: `<op:+>`, `identifier "x"`, `end of input`.
std::string describe(const Token& token);

// All tokens of the text without comments, ending in end_of_input or error. The text must outlive
// them.
std::vector<Token> tokenize(std::string_view text);

} // namespace coalmine::promql
