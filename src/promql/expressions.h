// Evaluates PromQL expressions where the data are: in our engine or on a remote server. Signals are
// read in this way.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "promql/queryable.h"

namespace coalmine::promql {

struct ExpressionValue {
  Labels labels;
  double value = 0; // may be NaN: 0/0 of an idle service
};

// Thread-safe.
class ExpressionSource {
 public:
  virtual ~ExpressionSource() = default;
  // Evaluates at one moment. A scalar gives one value without labels, an instant vector any number
  // of values. invalid_argument: not PromQL, or not an expression of one of these types.
  // unavailable, deadline_exceeded: the source did not answer.
  virtual Result<std::vector<ExpressionValue>> evaluate(const std::string& promql,
                                                        std::int64_t time_ms) const = 0;
  // Evaluates at every step_ms from from_ms to to_ms, at most 11,000 times.
  virtual Result<std::vector<Series>> evaluate_range(const std::string& promql,
                                                     std::int64_t from_ms, std::int64_t to_ms,
                                                     std::int64_t step_ms) const = 0;
};

// Evaluates with our own engine. data and clock must outlive the result.
std::unique_ptr<ExpressionSource> make_engine_expression_source(const Queryable& data,
                                                                const Clock& clock);

} // namespace coalmine::promql
