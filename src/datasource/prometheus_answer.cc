// SPDX-License-Identifier: Apache-2.0
#include "datasource/prometheus_answer.h"

#include <fmt/format.h>
#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <utility>

#include "promql/eval/histogram_math.h"

namespace coalmine::datasource {
namespace {

namespace json = boost::json;

constexpr double kMaxSeconds = 9e12; // beyond this milliseconds do not fit
// Buckets of one side of a native histogram: more than the 2048 binary orders of a float64 at the
// width that applications use; an answer must not make us allocate without end.
constexpr std::int32_t kMaxBuckets = 100'000;

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
  // VictoriaMetrics's cluster answers with what its living nodes have. Counts of a part would read
  // as fewer requests.
  const auto* partial = member(body, "isPartial");
  if (partial != nullptr && partial->is_bool() && partial->get_bool()) {
    return fail(ErrorCode::unavailable,
                "the answer is partial: some of the store's nodes did not answer");
  }
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

// One bucket of [rule, "lower", "upper", "count"]; the rule says which bounds belong to it, which
// the kinds of histogram already say.
struct AnsweredBucket {
  double lower = 0;
  double upper = 0;
  double count = 0;
};

std::optional<std::vector<AnsweredBucket>> buckets_of(const json::value* value) {
  std::vector<AnsweredBucket> out;
  if (value == nullptr) return out; // no observation
  const auto* list = value->if_array();
  if (list == nullptr) return std::nullopt;
  for (const auto& one : *list) {
    const auto* parts = one.if_array();
    if (parts == nullptr || parts->size() != 4) return std::nullopt;
    const auto lower = number_of((*parts)[1]);
    const auto upper = number_of((*parts)[2]);
    const auto count = number_of((*parts)[3]);
    if (!lower || !upper || !count || !(*lower <= *upper) || !(*count >= 0)) return std::nullopt;
    out.push_back({*lower, *upper, *count});
  }
  return out;
}

// The index of 2^(index / 2^schema) if the bound is one, however the store rounded it.
std::optional<std::int32_t> index_of(double bound, std::int32_t schema) {
  const double exact = std::ldexp(std::log2(bound), schema);
  const double index = std::round(exact);
  if (!(std::abs(index) < 1e6) || std::abs(exact - index) > 1e-6) return std::nullopt;
  return static_cast<std::int32_t>(index);
}

// Puts the bucket in; false when the schema has no such bucket.
bool put_exponential(const AnsweredBucket& bucket, promql::NativeHistogram& out) {
  if (bucket.lower <= 0 && bucket.upper >= 0) { // the zero bucket
    out.zero_threshold = std::max(-bucket.lower, bucket.upper);
    out.zero_count += bucket.count;
    return std::isfinite(out.zero_threshold);
  }
  const bool negative = bucket.upper < 0;
  const auto index = index_of(negative ? -bucket.lower : bucket.upper, out.schema);
  if (!index) return false;
  auto& side = negative ? out.negative : out.positive;
  if (side.counts.empty()) side.offset = *index;
  const auto first = std::min(side.offset, *index);
  const auto end =
      std::max(side.offset + static_cast<std::int32_t>(side.counts.size()), *index + 1);
  if (end - first > kMaxBuckets) return false;
  side.counts.insert(side.counts.begin(), static_cast<std::size_t>(side.offset - first), 0);
  side.offset = first;
  side.counts.resize(static_cast<std::size_t>(end - first));
  side.counts[static_cast<std::size_t>(*index - first)] += bucket.count;
  return true;
}

// The schema is not in the answer: it follows from the width of a bucket.
bool as_exponential(const std::vector<AnsweredBucket>& buckets, promql::NativeHistogram& out) {
  std::optional<std::int32_t> schema;
  for (const auto& b : buckets) {
    const double ratio = b.lower > 0 ? b.upper / b.lower : b.upper < 0 ? b.lower / b.upper : 0;
    if (ratio <= 1 || !std::isfinite(ratio)) continue;
    // The zero bucket may cut one short, so the widest says it.
    const auto seen = static_cast<std::int32_t>(std::lround(-std::log2(std::log2(ratio))));
    schema = schema ? std::min(*schema, seen) : seen;
  }
  out.schema = schema.value_or(0);
  if (out.schema < -4 || out.schema > 8) return false;
  return std::ranges::all_of(buckets,
                             [&](const AnsweredBucket& b) { return put_exponential(b, out); });
}

void as_custom(const std::vector<AnsweredBucket>& buckets, promql::NativeHistogram& out) {
  out.schema = promql::kCustomSchema;
  std::set<double> bounds;
  for (const auto& b : buckets) {
    for (const double bound : {b.lower, b.upper}) {
      // Only the first bucket begins at 0 or below, and says so without being a bound itself.
      if (std::isfinite(bound) && (bound == b.upper || bound > 0)) bounds.insert(bound);
    }
  }
  out.custom_bounds.assign(bounds.begin(), bounds.end());
  out.positive.counts.assign(bounds.size() + 1, 0);
  for (const auto& b : buckets) {
    const auto at = std::ranges::lower_bound(out.custom_bounds, b.upper);
    out.positive.counts[static_cast<std::size_t>(at - out.custom_bounds.begin())] += b.count;
  }
}

// [seconds, {"count": …, "sum": …, "buckets": […]}]
std::optional<promql::HistogramSample> histogram_of(const json::value& value) {
  const auto* pair = value.if_array();
  if (pair == nullptr || pair->size() != 2 || !(*pair)[0].is_number()) return std::nullopt;
  const auto seconds = (*pair)[0].to_number<double>();
  const auto* count = member((*pair)[1], "count");
  const auto* sum = member((*pair)[1], "sum");
  const auto buckets = buckets_of(member((*pair)[1], "buckets"));
  if (count == nullptr || sum == nullptr || !buckets || !(std::abs(seconds) < kMaxSeconds))
    return std::nullopt;
  const auto number = number_of(*count);
  const auto total = number_of(*sum);
  if (!number || !total) return std::nullopt;
  auto out = std::make_shared<promql::NativeHistogram>();
  if (!as_exponential(*buckets, *out)) {
    *out = {};
    as_custom(*buckets, *out);
  }
  out->count = *number;
  out->sum = *total;
  return promql::HistogramSample{std::llround(seconds * 1000), std::move(out), 0};
}

std::optional<Labels> answered_labels(const json::value* value) {
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

// The values of an array; none of anything else.
std::span<const json::value> list_of(const json::value* value) {
  const auto* list = value == nullptr ? nullptr : value->if_array();
  return list == nullptr ? std::span<const json::value>() : std::span(list->data(), list->size());
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
    auto labels = answered_labels(member(one, "metric"));
    if (!labels) return not_prometheus("a series without labels");
    promql::Series series{.labels = std::move(*labels), .floats = {}, .histograms = {}};
    for (const auto& sample : list_of(member(one, "values"))) {
      const auto parsed = sample_of(sample);
      if (!parsed) return not_prometheus("a sample that is not [seconds, \"value\"]");
      series.floats.push_back(*parsed);
    }
    for (const auto& sample : list_of(member(one, "histograms"))) {
      auto parsed = histogram_of(sample);
      if (!parsed) return not_prometheus("a histogram without count, sum and buckets");
      series.histograms.push_back(std::move(*parsed));
    }
    if (!std::ranges::is_sorted(series.floats, {}, &promql::Sample::time_ms) ||
        !std::ranges::is_sorted(series.histograms, {}, &promql::HistogramSample::time_ms))
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
    auto labels = answered_labels(member(one, "metric"));
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
    auto labels = answered_labels(&one);
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
