// Prometheus's checks of a finished tree: types of operands and arguments, vector matching, empty
// selectors.
// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>

#include "promql/syntax/go_text.h"
#include "promql/syntax/parser.h"
#include "promql/syntax/series_matcher.h"

namespace coalmine::promql {
namespace {

bool is_operand(ValueType t) { return t == ValueType::scalar || t == ValueType::vector; }

// Checks depth first, because errors of inner expressions come first.
class TypeChecker {
 public:
  explicit TypeChecker(std::string_view text) : text_(text) {}
  std::optional<TypeError> error;

  ValueType check(Expr& expr) {
    if (!error) {
      switch (expr.kind) {
        case Expr::Kind::aggregate: aggregate(static_cast<AggregateExpr&>(expr)); break;
        case Expr::Kind::binary: binary(static_cast<BinaryExpr&>(expr)); break;
        case Expr::Kind::call: call(static_cast<CallExpr&>(expr)); break;
        case Expr::Kind::paren: check(*static_cast<ParenExpr&>(expr).inner); break;
        case Expr::Kind::unary: unary(static_cast<UnaryExpr&>(expr)); break;
        case Expr::Kind::subquery: subquery(static_cast<SubqueryExpr&>(expr)); break;
        case Expr::Kind::matrix: selector(*static_cast<MatrixSelector&>(expr).selector); break;
        case Expr::Kind::vector: selector(static_cast<VectorSelector&>(expr)); break;
        default: break;
      }
    }
    return type_of(expr);
  }

 private:
  void fail(TextRange range, std::string message) {
    if (!error) error = TypeError{std::move(message), range};
  }

  void expect_type(Expr& expr, ValueType want, std::string_view context) {
    const ValueType got = check(expr);
    if (got != want)
      fail(expr.range, fmt::format("expected type {} in {}, got {}", documented_name(want), context,
                                   documented_name(got)));
  }

  void aggregate(AggregateExpr& node) {
    expect_type(*node.inner, ValueType::vector, "aggregation expression");
    if (!node.param) return;
    expect_type(*node.param, node.op == Tok::count_values ? ValueType::string : ValueType::scalar,
                "aggregation parameter");
  }

  // The text between the two sides.
  TextRange operator_range(const BinaryExpr& node) const {
    TextRange out{node.left->range.end, node.right->range.start};
    const auto blank = [&](std::size_t at) {
      return at < text_.size() &&
             (text_[at] == ' ' || text_[at] == '\t' || text_[at] == '\n' || text_[at] == '\r');
    };
    while (out.start < out.end && blank(out.start)) ++out.start;
    while (out.end > out.start && blank(out.end - 1)) --out.end;
    return out;
  }

  void binary(BinaryExpr& node) {
    const ValueType left = check(*node.left);
    const ValueType right = check(*node.right);
    if (node.return_bool && !is_comparison(node.op))
      fail(operator_range(node), "bool modifier can only be used on comparison operators");
    if (is_comparison(node.op) && !node.return_bool && left == ValueType::scalar &&
        right == ValueType::scalar) {
      fail(operator_range(node), "comparisons between scalars must use BOOL modifier");
    }
    if (!node.matching) return;
    VectorMatching& matching = *node.matching;
    if (is_set_operator(node.op) && matching.card == VectorMatching::Card::one_to_one)
      matching.card = VectorMatching::Card::many_to_many;
    for (const std::string& label : matching.labels) {
      if (matching.on && std::ranges::find(matching.include, label) != matching.include.end()) {
        fail(
            operator_range(node),
            fmt::format("label {} must not occur in ON and GROUP clause at once", go_quote(label)));
      }
    }
    constexpr std::string_view kTypes =
        "binary expression must contain only scalar and instant vector types";
    if (!is_operand(left)) fail(node.left->range, std::string(kTypes));
    if (!is_operand(right)) fail(node.right->range, std::string(kTypes));
    if (left != ValueType::vector || right != ValueType::vector) {
      if (!matching.labels.empty())
        fail(node.range, "vector matching only allowed between instant vectors");
      if (matching.fill_left || matching.fill_right)
        fail(node.range, "filling in missing series only allowed between instant vectors");
      node.matching.reset();
    } else if (is_set_operator(node.op)) {
      set_operator(node, matching);
    }
    if (is_set_operator(node.op) && (left == ValueType::scalar || right == ValueType::scalar)) {
      fail(node.range, fmt::format("set operator {} not allowed in binary scalar expression",
                                   go_quote(spelling(node.op))));
    }
  }

  void set_operator(const BinaryExpr& node, const VectorMatching& matching) {
    if (matching.card != VectorMatching::Card::many_to_many) {
      fail(node.range,
           fmt::format("no grouping allowed for {} operation", go_quote(spelling(node.op))));
    }
    if (matching.fill_left || matching.fill_right)
      fail(node.range, "filling in missing series not allowed for set operators");
  }

  void call(CallExpr& node) {
    const FunctionSignature& function = *node.function;
    const auto given = static_cast<int>(node.args.size());
    const auto listed = static_cast<int>(function.args.size());
    const std::string name = go_quote(function.name);
    if (function.variadic == 0) {
      if (listed != given)
        fail(node.range,
             fmt::format("expected {} argument(s) in call to {}, got {}", listed, name, given));
    } else {
      const int least = listed - 1;
      if (least > given)
        fail(node.range, fmt::format("expected at least {} argument(s) in call to {}, got {}",
                                     least, name, given));
      const int most = least + function.variadic;
      if (function.variadic > 0 && most < given) {
        fail(node.range, fmt::format("expected at most {} argument(s) in call to {}, got {}", most,
                                     name, given));
      }
    }
    if (function.name == "info" && node.args.size() > 1) info_selector(*node.args[1]);
    for (std::size_t i = 0; i < node.args.size(); ++i) {
      if (i >= function.args.size() && function.variadic == 0) break;
      expect_type(*node.args[i], function.arg_type(i), "call to function " + name);
    }
  }

  void info_selector(Expr& arg) {
    auto* chosen = as<VectorSelector>(&arg);
    if (type_of(arg) != ValueType::vector) {
      fail(arg.range,
           fmt::format("expected type instant vector in call to function \"info\", got {}",
                       documented_name(type_of(arg))));
    } else if (chosen == nullptr) {
      fail(arg.range, "expected label selectors only");
    } else if (!chosen->name.empty()) {
      fail(arg.range, "expected label selectors only, got vector selector instead");
    } else {
      chosen->allow_empty = true;
    }
  }

  void unary(UnaryExpr& node) {
    const ValueType got = check(*node.inner);
    if (!is_operand(got)) {
      fail(node.range, fmt::format("unary expression only allowed on expressions of type scalar or "
                                   "instant vector, got {}",
                                   go_quote(documented_name(got))));
    }
  }

  void subquery(SubqueryExpr& node) {
    const ValueType got = check(*node.inner);
    if (got != ValueType::vector)
      fail(node.range, fmt::format("subquery is only allowed on instant vector, got {} instead",
                                   short_name(got)));
  }

  void selector(VectorSelector& node) {
    if (!node.name.empty()) {
      for (std::size_t i = 0; i + 1 < node.matchers.size(); ++i) {
        if (node.matchers[i].name != kMetricName) continue;
        fail(node.range, fmt::format("metric name must not be set twice: {} or {}",
                                     go_quote(node.name), go_quote(node.matchers[i].value)));
      }
      return;
    }
    if (node.allow_empty) return;
    const bool selective = std::ranges::any_of(
        node.matchers, [](const Matcher& m) { return !SeriesMatcher::matches_empty(m); });
    if (!selective) fail(node.range, "vector selector must contain at least one non-empty matcher");
  }

  std::string_view text_;
};

} // namespace

std::optional<TypeError> check_types(Expr& expr, std::string_view text) {
  TypeChecker checker(text);
  checker.check(expr);
  return std::move(checker.error);
}

} // namespace coalmine::promql
