// SPDX-License-Identifier: Apache-2.0
#include "lab/vectors/vectors.h"

#include <fmt/format.h>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <cmath>
#include <cstdio>
#include <limits>

#include "config/config.h"
#include "lab/commands.h"
#include "lab/vectors/vectors_parts.h"

namespace coalmine::lab {

namespace json = boost::json;

namespace {

constexpr std::size_t kMaxShown = 200; // characters of an expected value in a line

std::string shortened(std::string text) {
  if (text.size() > kMaxShown) text = text.substr(0, kMaxShown) + "...";
  return text;
}

// Names of vectors may hold anything; a line stays a line.
std::string one_line(std::string text) {
  for (char& c : text) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = ' ';
  }
  return text;
}

void check_statistic(const json::value& entry, std::size_t index, VectorTally& tally) {
  const auto* object = entry.if_object();
  if (object == nullptr) return tally.fail(fmt::format("vector {}", index + 1), "is not an object");
  VectorInput head(*object);
  const std::string function = head.text("fn");
  const std::string name = head.text_or("id", fmt::format("vector {}", index + 1));
  const auto* input_value = object->if_contains("input");
  const auto* expected = object->if_contains("expect");
  if (input_value == nullptr || !input_value->is_object() || expected == nullptr ||
      function.empty()) {
    return tally.fail(name, "needs the members fn, input and expect");
  }
  VectorInput input(input_value->get_object());
  const auto answer = evaluate_vector(function, input);
  if (!answer) return tally.fail(name, fmt::format("unknown function \"{}\"", function));
  if (!input.problem().empty()) return tally.fail(name, input.problem());
  const double tolerance = head.number_or("tol", 1e-9);
  if (!head.problem().empty()) return tally.fail(name, head.problem());
  if (matches(*answer, *expected, tolerance)) return tally.pass();
  tally.fail(name, fmt::format("{}: {} expected, got {} (tolerance {:g})", function,
                               shortened(json::serialize(*expected)), shortened(shown(*answer)),
                               tolerance));
}

} // namespace

std::optional<double> json_number(const json::value& value) {
  if (value.is_number()) return value.to_number<double>();
  if (value.is_null()) return std::numeric_limits<double>::quiet_NaN();
  if (!value.is_string()) return std::nullopt;
  const auto& text = value.get_string();
  if (text == "inf" || text == "Infinity" || text == "+inf")
    return std::numeric_limits<double>::infinity();
  if (text == "-inf" || text == "-Infinity") return -std::numeric_limits<double>::infinity();
  if (text == "nan" || text == "NaN") return std::numeric_limits<double>::quiet_NaN();
  return std::nullopt;
}

std::optional<std::vector<double>> json_numbers(const json::value& value) {
  const auto* array = value.if_array();
  if (array == nullptr) return std::nullopt;
  std::vector<double> out;
  out.reserve(array->size());
  for (const auto& item : *array) {
    const auto number = json_number(item);
    if (!number) return std::nullopt;
    out.push_back(*number);
  }
  return out;
}

double VectorInput::number(std::string_view name) {
  const auto* value = object_.if_contains(name);
  const auto number = value != nullptr ? json_number(*value) : std::nullopt;
  if (!number) refuse(fmt::format("the member {} is not a number", name));
  return number.value_or(0);
}

bool VectorInput::flag(std::string_view name) {
  const auto* value = object_.if_contains(name);
  if (value == nullptr || !value->is_bool())
    refuse(fmt::format("the member {} is not true or false", name));
  return value != nullptr && value->is_bool() && value->get_bool();
}

std::string VectorInput::text(std::string_view name) {
  const auto* value = object_.if_contains(name);
  if (value == nullptr || !value->is_string()) {
    refuse(fmt::format("the member {} is not a text", name));
    return "";
  }
  return std::string(value->get_string());
}

std::vector<double> VectorInput::numbers(std::string_view name) {
  const auto* value = object_.if_contains(name);
  auto out = value != nullptr ? json_numbers(*value) : std::nullopt;
  if (!out) refuse(fmt::format("the member {} is not a list of numbers", name));
  return out ? std::move(*out) : std::vector<double>();
}

bool close(double got, double expected, double tolerance) {
  if (std::isnan(expected) || std::isnan(got)) return std::isnan(expected) && std::isnan(got);
  if (std::isinf(expected) || std::isinf(got)) return got == expected;
  return std::abs(got - expected) <= tolerance * std::max(1.0, std::abs(expected));
}

bool matches(const VectorAnswer& answer, const json::value& expected, double tolerance) {
  if (!answer.word.empty()) return expected.is_string() && expected.get_string() == answer.word;
  if (expected.is_array()) {
    const auto numbers = json_numbers(expected);
    if (!numbers || !answer.list || numbers->size() != answer.numbers.size()) return false;
    for (std::size_t i = 0; i < numbers->size(); ++i) {
      if (!close(answer.numbers[i], (*numbers)[i], tolerance)) return false;
    }
    return true;
  }
  // A list's last value stands for it.
  const auto number = json_number(expected);
  return number && !answer.numbers.empty() && close(answer.numbers.back(), *number, tolerance);
}

std::string shown(const VectorAnswer& answer) {
  if (!answer.word.empty()) return answer.word;
  std::string out;
  for (const double v : answer.numbers) out += fmt::format("{}{:.17g}", out.empty() ? "" : ",", v);
  return answer.list ? "[" + out + "]" : out;
}

void VectorTally::fail(const std::string& name, const std::string& what) {
  ++report_.failed;
  report_.mismatches += one_line(fmt::format("{}: {}", name, what)) + "\n";
}

void check_statistics(const json::object& file, VectorTally& tally) {
  std::size_t index = 0;
  for (const auto& entry : file.at("vectors").get_array()) check_statistic(entry, index++, tally);
}

Result<VectorReport> check_vectors(std::string_view text) {
  json::error_code failure;
  json::parse_options options;
  options.max_depth = 32;
  const auto file = json::parse(json::string_view(text.data(), text.size()), failure, {}, options);
  if (failure)
    return fail(ErrorCode::invalid_argument, fmt::format("it is not JSON: {}", failure.message()));
  const auto* object = file.if_object();
  const auto* vectors = object != nullptr ? object->if_contains("vectors") : nullptr;
  VectorTally tally;
  if (vectors != nullptr && vectors->is_array()) {
    check_statistics(*object, tally);
  } else if (object != nullptr &&
             (object->contains("mann_whitney") || object->contains("mann_whitney_classifier") ||
              object->contains("scoring") || object->contains("effect_sizes"))) {
    check_rank_cases(*object, tally);
  } else {
    return fail(ErrorCode::invalid_argument,
                "it has neither a list \"vectors\" nor cases of the rank test (\"mann_whitney\")");
  }
  return tally.take();
}

int run_vectors(const std::vector<std::string>& files, const cli::CommonFlags& common) {
  VectorReport all;
  for (const auto& file : files) {
    const auto text = config::read_file(file, kMaxVectorsBytes);
    if (!text) {
      std::fputs(fmt::format("coalmine: {}\n", text.error().message).c_str(), stderr);
      return 2;
    }
    const auto report = check_vectors(*text);
    if (!report) {
      std::fputs(
          fmt::format("coalmine: {} is not a vectors file: {}\n", file, report.error().message)
              .c_str(),
          stderr);
      return 2;
    }
    all.passed += report->passed;
    all.failed += report->failed;
    if (!common.quiet) std::fputs(report->mismatches.c_str(), stdout);
  }
  std::fputs(fmt::format("{} passed, {} failed\n", all.passed, all.failed).c_str(), stdout);
  return all.failed == 0 ? 0 : 1;
}

} // namespace coalmine::lab
