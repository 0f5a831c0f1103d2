// The syntax tree of PromQL. The parser makes it, the printer writes it back, the evaluator walks
// it.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "promql/syntax/function_table.h"
#include "promql/syntax/token.h"
#include "telemetry/labels.h"

namespace coalmine::promql {

// Half-open byte range in the query text.
struct TextRange {
  std::size_t start = 0;
  std::size_t end = 0;
};

// A node. Plain data owned by its parent. `kind` is the type of the struct (as<T> casts).
struct Expr {
  enum class Kind : std::uint8_t {
    number,
    string,
    vector,
    matrix,
    subquery,
    call,
    aggregate,
    binary,
    unary,
    paren,
    duration
  };
  Kind kind;
  TextRange range;
  // Height of the tree below, itself included. The parser limits it, so walking the tree may
  // recurse.
  std::uint16_t height = 1;
  // Set before evaluation when the value does not depend on the step. It is then computed once and
  // repeated.
  bool step_invariant = false;

  virtual ~Expr() = default;
  Expr(const Expr&) = delete;
  Expr& operator=(const Expr&) = delete;

 protected:
  Expr(Kind k, TextRange r) : kind(k), range(r) {}
};
using ExprPtr = std::unique_ptr<Expr>;

struct NumberLiteral final : Expr {
  static constexpr Kind kKind = Kind::number;
  double value = 0;
  bool is_duration = false; // written as 5m: printed as a duration
  explicit NumberLiteral(TextRange r, double v = 0) : Expr(kKind, r), value(v) {}
};

struct StringLiteral final : Expr {
  static constexpr Kind kKind = Kind::string;
  std::string value;
  StringLiteral(TextRange r, std::string v) : Expr(kKind, r), value(std::move(v)) {}
};

// Arithmetic in [] or after offset: step(), range(), min_of, max_of, + - * / % ^ and unary sign (no
// left side).
struct DurationExpr final : Expr {
  static constexpr Kind kKind = Kind::duration;
  Tok op;
  ExprPtr left;
  ExprPtr right;
  bool wrapped = false; // in parentheses
  DurationExpr(TextRange r, Tok o) : Expr(kKind, r), op(o) {}
};

// The @ and offset modifiers of selectors and subqueries.
struct TimeShift {
  std::int64_t offset_ms = 0; // literal, or computed from offset_expr before evaluation
  bool has_offset = false;
  ExprPtr offset_expr; // a DurationExpr, when not a literal
  std::optional<std::int64_t> at_ms;
  enum class Edge : std::uint8_t { none, start, end } at_edge = Edge::none;
  bool has_at() const { return at_ms.has_value() || at_edge != Edge::none; }
};

struct VectorSelector final : Expr {
  static constexpr Kind kKind = Kind::vector;
  std::string name; // written before the braces; also the last matcher
  std::vector<Matcher> matchers;
  TimeShift shift;
  bool anchored = false;
  bool smoothed = false;
  bool allow_empty = false; // the label selector of info()
  // Set before evaluation: only count and sum of histograms are used.
  bool stats_only = false;
  explicit VectorSelector(TextRange r) : Expr(kKind, r) {}
};

struct MatrixSelector final : Expr {
  static constexpr Kind kKind = Kind::matrix;
  std::unique_ptr<VectorSelector> selector;
  std::int64_t range_ms = 0;
  ExprPtr range_expr;
  MatrixSelector(TextRange r, std::unique_ptr<VectorSelector> s)
      : Expr(kKind, r), selector(std::move(s)) {}
};

struct SubqueryExpr final : Expr {
  static constexpr Kind kKind = Kind::subquery;
  ExprPtr inner;
  std::int64_t range_ms = 0;
  ExprPtr range_expr;
  std::int64_t step_ms = 0; // 0: the default evaluation interval
  ExprPtr step_expr;
  TimeShift shift;
  SubqueryExpr(TextRange r, ExprPtr e) : Expr(kKind, r), inner(std::move(e)) {}
};

struct CallExpr final : Expr {
  static constexpr Kind kKind = Kind::call;
  const FunctionSignature* function; // from function_table; never null in a tree that parsed
  std::vector<ExprPtr> args;
  CallExpr(TextRange r, const FunctionSignature* f) : Expr(kKind, r), function(f) {}
};

struct AggregateExpr final : Expr {
  static constexpr Kind kKind = Kind::aggregate;
  Tok op;
  ExprPtr inner;
  ExprPtr param; // k, q or the label of count_values
  std::vector<std::string> grouping;
  bool without = false;
  AggregateExpr(TextRange r, Tok o) : Expr(kKind, r), op(o) {}
};

struct VectorMatching {
  enum class Card : std::uint8_t {
    one_to_one,
    many_to_one,
    one_to_many,
    many_to_many
  } card = Card::one_to_one;
  std::vector<std::string> labels;
  bool on = false;
  std::vector<std::string> include;
  std::optional<double> fill_left;
  std::optional<double> fill_right;
};

struct BinaryExpr final : Expr {
  static constexpr Kind kKind = Kind::binary;
  Tok op;
  ExprPtr left;
  ExprPtr right;
  bool return_bool = false;
  std::optional<VectorMatching> matching; // nullopt once a side is a scalar
  BinaryExpr(TextRange r, Tok o) : Expr(kKind, r), op(o) {}
};

struct UnaryExpr final : Expr {
  static constexpr Kind kKind = Kind::unary;
  Tok op; // add or sub
  ExprPtr inner;
  UnaryExpr(TextRange r, Tok o, ExprPtr e) : Expr(kKind, r), op(o), inner(std::move(e)) {}
};

struct ParenExpr final : Expr {
  static constexpr Kind kKind = Kind::paren;
  ExprPtr inner;
  ParenExpr(TextRange r, ExprPtr e) : Expr(kKind, r), inner(std::move(e)) {}
};

// The node as T, or null when it is of another kind.
template <typename T>
const T* as(const Expr* expr) {
  return expr != nullptr && expr->kind == T::kKind ? static_cast<const T*>(expr) : nullptr;
}
template <typename T>
T* as(Expr* expr) {
  return expr != nullptr && expr->kind == T::kKind ? static_cast<T*>(expr) : nullptr;
}
template <typename T>
auto as(const ExprPtr& expr) {
  return as<T>(expr.get());
}

ValueType type_of(const Expr& expr);

// The expression inside any number of parentheses.
const Expr& unwrap_parens(const Expr& expr);

// The owning slots of a node's sub-expressions, duration expressions excluded. The selector of a
// matrix selector is not a slot.
std::vector<ExprPtr*> child_slots(Expr& expr);

} // namespace coalmine::promql
