// SPDX-License-Identifier: Apache-2.0
#include "promql/syntax/function_table.h"

#include <algorithm>
#include <array>

namespace coalmine::promql {
namespace {

constexpr ValueType kScalar = ValueType::scalar;
constexpr ValueType kVector = ValueType::vector;

// Sorted by name.
constexpr auto kFunctions = std::to_array<FunctionSignature>({
    {"abs", "v"},
    {"absent", "v"},
    {"absent_over_time", "m"},
    {"acos", "v"},
    {"acosh", "v"},
    {"asin", "v"},
    {"asinh", "v"},
    {"atan", "v"},
    {"atanh", "v"},
    {"avg_over_time", "m"},
    {"ceil", "v"},
    {"changes", "m"},
    {"clamp", "vss"},
    {"clamp_max", "vs"},
    {"clamp_min", "vs"},
    {"cos", "v"},
    {"cosh", "v"},
    {"count_over_time", "m"},
    {"day_of_month", "v", 1},
    {"day_of_week", "v", 1},
    {"day_of_year", "v", 1},
    {"days_in_month", "v", 1},
    {"deg", "v"},
    {"delta", "m"},
    {"deriv", "m"},
    {"double_exponential_smoothing", "mss", 0, kVector, true},
    {"end", "", 0, kScalar, true},
    {"exp", "v"},
    {"first_over_time", "m"},
    {"floor", "v"},
    {"histogram_avg", "v"},
    {"histogram_count", "v"},
    {"histogram_fraction", "ssv"},
    {"histogram_quantile", "sv"},
    {"histogram_quantiles", "vtss", 9, kVector, true},
    {"histogram_stddev", "v"},
    {"histogram_stdvar", "v"},
    {"histogram_sum", "v"},
    {"hour", "v", 1},
    {"idelta", "m"},
    {"increase", "m"},
    {"info", "vv", 1, kVector, true},
    {"irate", "m"},
    {"label_join", "vttt", -1},
    {"label_replace", "vtttt"},
    {"last_over_time", "m"},
    {"ln", "v"},
    {"log10", "v"},
    {"log2", "v"},
    {"mad_over_time", "m", 0, kVector, true},
    {"max_of", "ss", 0, kScalar, true},
    {"max_over_time", "m"},
    {"min_of", "ss", 0, kScalar, true},
    {"min_over_time", "m"},
    {"minute", "v", 1},
    {"month", "v", 1},
    {"pi", "", 0, kScalar},
    {"predict_linear", "ms"},
    {"present_over_time", "m"},
    {"quantile_over_time", "sm"},
    {"rad", "v"},
    {"range", "", 0, kScalar, true},
    {"rate", "m"},
    {"resets", "m"},
    {"round", "vs", 1},
    {"scalar", "v", 0, kScalar},
    {"sgn", "v"},
    {"sin", "v"},
    {"sinh", "v"},
    {"sort", "v"},
    {"sort_by_label", "vt", -1, kVector, true},
    {"sort_by_label_desc", "vt", -1, kVector, true},
    {"sort_desc", "v"},
    {"sqrt", "v"},
    {"start", "", 0, kScalar, true},
    {"start_timestamp", "v", 0, kVector, true},
    {"stddev_over_time", "m"},
    {"stdvar_over_time", "m"},
    {"step", "", 0, kScalar, true},
    {"sum_over_time", "m"},
    {"tan", "v"},
    {"tanh", "v"},
    {"time", "", 0, kScalar},
    {"timestamp", "v"},
    {"ts_of_first_over_time", "m", 0, kVector, true},
    {"ts_of_last_over_time", "m", 0, kVector, true},
    {"ts_of_max_over_time", "m", 0, kVector, true},
    {"ts_of_min_over_time", "m", 0, kVector, true},
    {"vector", "s"},
    {"year", "v", 1},
});
static_assert(std::ranges::is_sorted(kFunctions, {}, &FunctionSignature::name));

} // namespace

std::string_view documented_name(ValueType type) {
  if (type == ValueType::vector) return "instant vector";
  if (type == ValueType::matrix) return "range vector";
  return short_name(type);
}

std::string_view short_name(ValueType type) {
  switch (type) {
    case ValueType::none: return "none";
    case ValueType::scalar: return "scalar";
    case ValueType::vector: return "vector";
    case ValueType::matrix: return "matrix";
    case ValueType::string: return "string";
  }
  return "none";
}

ValueType FunctionSignature::arg_type(std::size_t index) const {
  if (args.empty()) return ValueType::none;
  switch (args[std::min(index, args.size() - 1)]) {
    case 'v': return ValueType::vector;
    case 'm': return ValueType::matrix;
    case 's': return ValueType::scalar;
    default: return ValueType::string;
  }
}

const FunctionSignature* find_function(std::string_view name) {
  const auto it = std::ranges::lower_bound(kFunctions, name, {}, &FunctionSignature::name);
  return it != kFunctions.end() && it->name == name ? &*it : nullptr;
}

} // namespace coalmine::promql
