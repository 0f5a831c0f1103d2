// The names and types of PromQL's functions.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string_view>

namespace coalmine::promql {

enum class ValueType : std::uint8_t { none, scalar, vector, matrix, string };

// "instant vector", "range vector", "scalar", "string".
std::string_view documented_name(ValueType type);
// "vector", "matrix", "scalar", "string".
std::string_view short_name(ValueType type);

struct FunctionSignature {
  std::string_view name;
  std::string_view args; // one letter each: v vector, m matrix, s scalar, t string
  int variadic = 0;      // up to this many optional last arguments (-1: any number)
  ValueType result = ValueType::vector;
  bool experimental = false;

  ValueType arg_type(std::size_t index) const; // index beyond the list: the last type
};

// Null when there is no such function.
const FunctionSignature* find_function(std::string_view name);

} // namespace coalmine::promql
