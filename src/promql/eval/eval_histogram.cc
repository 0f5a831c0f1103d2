// SPDX-License-Identifier: Apache-2.0
#include "promql/eval/eval_histogram.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <unordered_map>
#include <utility>

#include "promql/eval/histogram_math.h"
#include "promql/eval/range_functions.h"
#include "promql/syntax/go_text.h"

namespace coalmine::promql {
namespace {

constexpr std::size_t kNone = SIZE_MAX;

double variance_of(const NativeHistogram& h) {
  const double mean = h.sum / h.count;
  KahanSum sum;
  for (const HistogramBucket& b : buckets_of(h)) {
    if (b.count == 0) continue;
    double value = 0; // the zero bucket
    if (uses_custom_buckets(h)) {
      value = (b.upper + b.lower) / 2;
    } else if (!(b.lower <= 0 && b.upper >= 0)) {
      value = std::sqrt(b.upper * b.lower);
      if (b.upper < 0) value = -value;
    }
    sum.add(b.count * (value - mean) * (value - mean));
  }
  return sum.total() / h.count;
}

constexpr auto kPlain =
    std::to_array<std::pair<std::string_view, double (*)(const NativeHistogram&)>>({
        {"histogram_avg", [](const NativeHistogram& h) { return h.sum / h.count; }},
        {"histogram_count", [](const NativeHistogram& h) { return h.count; }},
        {"histogram_stddev", [](const NativeHistogram& h) { return std::sqrt(variance_of(h)); }},
        {"histogram_stdvar", variance_of},
        {"histogram_sum", [](const NativeHistogram& h) { return h.sum; }},
    });

// A number the way OpenMetrics writes it: 0.5, 1.0, 1e+06.
std::string open_metrics_number(double v) {
  std::string out = format_general(v);
  if (std::isfinite(v) && out.find_first_of(".e") == std::string::npos) out += ".0";
  return out;
}

} // namespace

bool is_histogram_function(std::string_view name) { return name.starts_with("histogram_"); }

Eval<EvalMatrix> HistogramFunctions::run() {
  for (const auto& [name, function] : kPlain) {
    if (is(name)) return plain(function);
  }
  if (is("histogram_quantile")) return distribution(1);
  if (is("histogram_fraction")) return distribution(2);
  return distribution(0);
}

Eval<EvalMatrix> HistogramFunctions::plain(double (*function)(const NativeHistogram&)) {
  TRY_EVAL(EvalMatrix input, eval_.eval(arg(0), frame_));
  EvalMatrix out;
  for (EvalSeries& series : input) {
    if (series.histograms.empty()) continue;
    series.floats.clear();
    for (const HistogramSample& sample : series.histograms)
      series.floats.push_back({sample.time_ms, function(*sample.value), 0});
    series.histograms.clear();
    if (!eval_.delayed())
      series.labels = std::make_shared<const Labels>(series.labels->without(kMetricName));
    series.drop_name = true;
    out.push_back(std::move(series));
  }
  if (eval_.delayed()) return out;
  return merge_same_labels(std::move(out));
}

void HistogramFunctions::group_series(const EvalMatrix& input) {
  std::unordered_map<Labels, std::size_t, LabelsHash> classic;
  for (const EvalSeries& series : input) {
    double bound = 0;
    bool bad = false;
    std::size_t group = kNone;
    if (!series.floats.empty()) {
      const std::string le(series.labels->get("le"));
      const auto parsed = parse_promql_number(le);
      bad = !parsed;
      bound = parsed.value_or(0);
      if (!bad) {
        Labels key = series.labels->without("le");
        const auto [it, fresh] = classic.try_emplace(key, groups_.size());
        if (fresh) groups_.push_back({.labels = std::make_shared<const Labels>(std::move(key))});
        group = it->second;
      }
    }
    classic_of_.push_back(group);
    bound_of_.push_back(bound);
    bad_bound_.push_back(bad);
    native_of_.push_back(kNone);
    if (!series.histograms.empty()) {
      native_of_.back() = groups_.size();
      groups_.push_back({series.labels, true, {}, nullptr, false});
    }
  }
  for (std::size_t g = 0; g < groups_.size(); ++g) {
    if (!groups_[g].native) continue;
    const auto same = classic.find(*groups_[g].labels);
    if (same != classic.end()) namesakes_.emplace_back(g, same->second);
  }
}

void HistogramFunctions::fill_groups(const EvalMatrix& input,
                                     const std::vector<VectorPoint>& points, std::size_t pos) {
  for (Group& group : groups_) {
    group.buckets.clear();
    group.histogram = nullptr;
    group.conflict = false;
    group.repaired = false;
  }
  const auto name = [&](const Labels& labels) {
    return eval_.delayed() ? labels.metric_name() : std::string_view();
  };
  for (const VectorPoint& point : points) {
    if (point.histogram) {
      groups_[native_of_[point.series]].histogram = point.histogram;
    } else if (bad_bound_[point.series]) {
      const Labels& labels = *input[point.series].labels;
      eval_.notes_.warn(with_metric("bucket label \"le\" is missing or has a malformed value of " +
                                        go_quote(labels.get("le")),
                                    name(labels)),
                        pos);
    } else {
      groups_[classic_of_[point.series]].buckets.push_back({bound_of_[point.series], point.value});
    }
  }
  for (const auto& [native, classic] : namesakes_) {
    if (!groups_[native].histogram || groups_[classic].buckets.empty()) continue;
    eval_.notes_.warn(with_metric("vector contains a mix of classic and native histograms",
                                  name(*groups_[native].labels)),
                      pos);
    groups_[native].conflict = true;
    groups_[classic].conflict = true;
  }
}

double HistogramFunctions::answer(Group& group, const Question& question, std::int64_t time_ms,
                                  std::size_t pos) {
  const std::string_view name = eval_.delayed() ? group.labels->metric_name() : std::string_view();
  if (group.native) {
    NanNote note = NanNote::none;
    const double out = question.fraction
                           ? histogram_fraction(question.a, question.b, *group.histogram, note)
                           : histogram_quantile(question.a, *group.histogram, note);
    constexpr std::array<std::string_view, 4> kNotes = {
        "", "input to histogram_quantile has NaN observations, result is NaN",
        "input to histogram_quantile has NaN observations, result is skewed higher",
        "input to histogram_fraction has NaN observations, which are excluded from all fractions"};
    if (note != NanNote::none)
      eval_.notes_.info(with_metric(kNotes[static_cast<std::size_t>(note)], name), pos);
    return out;
  }
  // A copy: it is repaired in place, and several quantiles may be asked for.
  std::vector<ClassicBucket> buckets = group.buckets;
  if (question.fraction) return bucket_fraction(question.a, question.b, buckets);
  Forced forced;
  const double out = bucket_quantile(question.a, buckets, forced);
  if (forced.any && !std::exchange(group.repaired, true))
    eval_.notes_.monotonicity(
        name, pos, {forced.min_bucket, forced.max_bucket, forced.max_diff, time_ms, time_ms, 1});
  return out;
}

Eval<std::vector<EvalMatrix>> HistogramFunctions::scalar_args() {
  std::vector<EvalMatrix> out;
  for (const ExprPtr& one : node_.args) {
    if (type_of(*one) != ValueType::scalar) continue;
    TRY_EVAL(EvalMatrix column, eval_.eval(unwrap_parens(*one), frame_));
    out.push_back(std::move(column));
  }
  return out;
}

std::vector<HistogramFunctions::Question> HistogramFunctions::questions(
    const std::vector<EvalMatrix>& scalars, std::size_t step) {
  const auto value = [&](std::size_t i) { return scalars[i][0].floats[step].value; };
  if (is("histogram_fraction")) return {{true, value(0), value(1), {}}};
  const bool many = is("histogram_quantiles");
  std::vector<Question> out;
  for (std::size_t i = 0; i < scalars.size(); ++i) {
    const double q = value(i);
    if (!(q >= 0 && q <= 1)) eval_.notes_.warn(bad_quantile(q), arg(many ? i + 2 : 0).range.start);
    out.push_back({false, q, 0, many ? open_metrics_number(q) : ""});
  }
  return out;
}

Eval<EvalMatrix> HistogramFunctions::distribution(std::size_t vector_arg) {
  TRY_EVAL(const std::vector<EvalMatrix> scalars, scalar_args());
  TRY_EVAL(const EvalMatrix input, eval_.eval(arg(vector_arg), frame_));
  const std::size_t pos = arg(vector_arg).range.start;
  const std::string label =
      is("histogram_quantiles") ? static_cast<const StringLiteral&>(arg(1)).value : "";
  group_series(input);
  // Native histograms come first in the result.
  std::vector<std::size_t> order;
  for (const bool native : {true, false}) {
    for (std::size_t g = 0; g < groups_.size(); ++g) {
      if (groups_[g].native == native) order.push_back(g);
    }
  }
  std::vector<LabelsRef> result_labels;
  for (const Group& group : groups_) result_labels.push_back(eval_.dropped(group.labels));
  MatrixBuilder out;
  StepCursor cursor(input);
  std::vector<VectorPoint> points;
  std::size_t step = 0;
  for (std::int64_t t = frame_.start; t <= frame_.end; t += frame_.step, ++step) {
    TRY_EVAL([[maybe_unused]] bool in_time, eval_.check_deadline());
    cursor.gather(t, points);
    const std::vector<Question> asked = questions(scalars, step);
    fill_groups(input, points, pos);
    for (const Question& question : asked) {
      for (const std::size_t g : order) {
        Group& group = groups_[g];
        if (group.conflict || (group.buckets.empty() && !group.histogram)) continue;
        const LabelsRef& base = result_labels[g];
        const LabelsRef labels =
            label.empty() ? base
                          : std::make_shared<const Labels>(base->with(label, question.label));
        if (!out.add(out.slot(labels, kDropName), t, answer(group, question, t, pos), nullptr))
          return execution_error(std::string(kSameLabels));
      }
    }
  }
  return out.take();
}

} // namespace coalmine::promql
