// The functions sort…, label_replace and label_join.
// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <re2/re2.h>

#include <algorithm>
#include <cmath>

#include "base/text.h"
#include "promql/eval/eval_call.h"
#include "promql/syntax/go_text.h"
#include "promql/syntax/series_matcher.h"

namespace coalmine::promql {
namespace {

bool valid_label(std::string_view name) { return !name.empty() && is_utf8(name); }

// "a2" before "a10": runs of digits compare as numbers.
bool natural_less(std::string_view a, std::string_view b) {
  while (!a.empty() && !b.empty()) {
    const auto run = [](std::string_view text) {
      std::size_t n = 1;
      while (n < text.size() && is_digit(text[n]) == is_digit(text[0])) ++n;
      return text.substr(0, n);
    };
    const std::string_view left = run(a);
    const std::string_view right = run(b);
    a.remove_prefix(left.size());
    b.remove_prefix(right.size());
    if (left == right) continue;
    if (!is_digit(left[0]) || !is_digit(right[0])) return left < right;
    const auto number = [](std::string_view digits) {
      return digits.substr(std::min(digits.find_first_not_of('0'), digits.size()));
    };
    const std::string_view x = number(left);
    const std::string_view y = number(right);
    if (x.size() != y.size()) return x.size() < y.size();
    if (x != y) return x < y;
    return left.size() > right.size(); // 01 before 1
  }
  return a.size() < b.size();
}

// Expands $1, ${1}, $name and $$ of a Go replacement template.
std::string expand(std::string_view pattern, const re2::RE2& regexp,
                   const std::vector<re2::StringPiece>& groups) {
  std::string out;
  const auto& names = regexp.NamedCapturingGroups();
  while (!pattern.empty()) {
    const auto dollar = pattern.find('$');
    out += pattern.substr(0, dollar);
    if (dollar == std::string_view::npos) break;
    pattern.remove_prefix(dollar + 1);
    if (pattern.starts_with('$')) {
      out += '$';
      pattern.remove_prefix(1);
      continue;
    }
    const bool braced = pattern.starts_with('{');
    std::string_view rest = braced ? pattern.substr(1) : pattern;
    std::size_t length = 0;
    while (length < rest.size() &&
           (std::isalnum(static_cast<unsigned char>(rest[length])) || rest[length] == '_'))
      ++length;
    if (length == 0 || (braced && (length >= rest.size() || rest[length] != '}'))) {
      out += '$'; // malformed: kept unchanged
      continue;
    }
    const std::string name(rest.substr(0, length));
    pattern = rest.substr(length + (braced ? 1 : 0));
    std::size_t index = groups.size();
    if (std::ranges::all_of(name, is_digit)) {
      if (name.size() < 9) index = static_cast<std::size_t>(std::stoul(name));
    } else if (const auto found = names.find(name); found != names.end()) {
      index = static_cast<std::size_t>(found->second);
    }
    if (index < groups.size()) out.append(groups[index].data(), groups[index].size());
  }
  return out;
}

} // namespace

Eval<EvalMatrix> CallEvaluator::sorted() {
  const bool by_label = node_.function->name.starts_with("sort_by_label");
  const bool descending = node_.function->name.ends_with("_desc");
  if (!frame_.single()) {
    eval_.notes_.warn(
        "sort is ineffective for range queries since results are always ordered by labels",
        node_.range.start);
  }
  TRY_EVAL(EvalMatrix out, eval_arg(0));
  if (!by_label) {
    for (EvalSeries& series : out) series.histograms.clear();
    std::erase_if(out, [](const EvalSeries& s) { return s.floats.empty(); });
    if (!frame_.single()) return out;
    std::ranges::stable_sort(out, [&](const EvalSeries& a, const EvalSeries& b) {
      const double x = a.floats[0].value;
      const double y = b.floats[0].value;
      if (std::isnan(x) || std::isnan(y))
        return !std::isnan(x) && std::isnan(y); // NaN last either way
      return descending ? x > y : x < y;
    });
    return out;
  }
  std::vector<std::string_view> labels;
  for (std::size_t i = 1; i < node_.args.size(); ++i) labels.push_back(text_arg(i));
  std::ranges::stable_sort(out, [&](const EvalSeries& a, const EvalSeries& b) {
    for (const std::string_view label : labels) {
      const std::string_view x = a.labels->get(label);
      const std::string_view y = b.labels->get(label);
      if (x != y) return natural_less(x, y) != descending;
    }
    return descending ? *b.labels < *a.labels : *a.labels < *b.labels;
  });
  return out;
}

Eval<EvalMatrix> CallEvaluator::relabeled(
    std::string_view label, const std::function<bool(const Labels&, std::string&)>& value) {
  TRY_EVAL(EvalMatrix out, eval_arg(0));
  for (EvalSeries& series : out) {
    std::string text;
    if (!value(*series.labels, text)) continue;
    series.labels = std::make_shared<const Labels>(series.labels->with(label, text));
    if (label == kMetricName) series.drop_name = false;
  }
  return merge_same_labels(std::move(out));
}

Eval<EvalMatrix> CallEvaluator::label_replace() {
  const std::string_view destination = text_arg(1);
  const std::string_view replacement = text_arg(2);
  const std::string_view source = text_arg(3);
  const std::string_view pattern = text_arg(4);
  re2::RE2::Options options;
  options.set_log_errors(false);
  options.set_dot_nl(true);
  const re2::RE2 regexp(re2_pattern(pattern), options);
  if (!regexp.ok())
    return execution_error(
        fmt::format("invalid regular expression in label_replace(): {}", pattern));
  if (!valid_label(destination))
    return execution_error(
        fmt::format("invalid destination label name in label_replace(): {}", destination));
  std::vector<re2::StringPiece> groups(static_cast<std::size_t>(regexp.NumberOfCapturingGroups()) +
                                       1);
  return relabeled(destination, [&](const Labels& labels, std::string& out) {
    const std::string_view value = labels.get(source);
    const re2::StringPiece text(value.data() == nullptr ? "" : value.data(), value.size());
    if (!regexp.Match(text, 0, text.size(), re2::RE2::ANCHOR_BOTH, groups.data(),
                      static_cast<int>(groups.size())))
      return false;
    out = expand(replacement, regexp, groups);
    return true;
  });
}

Eval<EvalMatrix> CallEvaluator::label_join() {
  const std::string_view destination = text_arg(1);
  const std::string_view separator = text_arg(2);
  std::vector<std::string_view> sources;
  for (std::size_t i = 3; i < node_.args.size(); ++i) {
    sources.push_back(text_arg(i));
    if (!valid_label(sources.back()))
      return execution_error(
          fmt::format("invalid source label name in label_join(): {}", sources.back()));
  }
  if (!valid_label(destination))
    return execution_error(
        fmt::format("invalid destination label name in label_join(): {}", destination));
  return relabeled(destination, [&](const Labels& labels, std::string& out) {
    for (std::size_t i = 0; i < sources.size(); ++i) {
      if (i > 0) out += separator;
      out += labels.get(sources[i]);
    }
    return true;
  });
}

} // namespace coalmine::promql
