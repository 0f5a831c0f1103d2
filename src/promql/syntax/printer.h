// Prints a tree as PromQL text in Prometheus's canonical form. Parsing the result gives the same
// tree.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "promql/syntax/ast.h"

namespace coalmine::promql {

std::string print(const Expr& expr);

} // namespace coalmine::promql
