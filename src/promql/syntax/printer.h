// Prints a tree as PromQL text in Prometheus's canonical form. Parsing the result gives the same
// tree.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

#include "promql/syntax/ast.h"

namespace coalmine::promql {

std::string print(const Expr& expr);

// The name of a label as a query writes it: in quotes unless it is letters, digits and '_'.
std::string label_text(std::string_view name);

} // namespace coalmine::promql
