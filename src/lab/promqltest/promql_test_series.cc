// SPDX-License-Identifier: Apache-2.0
#include "lab/promqltest/promql_test_series.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <charconv>

#include "promql/eval/eval_types.h"
#include "promql/eval/histogram_math.h"
#include "promql/syntax/go_text.h"

namespace coalmine::lab {
namespace {

constexpr std::size_t kMaxRepeat = 1'000'000;

bool is_blank(char c) { return c == ' ' || c == '\t'; }
bool is_word(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == ':';
}

// Reads pieces from the front of a line.
class Cursor {
 public:
  explicit Cursor(std::string_view text) : rest_(text) {}

  bool done() const { return rest_.empty(); }
  std::string_view rest() const { return rest_; }
  void blanks() {
    while (!rest_.empty() && is_blank(rest_[0])) rest_.remove_prefix(1);
  }
  bool take(std::string_view text) {
    if (!rest_.starts_with(text)) return false;
    rest_.remove_prefix(text.size());
    return true;
  }
  std::string_view word() {
    std::size_t n = 0;
    while (n < rest_.size() && is_word(rest_[n])) ++n;
    return cut(n);
  }
  // A quoted literal with its quotes; "" when there is none or it does not end.
  std::string_view literal() {
    if (rest_.empty() || (rest_[0] != '"' && rest_[0] != '\'' && rest_[0] != '`')) return {};
    const char quote = rest_[0];
    for (std::size_t n = 1; n < rest_.size(); ++n) {
      if (rest_[n] == '\\' && quote != '`') {
        ++n;
      } else if (rest_[n] == quote) {
        return cut(n + 1);
      }
    }
    return {};
  }

  std::optional<double> number() {
    const bool negative = rest_.starts_with('-');
    std::string_view text = rest_;
    if (negative || text.starts_with('+')) text.remove_prefix(1);
    std::size_t n = 0;
    std::string low(text.substr(0, 3));
    for (char& c : low) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    if (low == "inf" || low == "nan") {
      n = 3;
    } else {
      // No hexadecimal here: 0x3 is 0, repeated 3 times.
      while (n < text.size() &&
             (std::isdigit(static_cast<unsigned char>(text[n])) || text[n] == '.' ||
              text[n] == '_' || ((text[n] == 'e' || text[n] == 'E') && n > 0) ||
              ((text[n] == '+' || text[n] == '-') && n > 0 &&
               (text[n - 1] == 'e' || text[n - 1] == 'E')))) {
        ++n;
      }
      if (n == 0) return std::nullopt;
    }
    std::optional<double> value = promql::parse_promql_number(text.substr(0, n));
    std::size_t unit = n;
    while (unit < text.size() &&
           std::string_view("smhdwy0123456789").find(text[unit]) != std::string_view::npos)
      ++unit;
    if (unit > n) {
      const auto ms = promql::parse_prometheus_duration(text.substr(0, unit));
      if (!ms) return std::nullopt;
      value = static_cast<double>(*ms) / 1000;
      n = unit;
    }
    if (!value) return std::nullopt;
    cut(n + (rest_.size() - text.size()));
    return negative ? -*value : *value;
  }

  // xN; nullopt when there is none.
  std::optional<std::size_t> times() {
    if (!rest_.starts_with('x')) return std::nullopt;
    std::size_t out = 0;
    const auto result = std::from_chars(rest_.data() + 1, rest_.data() + rest_.size(), out);
    if (result.ec != std::errc() || out > kMaxRepeat) return std::nullopt;
    cut(static_cast<std::size_t>(result.ptr - rest_.data()));
    return out;
  }

 private:
  std::string_view cut(std::size_t n) {
    const std::string_view out = rest_.substr(0, n);
    rest_.remove_prefix(std::min(n, rest_.size()));
    return out;
  }
  std::string_view rest_;
};

Result<Labels> parse_metric(Cursor& in) {
  std::vector<Labels::Pair> pairs;
  if (const std::string_view name = in.word(); !name.empty()) pairs.emplace_back(kMetricName, name);
  if (!in.take("{")) return Labels(std::move(pairs));
  while (true) {
    in.blanks();
    if (in.take("}")) return Labels(std::move(pairs));
    std::string name(in.word());
    const bool quoted = name.empty();
    if (quoted) {
      const auto text = promql::unquote(in.literal());
      if (!text) return wrong("unexpected text in label set: " + std::string(in.rest()));
      name = *text;
    }
    in.blanks();
    if (in.take("=")) {
      in.blanks();
      const auto value = promql::unquote(in.literal());
      if (!value) return wrong("unexpected label value: " + std::string(in.rest()));
      pairs.emplace_back(std::move(name), *value);
    } else if (quoted) {
      pairs.emplace_back(kMetricName, std::move(name));
    } else {
      return wrong("a label without a value: " + name);
    }
    in.blanks();
    in.take(",");
  }
}

Result<std::vector<double>> parse_list(Cursor& in) {
  std::vector<double> out;
  if (!in.take("[")) return wrong("a list of buckets starts with [");
  while (true) {
    in.blanks();
    if (in.take("]")) return out;
    const auto value = in.number();
    if (!value) return wrong("unexpected text in a list of buckets: " + std::string(in.rest()));
    out.push_back(*value);
  }
}

struct ParsedHistogram {
  promql::NativeHistogram value;
  bool hint_given = false;
};

Status set_hint(std::string_view word, ParsedHistogram& out) {
  using Hint = promql::NativeHistogram::ResetHint;
  out.hint_given = true;
  if (word == "unknown") {
    out.value.hint = Hint::unknown;
  } else if (word == "reset") {
    out.value.hint = Hint::reset;
  } else if (word == "not_reset") {
    out.value.hint = Hint::not_reset;
  } else if (word == "gauge") {
    out.value.hint = Hint::gauge;
  } else {
    return wrong("unknown counter reset hint: " + std::string(word));
  }
  return {};
}

Status parse_field(Cursor& in, std::string_view key, ParsedHistogram& out) {
  promql::NativeHistogram& h = out.value;
  if (key == "counter_reset_hint") return set_hint(in.word(), out);
  if (key == "buckets" || key == "n_buckets" || key == "custom_values") {
    TRY_ASSIGN(std::vector<double> list, parse_list(in));
    (key == "buckets"     ? h.positive.counts
     : key == "n_buckets" ? h.negative.counts
                          : h.custom_bounds) = std::move(list);
    return {};
  }
  const auto number = in.number();
  if (!number) return wrong("unexpected value of " + std::string(key));
  const auto whole = static_cast<std::int32_t>(std::clamp(*number, -2e9, 2e9));
  if (key == "schema") {
    h.schema = whole;
  } else if (key == "offset") {
    h.positive.offset = whole;
  } else if (key == "n_offset") {
    h.negative.offset = whole;
  } else if (key == "sum") {
    h.sum = *number;
  } else if (key == "count") {
    h.count = *number;
  } else if (key == "z_bucket") {
    h.zero_count = *number;
  } else if (key == "z_bucket_w") {
    h.zero_threshold = *number;
  } else {
    return wrong("bad histogram descriptor found: " + std::string(key));
  }
  return {};
}

// After the opening {{.
Result<ParsedHistogram> parse_histogram(Cursor& in) {
  ParsedHistogram out;
  while (true) {
    in.blanks();
    if (in.take("}}")) break;
    std::string key(in.word());
    // A word takes the colon that ends a key, and what touches it (schema:1).
    const auto colon = key.find(':');
    if (colon == std::string::npos)
      return wrong("missing `:` for histogram descriptor at " + key + std::string(in.rest()));
    const std::string value =
        key.substr(colon + 1) + std::string(in.rest().substr(0, in.rest().find("}}") + 2));
    Cursor field(value);
    const std::size_t before = value.size();
    TRY(parse_field(field, std::string_view(key).substr(0, colon), out));
    const std::size_t used = before - field.rest().size();
    const std::size_t ahead = used - std::min(used, key.size() - colon - 1);
    in.take(std::string(in.rest().substr(0, ahead)));
  }
  if (out.value.positive.counts.empty()) out.value.positive.offset = 0;
  if (out.value.negative.counts.empty()) out.value.negative.offset = 0;
  if (!promql::is_sound(out.value))
    return wrong("a histogram with an unknown schema or buckets out of range");
  return out;
}

Status parse_histogram_item(Cursor& in, std::vector<TestPoint>& out) {
  TRY_ASSIGN(const ParsedHistogram base, parse_histogram(in));
  const auto point = [&](const promql::NativeHistogram& h, bool given) {
    out.push_back({false, 0, std::make_shared<const promql::NativeHistogram>(h), given});
  };
  if (const auto n = in.times()) {
    for (std::size_t i = 0; i <= *n; ++i) point(base.value, base.hint_given);
    return {};
  }
  const bool plus = in.rest().starts_with("+{{");
  if (!plus && !in.rest().starts_with("-{{")) {
    point(base.value, base.hint_given);
    return {};
  }
  in.take(plus ? "+{{" : "-{{");
  TRY_ASSIGN(const ParsedHistogram step, parse_histogram(in));
  const auto n = in.times();
  if (!n) return wrong("a series of histograms needs a count: x3");
  promql::NativeHistogram now = base.value;
  bool reconciled = false;
  for (std::size_t i = 0; i <= *n; ++i) {
    if (i > 0 &&
        !(plus ? add(now, step.value, reconciled) : subtract(now, step.value, reconciled))) {
      return wrong("cannot combine exponential and custom buckets");
    }
    point(now, step.hint_given);
  }
  return {};
}

Status parse_float_item(Cursor& in, std::vector<TestPoint>& out) {
  if (in.take("stale")) {
    out.push_back({false, stale_value(), nullptr, false});
    return {};
  }
  const auto base = in.number();
  if (!base) return wrong("unexpected text in series values: " + std::string(in.rest()));
  double value = *base;
  if (const auto n = in.times()) {
    for (std::size_t i = 0; i <= *n; ++i) out.push_back({false, value, nullptr, false});
    return {};
  }
  if (in.done() || is_blank(in.rest()[0])) {
    out.push_back({false, value, nullptr, false});
    return {};
  }
  const auto step = in.number();
  const auto n = step ? in.times() : std::nullopt;
  if (!n) return wrong("unexpected text in series values: " + std::string(in.rest()));
  for (std::size_t i = 0; i <= *n; ++i) {
    out.push_back({false, value, nullptr, false});
    value += *step;
  }
  return {};
}

// -1m, 30s …
std::optional<std::int64_t> start_offset(Cursor& in) {
  const bool negative = in.take("-");
  if (!negative) in.take("+");
  std::size_t n = 0;
  while (n < in.rest().size() && in.rest()[n] != 'x' && in.rest()[n] != '+' &&
         in.rest()[n] != '-' && !is_blank(in.rest()[n]))
    ++n;
  const std::string text(in.rest().substr(0, n));
  const auto ms = promql::parse_prometheus_duration(text);
  if (!ms) return std::nullopt;
  in.take(text);
  return negative ? -*ms : *ms;
}

} // namespace

Result<TestSeriesLine> parse_test_series(std::string_view line) {
  Cursor in(line);
  TestSeriesLine out;
  TRY_ASSIGN(out.labels, parse_metric(in));
  while (true) {
    in.blanks();
    if (in.done()) return out;
    if (in.take("{{")) {
      TRY(parse_histogram_item(in, out.points));
    } else if (in.take("_")) {
      const std::size_t n = in.times().value_or(1);
      out.points.insert(out.points.end(), n, TestPoint{true, 0, nullptr, false});
    } else {
      TRY(parse_float_item(in, out.points));
    }
    if (!in.done() && !is_blank(in.rest()[0]))
      return wrong("unexpected text in series values: " + std::string(in.rest()));
  }
}

bool is_test_start_line(std::string_view line) {
  const auto blank = line.find_first_of(" \t");
  return blank != std::string_view::npos && line.substr(0, blank).ends_with("@st");
}

Result<TestStartLine> parse_test_start_line(std::string_view line) {
  Cursor in(line);
  TestStartLine out;
  TRY_ASSIGN(out.labels, parse_metric(in));
  if (!in.take("@st")) return wrong("an @st line needs @st right after the metric");
  while (true) {
    in.blanks();
    if (in.done()) return out;
    if (in.take("_")) {
      out.offsets_ms.insert(out.offsets_ms.end(), in.times().value_or(1), std::nullopt);
      continue;
    }
    auto offset = start_offset(in);
    if (!offset) return wrong("unexpected offset: " + std::string(in.rest()));
    std::int64_t step = 0;
    if (in.rest().starts_with('+') || in.rest().starts_with('-')) {
      const bool negative = in.take("-");
      if (!negative) in.take("+");
      const auto by = start_offset(in);
      if (!by) return wrong("unexpected step: " + std::string(in.rest()));
      step = negative ? -*by : *by;
    }
    const auto n = in.times();
    for (std::size_t i = 0; i <= n.value_or(0); ++i)
      out.offsets_ms.emplace_back(*offset + static_cast<std::int64_t>(i) * step);
  }
}

} // namespace coalmine::lab
