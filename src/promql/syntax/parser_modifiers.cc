// Ranges, subqueries, offset, @, anchored, smoothed, and the arithmetic of durations.
// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "promql/syntax/parser_impl.h"

namespace coalmine::promql {
namespace {

constexpr std::string_view kAllDurations = "number, duration, step(), or range()";

constexpr int kOperandOnly = 4; // above every operator

int duration_level(Tok op) {
  switch (op) {
    case Tok::add:
    case Tok::sub: return 1;
    case Tok::mul:
    case Tok::div:
    case Tok::mod: return 2;
    case Tok::pow: return 3;
    default: return 0;
  }
}

// Takes the length out of a literal duration. Other expressions stay, to be computed later.
std::int64_t take_literal(ExprPtr& expr) {
  const auto* number = as<NumberLiteral>(expr);
  if (number == nullptr) return 0;
  const std::int64_t ms = seconds_to_ms(number->value);
  expr.reset();
  return ms;
}

} // namespace

std::int64_t seconds_to_ms(double seconds) {
  const double ns = std::round(seconds * 1e9);
  if (!(ns < 9.2e18 && ns > -9.2e18)) return 0;
  return static_cast<std::int64_t>(ns) / 1'000'000;
}

bool duration_in_range(double seconds) {
  return seconds <= 9223372036.854775 && seconds >= -9223372036.854775;
}

ExprPtr Parser::modifiers(ExprPtr expr) {
  while (expr && !error_) {
    switch (peek().type) {
      case Tok::left_bracket: expr = range_or_subquery(std::move(expr)); break;
      case Tok::offset:
        next();
        if (!offset_modifier(*expr)) return nullptr;
        break;
      case Tok::at:
        next();
        if (!at_modifier(*expr)) return nullptr;
        break;
      case Tok::anchored:
      case Tok::smoothed:
        if (!extended_modifier(*expr, next().type)) return nullptr;
        break;
      default: return expr;
    }
  }
  return error_ ? nullptr : std::move(expr);
}

ExprPtr Parser::range_or_subquery(ExprPtr expr) {
  const std::size_t open = next().pos;
  ExprPtr range = positive_duration();
  if (!range) {
    if (!error_) unexpected("subquery or range selector", kAllDurations);
    return nullptr;
  }
  if (accept(Tok::right_bracket))
    return finish_range(std::move(expr), std::move(range), {open, last_end_});
  if (!expect(Tok::colon, "subquery or range", "\":\" or \"]\"")) return nullptr;
  return finish_subquery(std::move(expr), std::move(range));
}

ExprPtr Parser::finish_range(ExprPtr expr, ExprPtr range, TextRange brackets) {
  auto* selector = as<VectorSelector>(expr);
  std::string_view wrong;
  if (selector == nullptr) {
    wrong = "ranges only allowed for vector selectors";
  } else if (selector->shift.has_offset) {
    wrong = "no offset modifiers allowed before range";
  } else if (selector->shift.has_at()) {
    wrong = "no @ modifiers allowed before range";
  }
  if (!wrong.empty()) {
    fail(brackets, std::string(wrong));
    return nullptr;
  }
  const TextRange whole{expr->range.start, last_end_};
  expr.release();
  auto node = std::make_unique<MatrixSelector>(whole, std::unique_ptr<VectorSelector>(selector));
  node->range_ms = take_literal(range);
  node->range_expr = std::move(range);
  return node;
}

ExprPtr Parser::finish_subquery(ExprPtr expr, ExprPtr range) {
  const TextRange start = expr->range;
  auto node = std::make_unique<SubqueryExpr>(start, std::move(expr));
  raise(*node, *node->inner);
  node->range_ms = take_literal(range);
  node->range_expr = std::move(range);
  if (!accept(Tok::right_bracket)) {
    ExprPtr step = positive_duration();
    if (!step) {
      if (!error_) unexpected("subquery selector", "number, duration, step(), range(), or \"]\"");
      return nullptr;
    }
    node->step_ms = take_literal(step);
    node->step_expr = std::move(step);
    if (!expect(Tok::right_bracket, "subquery selector", "\"]\"")) return nullptr;
  }
  node->range.end = last_end_;
  return node;
}

TimeShift* Parser::shift_of(Expr& expr, std::string_view complaint) {
  if (auto* vector = as<VectorSelector>(&expr)) return &vector->shift;
  if (auto* matrix = as<MatrixSelector>(&expr)) return &matrix->selector->shift;
  if (auto* subquery = as<SubqueryExpr>(&expr)) return &subquery->shift;
  fail(expr.range, fmt::format("{} modifier must be preceded by an instant vector selector or "
                               "range vector selector or a subquery",
                               complaint));
  return nullptr;
}

bool Parser::offset_modifier(Expr& expr) {
  ExprPtr by = offset_duration();
  if (!by) {
    if (!error_) unexpected("offset", kAllDurations);
    return false;
  }
  TimeShift* shift = shift_of(expr, "offset");
  if (shift == nullptr) return false;
  if (shift->has_offset) {
    fail(expr.range, "offset may not be set multiple times");
    return false;
  }
  shift->offset_ms = take_literal(by);
  shift->offset_expr = std::move(by);
  shift->has_offset = shift->offset_ms != 0 || shift->offset_expr != nullptr;
  expr.range.end = last_end_;
  return true;
}

bool Parser::at_modifier(Expr& expr) {
  TimeShift parsed;
  const Token token = peek();
  if (token.type == Tok::start || token.type == Tok::end) {
    next();
    if (!expect(Tok::left_paren, "@", "timestamp") || !expect(Tok::right_paren, "@", "timestamp"))
      return false;
    parsed.at_edge = token.type == Tok::start ? TimeShift::Edge::start : TimeShift::Edge::end;
  } else {
    const auto seconds = signed_number();
    if (!seconds) {
      unexpected("@", "timestamp");
      return false;
    }
    constexpr double kLimit = 9223372036854775808.0;
    if (!std::isfinite(*seconds) || *seconds >= kLimit || *seconds <= -kLimit) {
      fail(expr.range, fmt::format("timestamp out of bounds for @ modifier: {:f}", *seconds));
      return false;
    }
    const double ms = std::round(*seconds * 1000);
    if (std::abs(ms) < 9.2e18) parsed.at_ms = static_cast<std::int64_t>(ms);
    if (!parsed.at_ms) parsed.at_ms = ms > 0 ? INT64_MAX / 2 : INT64_MIN / 2;
  }
  TimeShift* shift = shift_of(expr, "@");
  if (shift == nullptr) return false;
  if (shift->has_at()) {
    fail(expr.range, "@ <timestamp> may not be set multiple times");
    return false;
  }
  shift->at_ms = parsed.at_ms;
  shift->at_edge = parsed.at_edge;
  expr.range.end = last_end_;
  return true;
}

bool Parser::extended_modifier(Expr& expr, Tok which) {
  const std::string_view word = spelling(which);
  std::string wrong;
  VectorSelector* selector = as<VectorSelector>(&expr);
  if (auto* matrix = as<MatrixSelector>(&expr)) selector = matrix->selector.get();
  if (!options_.extended_range_selectors) {
    wrong = fmt::format("{} modifier is experimental and not enabled", word);
  } else if (expr.kind == Expr::Kind::subquery) {
    wrong = fmt::format("{} modifier is not supported for subqueries", word);
  } else if (selector == nullptr) {
    wrong = fmt::format("{} modifier not implemented", word);
  } else {
    (which == Tok::anchored ? selector->anchored : selector->smoothed) = true;
    if (selector->anchored && selector->smoothed)
      wrong = "anchored and smoothed modifiers cannot be used together";
  }
  if (!wrong.empty()) fail(expr.range, std::move(wrong));
  return !error_;
}

ExprPtr Parser::positive_duration() {
  ExprPtr out = duration_expression(0);
  const auto* number = as<NumberLiteral>(out);
  if (number != nullptr && !(number->value > 0)) {
    fail(number->range, "duration must be greater than 0");
    return nullptr;
  }
  return out;
}

ExprPtr Parser::duration_expression(int min_level) {
  if (++depth_ > kMaxDepth) {
    fail(range_of(peek()), fmt::format("duration is nested deeper than {} levels", kMaxDepth));
    return nullptr;
  }
  // After offset a sign binds to one operand: offset -2^2 is (… offset -2)^2.
  ExprPtr left = duration_operand(std::max(min_level, 3));
  while (left && !error_) {
    const Token op = peek();
    const int level = duration_level(op.type);
    if (level == 0 || level < min_level) break;
    next();
    ExprPtr right = duration_expression(op.type == Tok::pow ? level : level + 1);
    if (!right) {
      if (!error_) unexpected("duration expression", kAllDurations);
      return nullptr;
    }
    const auto* zero = as<NumberLiteral>(right);
    if (zero != nullptr && zero->value == 0 && (op.type == Tok::div || op.type == Tok::mod)) {
      fail(range_of(op), op.type == Tok::div ? "division by zero" : "modulo by zero");
      return nullptr;
    }
    auto node =
        std::make_unique<DurationExpr>(TextRange{left->range.start, right->range.end}, op.type);
    node->left = std::move(left);
    node->right = std::move(right);
    raise(*node, *node->left);
    raise(*node, *node->right);
    left = std::move(node);
  }
  --depth_;
  return error_ ? nullptr : std::move(left);
}

// Null without an error when the next token cannot start a duration.
ExprPtr Parser::duration_operand(int sign_level) {
  const Token token = peek();
  if (token.type == Tok::add || token.type == Tok::sub) {
    next();
    ExprPtr inner = duration_expression(sign_level);
    if (!inner) return nullptr;
    if (auto* number = as<NumberLiteral>(inner)) {
      if (token.type == Tok::sub) number->value = -number->value;
      number->range.start = token.pos;
      return inner;
    }
    if (token.type == Tok::add) return inner;
    auto node = std::make_unique<DurationExpr>(TextRange{token.pos, inner->range.end}, token.type);
    node->right = std::move(inner);
    return node;
  }
  if (token.type == Tok::number || token.type == Tok::duration) {
    ExprPtr literal = number();
    if (!duration_in_range(static_cast<NumberLiteral&>(*literal).value))
      fail(literal->range, "duration out of range");
    return error_ ? nullptr : std::move(literal);
  }
  if (token.type == Tok::left_paren) {
    next();
    ExprPtr inner = duration_expression(0);
    if (!inner || !expect(Tok::right_paren, "duration expression", "\")\"")) return nullptr;
    if (auto* duration = as<DurationExpr>(inner)) {
      duration->wrapped = true;
      return inner;
    }
    auto node = std::make_unique<DurationExpr>(TextRange{token.pos, last_end_}, Tok::add);
    node->right = std::move(inner);
    node->wrapped = true;
    return node;
  }
  return duration_function();
}

// step(), range(), min_of(a, b), max_of(a, b).
ExprPtr Parser::duration_function() {
  const Token token = peek();
  const bool two = token.type == Tok::min_of || token.type == Tok::max_of;
  if (!two && token.type != Tok::step && token.type != Tok::range) return nullptr;
  next();
  auto node = std::make_unique<DurationExpr>(range_of(token), token.type);
  if (!expect(Tok::left_paren, "duration expression", "\"(\"")) return nullptr;
  if (two) {
    node->left = duration_expression(0);
    if (!node->left || !expect(Tok::comma, "duration expression", "\",\"")) return nullptr;
    node->right = duration_expression(0);
    if (!node->right) return nullptr;
  }
  if (!expect(Tok::right_paren, "duration expression", "\")\"")) return nullptr;
  node->range.end = last_end_;
  return node;
}

// After offset: one signed literal, step(), range(), min_of(), max_of(), or arithmetic in
// parentheses.
ExprPtr Parser::offset_duration() { return duration_expression(kOperandOnly); }

} // namespace coalmine::promql
