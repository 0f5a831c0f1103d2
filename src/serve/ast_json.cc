// SPDX-License-Identifier: Apache-2.0
#include "serve/ast_json.h"

#include <fmt/format.h>

#include <array>
#include <string_view>
#include <utility>
#include <vector>

#include "base/json_string.h"
#include "promql/syntax/go_text.h"

namespace coalmine::serve {
namespace {

using promql::Expr;
using promql::TimeShift;

std::string quoted(std::string_view text) {
  std::string out;
  append_json_string(out, text);
  return out;
}

std::string_view boolean(bool value) { return value ? "true" : "false"; }

std::string list(const std::vector<std::string>& texts) {
  std::string out = "[";
  for (const auto& text : texts) out += (out.size() > 1 ? "," : "") + quoted(text);
  return out + "]";
}

// {"type":…, then members in the order given; values are JSON already.
class Object {
 public:
  explicit Object(std::string_view type) { text_ = "{\"type\":" + quoted(type); }
  Object& add(std::string_view name, std::string_view json) {
    text_ += fmt::format(",\"{}\":{}", name, json);
    return *this;
  }
  std::string done() { return text_ + "}"; }

 private:
  std::string text_;
};

std::string optional_json(const promql::ExprPtr& expr) { return expr ? ast_json(*expr) : "null"; }

std::string matchers(const std::vector<Matcher>& all) {
  constexpr std::array<std::string_view, 4> kOps = {"=", "!=", "=~", "!~"};
  std::string out = "[";
  for (const Matcher& matcher : all) {
    if (out.size() > 1) out += ',';
    out += fmt::format("{{\"name\":{},\"value\":{},\"type\":\"{}\"}}", quoted(matcher.name),
                       quoted(matcher.value), kOps[static_cast<std::size_t>(matcher.op)]);
  }
  return out + "]";
}

void add_shift(Object& out, const TimeShift& shift) {
  out.add("offset", fmt::format("{}", shift.offset_ms))
      .add("offsetExpr", optional_json(shift.offset_expr));
  out.add("timestamp", shift.at_ms ? fmt::format("{}", *shift.at_ms) : "null");
  const bool edge = shift.at_edge != TimeShift::Edge::none;
  out.add("startOrEnd", !edge                                     ? "null"
                        : shift.at_edge == TimeShift::Edge::start ? "\"start\""
                                                                  : "\"end\"");
}

void add_selector(Object& out, const promql::VectorSelector& node) {
  out.add("name", quoted(node.name)).add("matchers", matchers(node.matchers));
  out.add("anchored", boolean(node.anchored)).add("smoothed", boolean(node.smoothed));
  add_shift(out, node.shift);
}

std::string number(const promql::NumberLiteral& node, bool in_duration) {
  Object out("numberLiteral");
  out.add("val", quoted(promql::format_decimal(node.value)));
  if (in_duration) out.add("duration", boolean(node.is_duration));
  return out.done();
}

std::string duration_side(const promql::ExprPtr& side) {
  if (!side) return "null";
  if (const auto* literal = promql::as<promql::NumberLiteral>(side)) return number(*literal, true);
  return ast_json(*side);
}

std::string call(const promql::CallExpr& node) {
  std::string types = "[";
  for (std::size_t i = 0; i < node.function->args.size(); ++i) {
    types +=
        fmt::format("{}\"{}\"", i > 0 ? "," : "", promql::short_name(node.function->arg_type(i)));
  }
  std::string args = "[";
  for (const auto& arg : node.args) args += (args.size() > 1 ? "," : "") + ast_json(*arg);
  const std::string function =
      fmt::format("{{\"name\":\"{}\",\"argTypes\":{}],\"variadic\":{},\"returnType\":\"{}\"}}",
                  node.function->name, types, node.function->variadic,
                  promql::short_name(node.function->result));
  return Object("call").add("func", function).add("args", args + "]").done();
}

std::string matching_json(const promql::VectorMatching& matching) {
  constexpr std::array<std::string_view, 4> kCards = {"one-to-one", "many-to-one", "one-to-many",
                                                      "many-to-many"};
  const auto fill = [](const std::optional<double>& value) {
    return value ? promql::format_decimal(*value) : "null";
  };
  return fmt::format(
      "{{\"card\":\"{}\",\"labels\":{},\"on\":{},\"include\":{},\"fillValues\":{{\"lhs\":{},"
      "\"rhs\":{}}}}}",
      kCards[static_cast<std::size_t>(matching.card)], list(matching.labels), boolean(matching.on),
      list(matching.include), fill(matching.fill_left), fill(matching.fill_right));
}

std::string binary(const promql::BinaryExpr& node) {
  Object out("binaryExpr");
  out.add("op", quoted(promql::spelling(node.op)))
      .add("lhs", ast_json(*node.left))
      .add("rhs", ast_json(*node.right));
  return out.add("matching", node.matching ? matching_json(*node.matching) : "null")
      .add("bool", boolean(node.return_bool))
      .done();
}

std::string aggregate(const promql::AggregateExpr& node) {
  Object out("aggregation");
  out.add("op", quoted(promql::spelling(node.op)))
      .add("expr", ast_json(*node.inner))
      .add("param", optional_json(node.param));
  return out.add("grouping", list(node.grouping)).add("without", boolean(node.without)).done();
}

std::string subquery(const promql::SubqueryExpr& node) {
  Object out("subquery");
  out.add("expr", ast_json(*node.inner))
      .add("range", fmt::format("{}", node.range_ms))
      .add("rangeExpr", optional_json(node.range_expr));
  out.add("step", fmt::format("{}", node.step_ms)).add("stepExpr", optional_json(node.step_expr));
  add_shift(out, node.shift);
  return out.done();
}

std::string range_selector(const promql::MatrixSelector& node) {
  Object out("matrixSelector");
  out.add("range", fmt::format("{}", node.range_ms))
      .add("rangeExpr", optional_json(node.range_expr));
  add_selector(out, *node.selector);
  return out.done();
}

std::string duration(const promql::DurationExpr& node) {
  Object out("durationExpr");
  out.add("op", quoted(promql::spelling(node.op)))
      .add("lhs", duration_side(node.left))
      .add("rhs", duration_side(node.right));
  return out.add("wrapped", boolean(node.wrapped)).done();
}

} // namespace

std::string ast_json(const Expr& expr) {
  switch (expr.kind) {
    case Expr::Kind::number: return number(static_cast<const promql::NumberLiteral&>(expr), false);
    case Expr::Kind::string:
      return Object("stringLiteral")
          .add("val", quoted(static_cast<const promql::StringLiteral&>(expr).value))
          .done();
    case Expr::Kind::paren:
      return Object("parenExpr")
          .add("expr", ast_json(*static_cast<const promql::ParenExpr&>(expr).inner))
          .done();
    case Expr::Kind::unary: {
      const auto& node = static_cast<const promql::UnaryExpr&>(expr);
      return Object("unaryExpr")
          .add("op", quoted(promql::spelling(node.op)))
          .add("expr", ast_json(*node.inner))
          .done();
    }
    case Expr::Kind::vector: {
      Object out("vectorSelector");
      add_selector(out, static_cast<const promql::VectorSelector&>(expr));
      return out.done();
    }
    case Expr::Kind::matrix:
      return range_selector(static_cast<const promql::MatrixSelector&>(expr));
    case Expr::Kind::subquery: return subquery(static_cast<const promql::SubqueryExpr&>(expr));
    case Expr::Kind::call: return call(static_cast<const promql::CallExpr&>(expr));
    case Expr::Kind::aggregate: return aggregate(static_cast<const promql::AggregateExpr&>(expr));
    case Expr::Kind::binary: return binary(static_cast<const promql::BinaryExpr&>(expr));
    case Expr::Kind::duration: return duration(static_cast<const promql::DurationExpr&>(expr));
  }
  return "null";
}

} // namespace coalmine::serve
