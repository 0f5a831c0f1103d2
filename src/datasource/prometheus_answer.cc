// SPDX-License-Identifier: Apache-2.0
#include "datasource/prometheus_answer.h"

#include <fmt/format.h>
#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <optional>

namespace coalmine::datasource {
namespace {

namespace json = boost::json;

constexpr double kMaxSeconds = 9e12; // beyond this milliseconds do not fit

std::unexpected<Error> not_prometheus(std::string_view what) {
  return fail(ErrorCode::internal,
              fmt::format("the answer is not one of Prometheus's API: {}", what));
}

Result<json::value> parse_body(std::string_view body) {
  boost::system::error_code failure;
  json::parse_options options;
  options.max_depth = 16;
  auto out = json::parse(json::string_view(body.data(), body.size()), failure, {}, options);
  if (failure) return not_prometheus(fmt::format("not JSON ({})", failure.message()));
  if (!out.is_object()) return not_prometheus("not an object");
  return out;
}

const json::value* member(const json::value& of, std::string_view name) {
  const auto* object = of.if_object();
  return object == nullptr ? nullptr
                           : object->if_contains(json::string_view(name.data(), name.size()));
}

std::string_view text_of(const json::value* value) {
  const auto* text = value == nullptr ? nullptr : value->if_string();
  return text == nullptr ? std::string_view() : std::string_view(text->data(), text->size());
}

Result<const json::value*> data_of(const json::value& body) {
  const auto status = text_of(member(body, "status"));
  if (status == "error") {
    return fail(ErrorCode::invalid_argument, std::string(text_of(member(body, "error"))));
  }
  const auto* data = member(body, "data");
  if (status != "success" || data == nullptr) return not_prometheus("no status and data");
  return data;
}

// "1.5", "NaN", "+Inf", "-Inf".
std::optional<double> number_of(const json::value& value) {
  auto text = text_of(&value);
  if (text.empty()) return std::nullopt;
  if (text == "NaN") return std::numeric_limits<double>::quiet_NaN();
  if (text == "+Inf" || text == "Inf") return std::numeric_limits<double>::infinity();
  if (text == "-Inf") return -std::numeric_limits<double>::infinity();
  if (text.front() == '+') text.remove_prefix(1);
  double out = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return out;
}

// [seconds, "value"]
std::optional<promql::Sample> sample_of(const json::value& value) {
  const auto* pair = value.if_array();
  if (pair == nullptr || pair->size() != 2 || !(*pair)[0].is_number()) return std::nullopt;
  const auto seconds = (*pair)[0].to_number<double>();
  const auto number = number_of((*pair)[1]);
  if (!number || !(std::abs(seconds) < kMaxSeconds)) return std::nullopt;
  return promql::Sample{std::llround(seconds * 1000), *number, 0};
}

std::optional<Labels> labels_of(const json::value* value) {
  const auto* object = value == nullptr ? nullptr : value->if_object();
  if (object == nullptr) return std::nullopt;
  std::vector<Labels::Pair> pairs;
  pairs.reserve(object->size());
  for (const auto& [name, text] : *object) {
    if (!text.is_string()) return std::nullopt;
    pairs.emplace_back(std::string(name), std::string(text_of(&text)));
  }
  return Labels(std::move(pairs));
}

const json::array* result_of(const json::value& data, std::string_view type) {
  const auto* result =
      text_of(member(data, "resultType")) == type ? member(data, "result") : nullptr;
  return result == nullptr ? nullptr : result->if_array();
}

} // namespace

Result<std::vector<promql::Series>> parse_matrix(std::string_view body) {
  TRY_ASSIGN(const auto root, parse_body(body));
  TRY_ASSIGN(const auto* data, data_of(root));
  const auto* result = result_of(*data, "matrix");
  if (result == nullptr) return not_prometheus("no matrix where one was asked for");
  std::vector<promql::Series> out;
  out.reserve(result->size());
  for (const auto& one : *result) {
    auto labels = labels_of(member(one, "metric"));
    if (!labels) return not_prometheus("a series without labels");
    promql::Series series{.labels = std::move(*labels), .floats = {}, .histograms = {}};
    const auto* values = member(one, "values");
    const auto* samples = values == nullptr ? nullptr : values->if_array();
    if (samples == nullptr) continue; // native histograms alone
    series.floats.reserve(samples->size());
    for (const auto& sample : *samples) {
      const auto parsed = sample_of(sample);
      if (!parsed) return not_prometheus("a sample that is not [seconds, \"value\"]");
      series.floats.push_back(*parsed);
    }
    if (!std::ranges::is_sorted(series.floats, {}, &promql::Sample::time_ms))
      return not_prometheus("samples that are not in order");
    out.push_back(std::move(series));
  }
  return out;
}

Result<std::vector<promql::ExpressionValue>> parse_instant(std::string_view body) {
  TRY_ASSIGN(const auto root, parse_body(body));
  TRY_ASSIGN(const auto* data, data_of(root));
  std::vector<promql::ExpressionValue> out;
  if (text_of(member(*data, "resultType")) == "scalar") {
    const auto* result = member(*data, "result");
    const auto sample = result == nullptr ? std::nullopt : sample_of(*result);
    if (!sample) return not_prometheus("a scalar without a value");
    out.push_back({{}, sample->value});
    return out;
  }
  const auto* result = result_of(*data, "vector");
  if (result == nullptr) {
    return fail(
        ErrorCode::invalid_argument,
        "the expression gives neither a number nor an instant vector; a signal needs one of them");
  }
  for (const auto& one : *result) {
    auto labels = labels_of(member(one, "metric"));
    const auto* value = member(one, "value");
    if (!labels) return not_prometheus("a series without labels");
    if (value == nullptr) continue; // a native histogram
    const auto sample = sample_of(*value);
    if (!sample) return not_prometheus("a value that is not [seconds, \"value\"]");
    out.push_back({std::move(*labels), sample->value});
  }
  return out;
}

Result<std::vector<Labels>> parse_label_sets(std::string_view body) {
  TRY_ASSIGN(const auto root, parse_body(body));
  TRY_ASSIGN(const auto* data, data_of(root));
  const auto* list = data->if_array();
  if (list == nullptr) return not_prometheus("no list of series");
  std::vector<Labels> out;
  for (const auto& one : *list) {
    auto labels = labels_of(&one);
    if (!labels) return not_prometheus("a series without labels");
    out.push_back(std::move(*labels));
  }
  return out;
}

Result<std::vector<std::string>> parse_strings(std::string_view body) {
  TRY_ASSIGN(const auto root, parse_body(body));
  TRY_ASSIGN(const auto* data, data_of(root));
  const auto* list = data->if_array();
  if (list == nullptr) return not_prometheus("no list of names");
  std::vector<std::string> out;
  for (const auto& one : *list) {
    if (!one.is_string()) return not_prometheus("a name that is not a string");
    out.emplace_back(text_of(&one));
  }
  return out;
}

std::string error_text(std::string_view body) {
  const auto root = parse_body(body);
  if (!root) return "";
  return std::string(text_of(member(*root, "error")));
}

} // namespace coalmine::datasource
