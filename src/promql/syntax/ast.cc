// SPDX-License-Identifier: Apache-2.0
#include "promql/syntax/ast.h"

namespace coalmine::promql {

ValueType type_of(const Expr& expr) {
  switch (expr.kind) {
    case Expr::Kind::number:
    case Expr::Kind::duration: return ValueType::scalar;
    case Expr::Kind::string: return ValueType::string;
    case Expr::Kind::vector:
    case Expr::Kind::aggregate: return ValueType::vector;
    case Expr::Kind::matrix:
    case Expr::Kind::subquery: return ValueType::matrix;
    case Expr::Kind::call: return static_cast<const CallExpr&>(expr).function->result;
    case Expr::Kind::unary: return type_of(*static_cast<const UnaryExpr&>(expr).inner);
    case Expr::Kind::paren: return type_of(*static_cast<const ParenExpr&>(expr).inner);
    case Expr::Kind::binary: {
      const auto& binary = static_cast<const BinaryExpr&>(expr);
      const bool scalars =
          type_of(*binary.left) == ValueType::scalar && type_of(*binary.right) == ValueType::scalar;
      return scalars ? ValueType::scalar : ValueType::vector;
    }
  }
  return ValueType::none;
}

const Expr& unwrap_parens(const Expr& expr) {
  const Expr* at = &expr;
  while (const auto* paren = as<ParenExpr>(at)) at = paren->inner.get();
  return *at;
}

std::vector<ExprPtr*> child_slots(Expr& expr) {
  std::vector<ExprPtr*> out;
  switch (expr.kind) {
    case Expr::Kind::subquery: out.push_back(&static_cast<SubqueryExpr&>(expr).inner); break;
    case Expr::Kind::unary: out.push_back(&static_cast<UnaryExpr&>(expr).inner); break;
    case Expr::Kind::paren: out.push_back(&static_cast<ParenExpr&>(expr).inner); break;
    case Expr::Kind::call:
      for (ExprPtr& arg : static_cast<CallExpr&>(expr).args) out.push_back(&arg);
      break;
    case Expr::Kind::aggregate: {
      auto& aggregate = static_cast<AggregateExpr&>(expr);
      out.push_back(&aggregate.inner);
      if (aggregate.param) out.push_back(&aggregate.param);
      break;
    }
    case Expr::Kind::binary: {
      auto& binary = static_cast<BinaryExpr&>(expr);
      out.push_back(&binary.left);
      out.push_back(&binary.right);
      break;
    }
    default: break;
  }
  return out;
}

} // namespace coalmine::promql
