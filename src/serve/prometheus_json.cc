// SPDX-License-Identifier: Apache-2.0
#include "serve/prometheus_json.h"

#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <limits>

namespace coalmine::serve {
namespace {

// Go's strconv.FormatFloat(v, 'f', -1, 64): shortest digits, never an exponent.
void append_value(std::string& out, double value) {
  if (std::isnan(value)) {
    out += "\"NaN\"";
  } else if (std::isinf(value)) {
    out += value > 0 ? "\"+Inf\"" : "\"-Inf\"";
  } else {
    char buffer[400];
    const auto end = std::to_chars(buffer, buffer + sizeof(buffer), value, std::chars_format::fixed).ptr;
    out += '"';
    out.append(buffer, end);
    out += '"';
  }
}

double exponential_bound(std::int32_t index, std::int32_t schema) { return std::exp2(std::ldexp(static_cast<double>(index), -schema)); }

// [boundary rule, lower, upper, count]; rule 0: upper inclusive, 1: lower inclusive, 2: both exclusive, 3: both inclusive.
void append_bucket(std::string& out, int rule, double lower, double upper, double count, bool& first) {
  if (count == 0) return;
  out += first ? "" : ",";
  first = false;
  out += fmt::format("[{},", rule);
  append_value(out, lower);
  out += ',';
  append_value(out, upper);
  out += ',';
  append_value(out, count);
  out += ']';
}

double upper_bound(const query::NativeHistogram& h, std::int32_t index) {
  if (h.schema != -53) return exponential_bound(index + 1, h.schema);
  const auto at = static_cast<std::size_t>(index);
  return at < h.custom_bounds.size() ? h.custom_bounds[at] : std::numeric_limits<double>::infinity();
}

double lower_bound(const query::NativeHistogram& h, std::int32_t index) {
  if (h.schema == -53 && index == 0) return -std::numeric_limits<double>::infinity();
  return upper_bound(h, index - 1);
}

void append_histogram(std::string& out, const query::NativeHistogram& h) {
  out += "{\"count\":";
  append_value(out, h.count);
  out += ",\"sum\":";
  append_value(out, h.sum);
  std::string buckets;
  bool first = true;
  for (std::size_t i = h.negative.counts.size(); i-- > 0;) {
    const auto index = h.negative.offset + static_cast<std::int32_t>(i);
    append_bucket(buckets, 1, -upper_bound(h, index), -lower_bound(h, index), h.negative.counts[i], first);
  }
  append_bucket(buckets, 3, -h.zero_threshold, h.zero_threshold, h.zero_count, first);
  for (std::size_t i = 0; i < h.positive.counts.size(); ++i) {
    const auto index = h.positive.offset + static_cast<std::int32_t>(i);
    append_bucket(buckets, 0, lower_bound(h, index), upper_bound(h, index), h.positive.counts[i], first);
  }
  if (!first) out += ",\"buckets\":[" + buckets + "]";
  out += '}';
}

void append_point(std::string& out, const query::Point& point) {
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

void append_vector(std::string& out, const query::Vector& vector) {
  bool first = true;
  for (const auto& series : vector.series) {
    out += first ? "{\"metric\":" : ",{\"metric\":";
    first = false;
    append_labels(out, series.labels);
    const auto& point = series.points.front();
    out += point.histogram ? ",\"histogram\":" : ",\"value\":";
    append_point(out, point);
    out += '}';
  }
}

void append_matrix(std::string& out, const query::Matrix& matrix) {
  bool first = true;
  for (const auto& series : matrix.series) {
    out += first ? "{\"metric\":" : ",{\"metric\":";
    first = false;
    append_labels(out, series.labels);
    for (const bool histograms : {false, true}) {
      bool any = false;
      for (const auto& point : series.points) {
        if ((point.histogram != nullptr) != histograms) continue;
        out += any ? "," : histograms ? ",\"histograms\":[" : ",\"values\":[";
        any = true;
        append_point(out, point);
      }
      if (any) out += ']';
    }
    out += '}';
  }
}

void append_notes(std::string& out, std::string_view key, const std::vector<std::string>& notes) {
  if (notes.empty()) return;
  out += fmt::format(",\"{}\":[", key);
  for (std::size_t i = 0; i < notes.size(); ++i) {
    if (i > 0) out += ',';
    append_json_text(out, notes[i]);
  }
  out += ']';
}

} // namespace

void append_json_text(std::string& out, std::string_view text) {
  out += '"';
  for (const char c : text) {
    switch (c) {
      case '"': out += "\\\""; break;
      case '\\': out += "\\\\"; break;
      case '\n': out += "\\n"; break;
      case '\r': out += "\\r"; break;
      case '\t': out += "\\t"; break;
      default:
        if (static_cast<unsigned char>(c) < 0x20) {
          out += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
        } else {
          out += c;
        }
    }
  }
  out += '"';
}

void append_seconds(std::string& out, std::int64_t time_ms) {
  const auto magnitude = time_ms < 0 ? -time_ms : time_ms;
  if (time_ms < 0) out += '-';
  out += fmt::format("{}", magnitude / 1000);
  if (magnitude % 1000 != 0) {
    auto decimals = fmt::format(".{:03}", magnitude % 1000);
    out += decimals.substr(0, decimals.find_last_not_of('0') + 1);
  }
}

void append_labels(std::string& out, const Labels& labels) {
  out += '{';
  bool first = true;
  for (const auto& [name, value] : labels) {
    if (!first) out += ',';
    first = false;
    append_json_text(out, name);
    out += ':';
    append_json_text(out, value);
  }
  out += '}';
}

std::string result_json(const query::QueryResult& result) {
  std::string out = "{\"status\":\"success\",\"data\":{\"resultType\":";
  if (const auto* scalar = std::get_if<query::Scalar>(&result.value)) {
    out += "\"scalar\",\"result\":";
    append_point(out, {.time_ms = scalar->time_ms, .value = scalar->value, .histogram = nullptr});
  } else if (const auto* text = std::get_if<query::StringValue>(&result.value)) {
    out += "\"string\",\"result\":[";
    append_seconds(out, text->time_ms);
    out += ',';
    append_json_text(out, text->value);
    out += ']';
  } else if (const auto* vector = std::get_if<query::Vector>(&result.value)) {
    out += "\"vector\",\"result\":[";
    append_vector(out, *vector);
    out += ']';
  } else {
    out += "\"matrix\",\"result\":[";
    append_matrix(out, std::get<query::Matrix>(result.value));
    out += ']';
  }
  out += '}';
  append_notes(out, "warnings", result.warnings);
  append_notes(out, "infos", result.infos);
  return out + "}";
}

std::string success_json(std::string_view data) { return fmt::format("{{\"status\":\"success\",\"data\":{}}}", data); }

std::string error_json(std::string_view type, std::string_view message) {
  std::string out = fmt::format("{{\"status\":\"error\",\"errorType\":\"{}\",\"error\":", type);
  append_json_text(out, message);
  return out + "}";
}

} // namespace coalmine::serve
