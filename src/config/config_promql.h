// What an expression of a user's own metric says about itself. Private to the config parser.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "promql/syntax/ast.h"

namespace coalmine::config {

// A selector of the expression that does not say which service it is about; null when all do.
// Points into expr.
const promql::VectorSelector* selector_of_any_service(promql::Expr& expr,
                                                      const std::string& service);

// The histogram whose mean some part of the expression is: its _sum by its _count; "": none.
std::string histogram_of_mean(promql::Expr& expr);

} // namespace coalmine::config
