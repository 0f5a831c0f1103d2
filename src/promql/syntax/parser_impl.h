// The parser's state and rules, shared by parser.cc and parser_primary.cc.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "promql/syntax/parser.h"
#include "promql/syntax/token.h"

namespace coalmine::promql {

// Parses one text once. A rule returns null (or false) after fail(). Only the first failure counts.
class Parser {
 public:
  Parser(std::string_view text, const ParseOptions& options);

  ExprPtr expression(int min_level);
  ExprPtr primary();
  const Token& peek() const { return tokens_[at_]; }
  void fail(TextRange range, std::string message);
  void unexpected(std::string_view context, std::string_view expected);
  const std::optional<ParseError>& error() const { return error_; }

 private:
  static constexpr int kMaxDepth = 200; // of nesting while parsing
  // Height of the tree. A chain of operators grows to the left.
  static constexpr std::uint16_t kMaxHeight = 500;

  const Token& peek_second() const { return tokens_[std::min(at_ + 1, tokens_.size() - 1)]; }
  Token next() {
    Token token = tokens_[at_];
    if (at_ + 1 < tokens_.size()) ++at_;
    last_end_ = token.pos + token.text.size();
    return token;
  }
  bool accept(Tok type) {
    if (peek().type != type) return false;
    next();
    return true;
  }
  bool expect(Tok type, std::string_view context, std::string_view expected);
  static TextRange range_of(const Token& token) {
    return {token.pos, token.pos + token.text.size()};
  }

  // Sets the height of a node above its child; fails when the tree grows too high.
  void raise(Expr& node, const Expr& child);
  ExprPtr operand();
  ExprPtr binary(ExprPtr left, const Token& op, int level);
  bool binary_modifiers(BinaryExpr& node);
  bool fill_modifiers(VectorMatching& matching);
  bool grouping_labels(std::vector<std::string>& out);
  std::string unquoted(const Token& token);
  std::optional<double> number_token(
      const Token& token);               // nullopt: not a number or duration; consumes nothing
  std::optional<double> signed_number(); // consumes it

  ExprPtr number();
  ExprPtr parenthesized();
  ExprPtr aggregate();
  ExprPtr call();
  bool arguments(std::vector<ExprPtr>& out);
  ExprPtr selector();
  bool label_matchers(VectorSelector& node);
  bool label_matcher(VectorSelector& node);

  ExprPtr modifiers(ExprPtr expr);
  ExprPtr range_or_subquery(ExprPtr expr);
  ExprPtr finish_range(ExprPtr expr, ExprPtr range, TextRange brackets);
  ExprPtr finish_subquery(ExprPtr expr, ExprPtr range);
  bool offset_modifier(Expr& expr);
  bool at_modifier(Expr& expr);
  bool extended_modifier(Expr& expr, Tok which);
  TimeShift* shift_of(Expr& expr, std::string_view complaint);

  ExprPtr duration_expression(int min_level);
  ExprPtr duration_operand(int sign_level);
  ExprPtr positive_duration();
  ExprPtr offset_duration();
  ExprPtr duration_function();

  std::string_view text_;
  ParseOptions options_;
  std::vector<Token> tokens_;
  std::size_t at_ = 0;
  std::size_t last_end_ = 0; // end of the token last consumed
  int depth_ = 0;
  std::optional<ParseError> error_;
};

// Seconds to milliseconds as Go's time.Duration arithmetic gives them.
std::int64_t seconds_to_ms(double seconds);
// True if this many seconds fit into an int64 of nanoseconds.
bool duration_in_range(double seconds);

} // namespace coalmine::promql
