// SPDX-License-Identifier: Apache-2.0
#include "promql/eval/preprocess.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "promql/syntax/parser_impl.h"

namespace coalmine::promql {
namespace {

// Functions whose value depends on the step even when their arguments do not.
constexpr auto kStepDependent = std::to_array<std::string_view>(
    {"day_of_month", "day_of_week", "day_of_year", "days_in_month", "hour", "minute", "month",
     "predict_linear", "start_timestamp", "time", "timestamp", "year"});

class Preparer {
 public:
  Preparer(std::int64_t start_ms, std::int64_t end_ms, std::int64_t step_ms)
      : start_(start_ms), end_(end_ms), step_(step_ms) {}

  void fold(ExprPtr& expr) {
    if (const auto* call = as<CallExpr>(expr)) {
      const std::string_view name = call->function->name;
      std::optional<double> value;
      if (name == "start") value = static_cast<double>(start_) / 1000;
      if (name == "end") value = static_cast<double>(end_) / 1000;
      if (name == "range") value = static_cast<double>(end_ - start_) / 1000;
      if (name == "step") value = start_ == end_ ? 0 : static_cast<double>(step_) / 1000;
      if (value) {
        expr = std::make_unique<NumberLiteral>(call->range, *value);
        return;
      }
    }
    for (ExprPtr* child : child_slots(*expr)) fold(*child);
  }

  Eval<bool> durations(Expr& expr) {
    if (auto* vector = as<VectorSelector>(&expr)) return shift(vector->shift);
    if (auto* matrix = as<MatrixSelector>(&expr)) {
      TRY_EVAL([[maybe_unused]] bool moved, shift(matrix->selector->shift));
      return length(matrix->range_expr, matrix->range_ms);
    }
    if (auto* subquery = as<SubqueryExpr>(&expr)) {
      TRY_EVAL([[maybe_unused]] bool moved, shift(subquery->shift));
      TRY_EVAL([[maybe_unused]] bool stepped, length(subquery->step_expr, subquery->step_ms));
      TRY_EVAL([[maybe_unused]] bool ranged, length(subquery->range_expr, subquery->range_ms));
    }
    for (ExprPtr* child : child_slots(expr)) {
      TRY_EVAL([[maybe_unused]] bool done, durations(**child));
    }
    return true;
  }

  // Finds selectors under histogram_count and similar functions. They need no buckets, so resets
  // are determined when the samples are fetched.
  static void find_stats_only(Expr& expr, bool counted = false, bool buckets_needed = false) {
    if (auto* vector = as<VectorSelector>(&expr)) vector->stats_only = counted && !buckets_needed;
    if (auto* matrix = as<MatrixSelector>(&expr))
      matrix->selector->stats_only = counted && !buckets_needed;
    if (const auto* call = as<CallExpr>(&expr)) {
      const std::string_view name = call->function->name;
      counted = counted || name == "histogram_count" || name == "histogram_sum" ||
                name == "histogram_avg";
      buckets_needed =
          buckets_needed || name.starts_with("histogram_quantile") || name == "histogram_fraction";
    }
    const auto* binary = as<BinaryExpr>(&expr);
    const bool trims =
        binary != nullptr && (binary->op == Tok::trim_upper || binary->op == Tok::trim_lower);
    buckets_needed = buckets_needed || trims || expr.kind == Expr::Kind::subquery;
    for (ExprPtr* child : child_slots(expr)) find_stats_only(**child, counted, buckets_needed);
  }

  struct Invariance {
    bool invariant = false;
    bool wrap = false; // worth evaluating only once; not set for ranges and literals
  };

  // Marks the largest invariant parts below expr; the caller marks expr itself.
  Invariance mark(Expr& expr) {
    switch (expr.kind) {
      case Expr::Kind::vector: {
        const bool fixed = static_cast<VectorSelector&>(expr).shift.at_ms.has_value();
        return {fixed, fixed};
      }
      case Expr::Kind::matrix:
        return {static_cast<MatrixSelector&>(expr).selector->shift.at_ms.has_value(), false};
      case Expr::Kind::paren: return mark(*static_cast<ParenExpr&>(expr).inner);
      case Expr::Kind::unary: return mark(*static_cast<UnaryExpr&>(expr).inner);
      case Expr::Kind::aggregate: return aggregate(static_cast<AggregateExpr&>(expr));
      case Expr::Kind::subquery: {
        auto& subquery = static_cast<SubqueryExpr&>(expr);
        if (mark(*subquery.inner).invariant) subquery.inner->step_invariant = true;
        return {subquery.shift.at_ms.has_value(), false};
      }
      case Expr::Kind::binary: {
        auto& binary = static_cast<BinaryExpr&>(expr);
        return operands({binary.left.get(), binary.right.get()}, {.invariant = true});
      }
      case Expr::Kind::call: return call(static_cast<CallExpr&>(expr));
      default: return {true, false};
    }
  }

 private:
  Invariance aggregate(AggregateExpr& node) {
    if (!node.param) return mark(*node.inner);
    return operands({node.inner.get(), node.param.get()}, {.invariant = true});
  }

  Invariance call(CallExpr& node) {
    bool safe = std::ranges::find(kStepDependent, node.function->name) == kStepDependent.end();
    if (node.function->name == "timestamp") {
      const auto* selector = as<VectorSelector>(&unwrap_parens(*node.args[0]));
      safe = selector != nullptr && selector->shift.at_ms.has_value();
      if (!safe) return operands({node.args[0].get()}, {});
    }
    std::vector<Expr*> args;
    for (const ExprPtr& arg : node.args) args.push_back(arg.get());
    return operands(args, Invariance{.invariant = safe});
  }

  // own: what is known of the expression without its operands.
  Invariance operands(const std::vector<Expr*>& all, Invariance own) {
    std::vector<Expr*> worth;
    bool invariant = own.invariant;
    for (Expr* one : all) {
      const Invariance found = mark(*one);
      invariant = invariant && found.invariant;
      if (found.wrap) worth.push_back(one);
    }
    if (invariant) return {true, true};
    for (Expr* one : worth) one->step_invariant = true;
    return {};
  }

  Eval<bool> shift(TimeShift& shift) {
    if (shift.at_edge == TimeShift::Edge::start) shift.at_ms = start_;
    if (shift.at_edge == TimeShift::Edge::end) shift.at_ms = end_;
    if (!shift.offset_expr) return true;
    TRY_EVAL(const double seconds, compute(*shift.offset_expr));
    return store(*shift.offset_expr, seconds, true, shift.offset_ms);
  }

  Eval<bool> length(const ExprPtr& expr, std::int64_t& out_ms) {
    if (!expr) return true;
    TRY_EVAL(const double seconds, compute(*expr));
    return store(*expr, seconds, false, out_ms);
  }

  static std::unexpected<QueryError> wrong(const Expr& expr, std::string_view what) {
    return execution_error(fmt::format("{}:{}: {}", expr.range.start, expr.range.end, what));
  }

  static Eval<bool> store(const Expr& expr, double seconds, bool may_be_negative,
                          std::int64_t& out_ms) {
    if (!std::isfinite(seconds)) return wrong(expr, "duration is NaN or infinite");
    if (seconds <= 0 && !may_be_negative) return wrong(expr, "duration must be greater than 0");
    if (!duration_in_range(seconds)) return wrong(expr, "duration is out of range");
    out_ms = static_cast<std::int64_t>(seconds * 1000);
    return true;
  }

  Eval<double> compute(const Expr& expr) const {
    if (const auto* number = as<NumberLiteral>(&expr)) return number->value;
    const auto& node = static_cast<const DurationExpr&>(expr);
    double left = 0;
    double right = 0;
    if (node.left) {
      TRY_EVAL(left, compute(*node.left));
    }
    if (node.right) {
      TRY_EVAL(right, compute(*node.right));
    }
    switch (node.op) {
      case Tok::step: return static_cast<double>(step_) / 1000;
      case Tok::range: return static_cast<double>(end_ - start_) / 1000;
      case Tok::min_of: return std::min(left, right);
      case Tok::max_of: return std::max(left, right);
      case Tok::add: return left + right;
      case Tok::sub: return left - right;
      case Tok::mul: return left * right;
      case Tok::div:
        return right == 0 ? Eval<double>(wrong(expr, "division by zero")) : left / right;
      case Tok::mod:
        return right == 0 ? Eval<double>(wrong(expr, "modulo by zero")) : std::fmod(left, right);
      case Tok::pow: return std::pow(left, right);
      default: return wrong(expr, "unexpected duration expression operator");
    }
  }

  std::int64_t start_;
  std::int64_t end_;
  std::int64_t step_;
};

} // namespace

Eval<bool> prepare(ExprPtr& expr, std::int64_t start_ms, std::int64_t end_ms, std::int64_t step_ms,
                   Shortcuts shortcuts) {
  Preparer preparer(start_ms, end_ms, step_ms);
  if (shortcuts == Shortcuts::on) Preparer::find_stats_only(*expr);
  preparer.fold(expr);
  TRY_EVAL([[maybe_unused]] bool done, preparer.durations(*expr));
  if (shortcuts == Shortcuts::on && preparer.mark(*expr).wrap) expr->step_invariant = true;
  return true;
}

} // namespace coalmine::promql
