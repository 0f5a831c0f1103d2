// Compares what a query gave with what a PromQL test file expects.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "lab/promqltest/promql_test_parse.h"
#include "promql/engine.h"

namespace coalmine::lab {

// Each returns "" when all is as expected, else a description of the difference.
std::string check_result(const TestEval& eval, const promql::QueryResult& result);
std::string check_annotations(const TestEval& eval, const promql::QueryResult& result);
std::string check_failure(const TestEval& eval, const promql::QueryError& error);

} // namespace coalmine::lab
