// A PromQL expression as the JSON tree that /api/v1/parse_query answers.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "promql/syntax/ast.h"

namespace coalmine::serve {

// Pure. The depth is bounded by the parser.
std::string ast_json(const promql::Expr& expr);

} // namespace coalmine::serve
