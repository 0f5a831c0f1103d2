// Literals, selectors, calls and aggregations.
// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <re2/re2.h>

#include "promql/syntax/go_text.h"
#include "promql/syntax/parser_impl.h"
#include "promql/syntax/series_matcher.h"

namespace coalmine::promql {
namespace {

// Words that the grammar allows as a metric's name.
bool may_name_metric(Tok t) {
  switch (t) {
    case Tok::identifier:
    case Tok::metric_identifier:
    case Tok::by:
    case Tok::without:
    case Tok::offset:
    case Tok::land:
    case Tok::lor:
    case Tok::lunless:
    case Tok::fill:
    case Tok::fill_left:
    case Tok::fill_right:
    case Tok::smoothed:
    case Tok::anchored:
    case Tok::start:
    case Tok::end:
    case Tok::step:
    case Tok::range:
    case Tok::max_of:
    case Tok::min_of: return true;
    default: return is_aggregator(t);
  }
}

bool may_name_function(Tok t) {
  return t == Tok::identifier || t == Tok::start || t == Tok::end || t == Tok::step ||
         t == Tok::range || t == Tok::max_of || t == Tok::min_of;
}

} // namespace

ExprPtr Parser::primary() {
  const Token token = peek();
  if (token.type == Tok::number || token.type == Tok::duration) return number();
  if (token.type == Tok::string) {
    next();
    return std::make_unique<StringLiteral>(range_of(token), unquoted(token));
  }
  if (token.type == Tok::left_paren) return parenthesized();
  const Tok second = peek_second().type;
  if (is_aggregator(token.type) &&
      (second == Tok::left_paren || second == Tok::by || second == Tok::without))
    return aggregate();
  if (may_name_function(token.type) && second == Tok::left_paren) return call();
  if (token.type == Tok::left_brace || may_name_metric(token.type)) return selector();
  unexpected("", "");
  return nullptr;
}

ExprPtr Parser::number() {
  const Token token = next();
  auto node = std::make_unique<NumberLiteral>(range_of(token), number_token(token).value_or(0));
  node->is_duration = token.type == Tok::duration;
  return node;
}

ExprPtr Parser::parenthesized() {
  const std::size_t start = next().pos;
  ExprPtr inner = expression(0);
  if (!inner || !expect(Tok::right_paren, "", "")) return nullptr;
  auto node = std::make_unique<ParenExpr>(TextRange{start, last_end_}, std::move(inner));
  raise(*node, *node->inner);
  return node;
}

ExprPtr Parser::aggregate() {
  const Token op = next();
  auto node = std::make_unique<AggregateExpr>(range_of(op), op.type);
  const auto modifier = [&] {
    node->without = next().type == Tok::without;
    return grouping_labels(node->grouping);
  };
  const auto modifier_follows = [&] {
    return peek().type == Tok::by || peek().type == Tok::without;
  };
  const bool before = modifier_follows();
  if (before && !modifier()) return nullptr;
  if (peek().type != Tok::left_paren) {
    unexpected("aggregation", "");
    return nullptr;
  }
  std::vector<ExprPtr> args;
  if (!arguments(args)) return nullptr;
  if (!before && modifier_follows() && !modifier()) return nullptr;
  node->range.end = last_end_;
  if (args.empty()) {
    fail(node->range, "no arguments for aggregate expression provided");
    return nullptr;
  }
  if (!options_.experimental_functions && (op.type == Tok::limitk || op.type == Tok::limit_ratio)) {
    fail(node->range, fmt::format("{}() is experimental and must be enabled with "
                                  "--enable-feature=promql-experimental-functions",
                                  spelling(op.type)));
    return nullptr;
  }
  const std::size_t wanted = takes_param(op.type) ? 2 : 1;
  if (args.size() != wanted) {
    fail(node->range,
         fmt::format(
             "wrong number of arguments for aggregate expression provided, expected {}, got {}",
             wanted, args.size()));
    return nullptr;
  }
  if (wanted == 2) node->param = std::move(args[0]);
  node->inner = std::move(args.back());
  raise(*node, *node->inner);
  if (node->param) raise(*node, *node->param);
  return node;
}

ExprPtr Parser::call() {
  const Token name = next();
  const FunctionSignature* function = find_function(name.text);
  if (function == nullptr)
    fail(range_of(name), "unknown function with name " + go_quote(name.text));
  if (function != nullptr && function->experimental && !options_.experimental_functions) {
    fail(range_of(name), fmt::format("function {} is not enabled", go_quote(name.text)));
  }
  if (error_) return nullptr;
  auto node = std::make_unique<CallExpr>(range_of(name), function);
  if (!arguments(node->args)) return nullptr;
  for (const ExprPtr& arg : node->args) raise(*node, *arg);
  node->range.end = last_end_;
  return node;
}

bool Parser::arguments(std::vector<ExprPtr>& out) {
  next(); // (
  if (accept(Tok::right_paren)) return true;
  while (true) {
    ExprPtr arg = expression(0);
    if (!arg) return false;
    out.push_back(std::move(arg));
    if (accept(Tok::right_paren)) return true;
    const Token comma = peek();
    if (!expect(Tok::comma, "", "")) return false;
    if (peek().type == Tok::right_paren) {
      fail(range_of(comma), "trailing commas not allowed in function call args");
      return false;
    }
  }
}

ExprPtr Parser::selector() {
  const Token first = peek();
  auto node = std::make_unique<VectorSelector>(range_of(first));
  if (first.type != Tok::left_brace) {
    next();
    node->name = first.text;
  }
  if (peek().type == Tok::left_brace && !label_matchers(*node)) return nullptr;
  if (!node->name.empty())
    node->matchers.push_back({std::string(kMetricName), Matcher::Op::equal, node->name});
  node->range.end = last_end_;
  return node;
}

bool Parser::label_matchers(VectorSelector& node) {
  next(); // {
  while (!accept(Tok::right_brace)) {
    if (!label_matcher(node)) return false;
    if (accept(Tok::comma)) continue;
    return expect(Tok::right_brace, "label matching", "\",\" or \"}\"");
  }
  return true;
}

bool Parser::label_matcher(VectorSelector& node) {
  constexpr std::string_view kContext = "label matching";
  const Token name = peek();
  if (name.type != Tok::identifier && name.type != Tok::string) {
    unexpected(kContext, "identifier or \"}\"");
    return false;
  }
  next();
  Matcher matcher;
  matcher.name = name.type == Tok::string ? unquoted(name) : std::string(name.text);
  switch (peek().type) {
    case Tok::eql: matcher.op = Matcher::Op::equal; break;
    case Tok::neq: matcher.op = Matcher::Op::not_equal; break;
    case Tok::eql_regex: matcher.op = Matcher::Op::regexp; break;
    case Tok::neq_regex: matcher.op = Matcher::Op::not_regexp; break;
    default:
      if (name.type == Tok::identifier) {
        unexpected(kContext, "label matching operator");
        return false;
      }
      node.matchers.push_back(
          {std::string(kMetricName), Matcher::Op::equal, matcher.name}); // {"name"}
      return !error_;
  }
  next();
  const Token value = peek();
  if (!expect(Tok::string, kContext, "string")) return false;
  matcher.value = unquoted(value);
  if (const auto wrong = check_matcher(matcher))
    fail({name.pos, value.pos + value.text.size()}, *wrong);
  node.matchers.push_back(std::move(matcher));
  return !error_;
}

} // namespace coalmine::promql
