// Recursive descent with precedence climbing. Levels, loosest first: or | and unless | comparisons
// </ >/ | + - | * / % atan2 | ^ (right). Unary minus sits on the level of *, and every modifier
// ([...], offset, @, anchored, smoothed) binds tighter than any operator.
// SPDX-License-Identifier: Apache-2.0
#include "promql/syntax/parser.h"

#include <fmt/format.h>
#include <re2/re2.h>

#include <algorithm>
#include <cmath>

#include "base/text.h"
#include "promql/syntax/go_text.h"
#include "promql/syntax/parser_impl.h"

namespace coalmine::promql {

namespace {

constexpr int kUnaryLevel = 5;
constexpr int kPowLevel = 6;

int binary_level(Tok op) {
  switch (op) {
    case Tok::lor: return 1;
    case Tok::land:
    case Tok::lunless: return 2;
    case Tok::eqlc:
    case Tok::neq:
    case Tok::gtr:
    case Tok::lss:
    case Tok::gte:
    case Tok::lte:
    case Tok::trim_upper:
    case Tok::trim_lower: return 3;
    case Tok::add:
    case Tok::sub: return 4;
    case Tok::mul:
    case Tok::div:
    case Tok::mod:
    case Tok::atan2: return kUnaryLevel;
    case Tok::pow: return kPowLevel;
    default: return 0;
  }
}

} // namespace

std::string ParseError::text() const {
  if (range.end == 0) return "unknown position: parse error: " + message; // the query is empty
  return fmt::format("{}:{}: parse error: {}", span.line, span.column, message);
}

SourceSpan span_of(std::string_view text, TextRange range) {
  SourceSpan out;
  const std::size_t at = std::min(range.start, text.size());
  std::size_t line_start = 0;
  for (std::size_t i = 0; i < at; ++i) {
    if (text[i] != '\n') continue;
    ++out.line;
    line_start = i + 1;
  }
  out.column = at - line_start + 1;
  out.length = range.end > range.start ? range.end - range.start : 1;
  return out;
}

Parser::Parser(std::string_view text, const ParseOptions& options)
    : text_(text), options_(options), tokens_(tokenize(text)) {}

void Parser::fail(TextRange range, std::string message) {
  if (!error_) error_ = ParseError{std::move(message), range, span_of(text_, range)};
}

void Parser::unexpected(std::string_view context, std::string_view expected) {
  const Token& token = peek();
  if (token.type == Tok::error) return fail({token.pos, text_.size()}, token.error);
  std::string message = "unexpected " + describe(token);
  if (!context.empty()) message += fmt::format(" in {}", context);
  if (!expected.empty()) message += fmt::format(", expected {}", expected);
  fail(range_of(token), std::move(message));
}

bool Parser::expect(Tok type, std::string_view context, std::string_view expected) {
  if (peek().type == type) {
    next();
    return true;
  }
  unexpected(context, expected);
  return false;
}

ExprPtr Parser::expression(int min_level) {
  if (++depth_ > kMaxDepth) {
    fail(range_of(peek()), fmt::format("expression is nested deeper than {} levels", kMaxDepth));
    return nullptr;
  }
  ExprPtr left = operand();
  while (left && !error_) {
    const Token op = peek();
    const int level = binary_level(op.type);
    if (level == 0 || level < min_level) break;
    next();
    left = binary(std::move(left), op, level);
  }
  --depth_;
  return error_ ? nullptr : std::move(left);
}

void Parser::raise(Expr& node, const Expr& child) {
  node.height = std::max<std::uint16_t>(node.height, static_cast<std::uint16_t>(child.height + 1));
  if (node.height > kMaxHeight)
    fail(node.range, fmt::format("expression is more than {} operators deep", kMaxHeight));
}

ExprPtr Parser::operand() {
  const Token token = peek();
  if (token.type != Tok::add && token.type != Tok::sub) return modifiers(primary());
  next();
  ExprPtr inner = expression(kPowLevel);
  if (!inner) return nullptr;
  if (auto* number = as<NumberLiteral>(inner)) {
    if (token.type == Tok::sub) number->value = -number->value;
    number->range.start = token.pos;
    return inner;
  }
  const TextRange range{token.pos, inner->range.end};
  auto node = std::make_unique<UnaryExpr>(range, token.type, std::move(inner));
  raise(*node, *node->inner);
  return node;
}

ExprPtr Parser::binary(ExprPtr left, const Token& op, int level) {
  auto node = std::make_unique<BinaryExpr>(left->range, op.type);
  node->matching.emplace();
  if (!binary_modifiers(*node)) return nullptr;
  ExprPtr right = expression(level == kPowLevel ? level : level + 1);
  if (!right) return nullptr;
  node->range.end = right->range.end;
  node->left = std::move(left);
  node->right = std::move(right);
  raise(*node, *node->left);
  raise(*node, *node->right);
  if (!options_.fill_modifiers && (node->matching->fill_left || node->matching->fill_right)) {
    fail(node->range, "binop fill modifiers are experimental and not enabled");
    return nullptr;
  }
  return node;
}

bool Parser::binary_modifiers(BinaryExpr& node) {
  VectorMatching& matching = *node.matching;
  if (accept(Tok::kw_bool)) node.return_bool = true;
  if (peek().type == Tok::on || peek().type == Tok::ignoring) {
    matching.on = next().type == Tok::on;
    if (!grouping_labels(matching.labels)) return false;
    if (peek().type == Tok::group_left || peek().type == Tok::group_right) {
      matching.card = next().type == Tok::group_left ? VectorMatching::Card::many_to_one
                                                     : VectorMatching::Card::one_to_many;
      if (peek().type == Tok::left_paren && !grouping_labels(matching.include)) return false;
    }
  }
  return fill_modifiers(matching);
}

bool Parser::fill_modifiers(VectorMatching& matching) {
  const auto value = [&](std::optional<double>& out) {
    if (!expect(Tok::left_paren, "fill", "\"(\"")) return false;
    const auto number = signed_number();
    if (!number) {
      unexpected("fill", "number");
      return false;
    }
    out = *number;
    return expect(Tok::right_paren, "fill", "\")\"");
  };
  if (accept(Tok::fill)) {
    if (!value(matching.fill_left)) return false;
    matching.fill_right = matching.fill_left;
    return true;
  }
  while (true) {
    if (!matching.fill_left && accept(Tok::fill_left)) {
      if (!value(matching.fill_left)) return false;
    } else if (!matching.fill_right && accept(Tok::fill_right)) {
      if (!value(matching.fill_right)) return false;
    } else {
      return true;
    }
  }
}

bool Parser::grouping_labels(std::vector<std::string>& out) {
  constexpr std::string_view kContext = "grouping opts";
  if (!expect(Tok::left_paren, kContext, "\"(\"")) return false;
  while (!accept(Tok::right_paren)) {
    const Token token = peek();
    std::string name(token.text);
    if (token.type == Tok::string) {
      name = unquoted(token);
    } else if (token.type != Tok::identifier && token.type != Tok::metric_identifier &&
               spelling(token.type).size() < 2) {
      unexpected(kContext, "label");
      return false;
    }
    const bool word = token.type == Tok::string || token.type == Tok::identifier ||
                      token.type == Tok::metric_identifier;
    // An operator written as a sign.
    if (!word && !std::isalpha(static_cast<unsigned char>(name[0]))) {
      unexpected(kContext, "label");
      return false;
    }
    next();
    if (name.empty() || !is_utf8(name)) {
      fail(range_of(token), "invalid label name for grouping: " + go_quote(name));
      return false;
    }
    out.push_back(std::move(name));
    if (accept(Tok::comma)) continue;
    if (!expect(Tok::right_paren, kContext, "\",\" or \")\"")) return false;
    return true;
  }
  return true;
}

std::string Parser::unquoted(const Token& token) {
  auto value = unquote(token.text);
  if (!value)
    fail(range_of(token),
         fmt::format("error unquoting string {}: invalid syntax", go_quote(token.text)));
  return value.value_or("");
}

std::optional<double> Parser::number_token(const Token& token) {
  if (token.type == Tok::number) {
    const auto value = parse_promql_number(token.text);
    if (!value)
      fail(range_of(token),
           fmt::format("error parsing number: strconv.ParseFloat: parsing {}: invalid syntax",
                       go_quote(token.text)));
    return value.value_or(0);
  }
  if (token.type != Tok::duration) return std::nullopt;
  const auto ms = parse_prometheus_duration(token.text);
  if (!ms) {
    fail(range_of(token), ms.error().message);
    return 0;
  }
  return static_cast<double>(*ms) / 1000;
}

std::optional<double> Parser::signed_number() {
  const std::size_t before = at_;
  const Token sign = peek();
  if (sign.type == Tok::add || sign.type == Tok::sub) next();
  const auto value = number_token(peek());
  if (!value) {
    at_ = before;
    return std::nullopt;
  }
  next();
  return sign.type == Tok::sub ? -*value : *value;
}

ParseOutcome<ExprPtr> parse_expression(std::string_view text, const ParseOptions& options) {
  Parser parser(text, options);
  ExprPtr expr;
  if (parser.peek().type == Tok::end_of_input) {
    parser.fail({0, 0}, "no expression found in input");
  } else {
    expr = parser.expression(0);
    if (expr && parser.peek().type != Tok::end_of_input) parser.unexpected("", "");
  }
  if (parser.error()) return std::unexpected(*parser.error());
  if (auto wrong = check_types(*expr, text)) {
    return std::unexpected(
        ParseError{std::move(wrong->message), wrong->range, span_of(text, wrong->range)});
  }
  return expr;
}

ParseOutcome<std::vector<Matcher>> parse_metric_selector(std::string_view text) {
  Parser parser(text, ParseOptions{});
  ExprPtr expr = parser.primary();
  if (expr && parser.peek().type != Tok::end_of_input) parser.unexpected("", "");
  if (expr && expr->kind != Expr::Kind::vector)
    parser.fail(expr->range, "expected a series selector");
  if (parser.error()) return std::unexpected(*parser.error());
  return std::move(static_cast<VectorSelector&>(*expr).matchers);
}

} // namespace coalmine::promql
