// The parts of vectors.cc: reading inputs out of JSON, comparing answers.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/json/object.hpp>
#include <boost/json/value.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lab/vectors/vectors.h"

namespace coalmine::lab {

// A number, or one of the texts inf, -inf, nan; null is nan.
std::optional<double> json_number(const boost::json::value& value);
// Nothing when it is no list of numbers.
std::optional<std::vector<double>> json_numbers(const boost::json::value& value);

// One vector's input. A missing or wrong member leaves problem() set and the answer does not count.
class VectorInput {
 public:
  explicit VectorInput(const boost::json::object& object) : object_(object) {}
  bool has(std::string_view name) const { return object_.contains(name); }
  const boost::json::value* find(std::string_view name) const { return object_.if_contains(name); }
  double number(std::string_view name);
  double number_or(std::string_view name, double other) { return has(name) ? number(name) : other; }
  bool flag(std::string_view name);
  bool flag_or(std::string_view name, bool other) { return has(name) ? flag(name) : other; }
  std::string text(std::string_view name);
  std::string text_or(std::string_view name, std::string other) {
    return has(name) ? text(name) : other;
  }
  std::vector<double> numbers(std::string_view name);
  const std::string& problem() const { return problem_; }
  void refuse(std::string problem) {
    if (problem_.empty()) problem_ = std::move(problem);
  }

 private:
  const boost::json::object& object_;
  std::string problem_;
};

// The answer of a function: numbers (one, or a list), or a word.
struct VectorAnswer {
  std::vector<double> numbers;
  bool list = false;
  std::string word;

  static VectorAnswer one(double v) { return {{v}, false, {}}; }
  static VectorAnswer many(std::vector<double> v) { return {std::move(v), true, {}}; }
  static VectorAnswer of(std::string w) { return {{}, false, std::move(w)}; }
};

// |got - expected| <= tol * max(1, |expected|); infinities and NaN are themselves. expected:
// number, list, word, null.
bool matches(const VectorAnswer& answer, const boost::json::value& expected, double tolerance);
bool close(double got, double expected, double tolerance);
std::string shown(const VectorAnswer& answer);

// Counts outcomes and writes the lines of mismatches.
class VectorTally {
 public:
  void pass() { ++report_.passed; }
  void fail(const std::string& name, const std::string& what);
  VectorReport take() { return std::move(report_); }

 private:
  VectorReport report_;
};

void check_statistics(const boost::json::object& file, VectorTally& tally);
void check_rank_cases(const boost::json::object& file, VectorTally& tally);

// The answer of one statistics function. Nothing: not a function of ours.
std::optional<VectorAnswer> evaluate_vector(std::string_view function, VectorInput& input);

} // namespace coalmine::lab
