// SPDX-License-Identifier: Apache-2.0
#include "serve/prometheus_json.h"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <cmath>
#include <utility>

#include "promql/eval/histogram_math.h"

namespace coalmine::serve {
namespace {

void append_number(std::string& out, std::int64_t number) {
  std::array<char, 24> buffer;
  out.append(buffer.data(),
             std::to_chars(buffer.data(), buffer.data() + buffer.size(), number).ptr);
}

void append_finite(std::string& out, double value) {
  const double size = std::abs(value);
  const bool exponent = size != 0 && (size < 1e-6 || size >= 1e21);
  // From 2^53 on all are whole, and fixed notation would write digits that the shortest form leaves
  // as zeros.
  const bool padded = !exponent && size >= 9007199254740992.0;
  std::array<char, 64> buffer;
  const auto format = exponent || padded ? std::chars_format::scientific : std::chars_format::fixed;
  const std::string_view text(
      buffer.data(),
      static_cast<std::size_t>(
          std::to_chars(buffer.data(), buffer.data() + buffer.size(), value, format).ptr -
          buffer.data()));
  if (!padded) {
    out += text;
    return;
  }
  // -1.25e+17: the digits, then zeros up to the exponent.
  const auto e = text.find('e');
  int power = 0;
  std::from_chars(text.data() + e + 2, text.data() + text.size(), power);
  std::size_t digits = 0;
  for (const char c : text.substr(0, e)) {
    if (c == '.') continue;
    out += c;
    if (c != '-') ++digits;
  }
  const auto wanted = static_cast<std::size_t>(power) + 1;
  if (digits < wanted) out.append(wanted - digits, '0');
}

void append_bucket(std::string& out, const promql::HistogramBucket& bucket) {
  constexpr int kRules[2][2] = {{2, 0}, {1, 3}}; // [lower inclusive][upper inclusive]
  out += '[';
  append_number(out, kRules[bucket.lower_inclusive ? 1 : 0][bucket.upper_inclusive ? 1 : 0]);
  for (const double value : {bucket.lower, bucket.upper, bucket.count}) {
    out += ',';
    append_value(out, value);
  }
  out += ']';
}

void append_histogram(std::string& out, const promql::NativeHistogram& histogram) {
  out += "{\"count\":";
  append_value(out, histogram.count);
  out += ",\"sum\":";
  append_value(out, histogram.sum);
  bool any = false;
  for (const auto& bucket : promql::buckets_of(histogram)) {
    if (bucket.count == 0) continue;
    out += any ? "," : ",\"buckets\":[";
    any = true;
    append_bucket(out, bucket);
  }
  out += any ? "]}" : "}";
}

void append_point(std::string& out, const promql::Point& point) {
  out += '[';
  append_seconds(out, point.time_ms);
  out += ',';
  if (point.histogram) {
    append_histogram(out, *point.histogram);
  } else {
    append_value(out, point.value);
  }
  out += ']';
}

void append_metric(std::string& out, const Labels& labels, bool first) {
  out += first ? "{\"metric\":" : ",{\"metric\":";
  append_labels(out, labels);
}

// Writes the series of a result into out, up to max_bytes.
struct SeriesWriter {
  std::string& out;
  const std::size_t max_bytes;

  Status vector(const promql::Vector& vector) {
    bool first = true;
    for (const auto& series : vector.series) {
      if (series.points.empty()) continue;
      append_metric(out, series.labels, std::exchange(first, false));
      const auto& point = series.points.front();
      out += point.histogram ? ",\"histogram\":" : ",\"value\":";
      append_point(out, point);
      out += '}';
      TRY(fits());
    }
    return {};
  }

  Status matrix(const promql::Matrix& matrix) {
    bool first = true;
    for (const auto& series : matrix.series) {
      append_metric(out, series.labels, std::exchange(first, false));
      points(series, false);
      points(series, true);
      out += '}';
      TRY(fits());
    }
    return {};
  }

 private:
  // "values", and "histograms" beside it, each left out when empty.
  void points(const promql::ResultSeries& series, bool histograms) {
    bool any = false;
    for (const auto& point : series.points) {
      if ((point.histogram != nullptr) != histograms) continue;
      out += any ? "," : histograms ? ",\"histograms\":[" : ",\"values\":[";
      any = true;
      append_point(out, point);
    }
    if (any) out += ']';
  }

  Status fits() const {
    if (out.size() <= max_bytes) return {};
    return fail(ErrorCode::resource_exhausted,
                fmt::format("the answer is larger than {} MiB; ask for fewer series, a shorter "
                            "range or a larger step",
                            max_bytes >> 20));
  }
};

Status append_result(std::string& out, const promql::QueryResult& result, std::size_t max_bytes) {
  SeriesWriter series{out, max_bytes};
  if (const auto* scalar = std::get_if<promql::Scalar>(&result.value)) {
    out += "\"scalar\",\"result\":";
    append_point(out, {.time_ms = scalar->time_ms, .value = scalar->value, .histogram = nullptr});
  } else if (const auto* text = std::get_if<promql::StringValue>(&result.value)) {
    out += "\"string\",\"result\":[";
    append_seconds(out, text->time_ms);
    out += ',';
    append_json_string(out, text->value);
    out += ']';
  } else if (const auto* vector = std::get_if<promql::Vector>(&result.value)) {
    out += "\"vector\",\"result\":[";
    TRY(series.vector(*vector));
    out += ']';
  } else {
    out += "\"matrix\",\"result\":[";
    TRY(series.matrix(std::get<promql::Matrix>(result.value)));
    out += ']';
  }
  return {};
}

void append_notes(std::string& out, std::string_view key, const Notes& notes) {
  if (notes.empty()) return;
  out += ",\"";
  out += key;
  out += "\":[";
  for (std::size_t i = 0; i < notes.size(); ++i) {
    if (i > 0) out += ',';
    append_json_string(out, notes[i]);
  }
  out += ']';
}

} // namespace

void append_value(std::string& out, double value) {
  if (std::isnan(value)) {
    out += "\"NaN\"";
    return;
  }
  if (std::isinf(value)) {
    out += value > 0 ? "\"+Inf\"" : "\"-Inf\"";
    return;
  }
  out += '"';
  append_finite(out, value);
  out += '"';
}

void append_seconds(std::string& out, std::int64_t time_ms) {
  const auto magnitude = time_ms < 0 ? -time_ms : time_ms;
  if (time_ms < 0) out += '-';
  append_number(out, magnitude / 1000);
  const auto rest = magnitude % 1000;
  if (rest == 0) return;
  out += '.';
  out += static_cast<char>('0' + rest / 100);
  out += static_cast<char>('0' + rest / 10 % 10);
  out += static_cast<char>('0' + rest % 10);
}

void append_labels(std::string& out, const Labels& labels) {
  out += '{';
  bool first = true;
  for (const auto [name, value] : labels) {
    if (!std::exchange(first, false)) out += ',';
    append_json_string(out, name);
    out += ':';
    append_json_string(out, value);
  }
  out += '}';
}

Result<std::string> result_json(const promql::QueryResult& result, std::size_t max_bytes) {
  std::string out = "{\"status\":\"success\",\"data\":{\"resultType\":";
  TRY(append_result(out, result, max_bytes));
  out += '}';
  append_notes(out, "warnings", result.warnings);
  append_notes(out, "infos", result.infos);
  out += '}';
  return out;
}

std::string success_json(std::string_view data, const Notes& warnings) {
  std::string out = "{\"status\":\"success\",\"data\":";
  out += data;
  append_notes(out, "warnings", warnings);
  return out + "}";
}

std::string error_json(std::string_view type, std::string_view message) {
  std::string out = "{\"status\":\"error\",\"errorType\":";
  append_json_string(out, type);
  out += ",\"error\":";
  append_json_string(out, message);
  return out + "}";
}

} // namespace coalmine::serve
