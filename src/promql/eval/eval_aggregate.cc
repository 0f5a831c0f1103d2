// SPDX-License-Identifier: Apache-2.0
#include "promql/eval/eval_aggregate.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <unordered_map>

#include "base/text.h"
#include "promql/eval/column_sums.h"
#include "promql/eval/label_hash.h"
#include "promql/syntax/go_text.h"

namespace coalmine::promql {
namespace {

std::string ignored_histogram(Tok op) {
  return fmt::format("ignored histogram in {} aggregation", spelling(op));
}

} // namespace

Eval<EvalMatrix> AggregateEvaluator::run() {
  if (is(Tok::count_values)) return count_values();
  if (const auto planned = eval_.planned_.find(&node_); planned != eval_.planned_.end()) {
    TRY_EVAL(
        std::optional<EvalMatrix> sums,
        ColumnSums(eval_, node_, frame_, *planned->second.source).run(planned->second.max_samples));
    if (sums) return std::move(*sums);
    TRY_EVAL([[maybe_unused]] bool fetched, eval_.fetch_planned(node_));
    eval_.planned_.erase(planned);
  }
  std::vector<double> params(frame_.steps(), 0.0);
  if (node_.param) {
    TRY_EVAL(const EvalMatrix column, eval_.eval(unwrap_parens(*node_.param), frame_));
    for (std::size_t i = 0; i < params.size(); ++i) params[i] = column[0].floats[i].value;
  }
  TRY_EVAL(const EvalMatrix input, eval_.eval(unwrap_parens(*node_.inner), frame_));
  form_groups(input);
  bool nothing = false;
  TRY_EVAL([[maybe_unused]] bool valid, check_params(params, nothing));
  if (nothing) return EvalMatrix{};
  return selects() ? select(input, params) : reduce(input, params);
}

LabelsRef AggregateEvaluator::group_labels(const Labels& labels) const {
  if (!node_.without && node_.grouping.empty()) return empty_labels();
  return std::make_shared<const Labels>(labels.where([&](std::string_view name) {
    const bool listed = std::ranges::find(node_.grouping, name) != node_.grouping.end();
    return node_.without ? !listed && name != kMetricName : listed;
  }));
}

void AggregateEvaluator::form_groups(const EvalMatrix& input) {
  std::unordered_map<Labels, std::size_t, LabelsHash> known;
  for (const EvalSeries& series : input) {
    LabelsRef labels = group_labels(*series.labels);
    const auto [it, fresh] = known.try_emplace(*labels, labels_.size());
    if (fresh) labels_.push_back(std::move(labels));
    group_of_.push_back(it->second);
  }
}

Eval<bool> AggregateEvaluator::check_params(const std::vector<double>& params, bool& nothing) {
  if (!node_.param) return true;
  double low = params[0];
  double high = params[0];
  bool nan = false;
  for (const double p : params) {
    nan = nan || std::isnan(p);
    low = std::min(low, p);
    high = std::max(high, p);
  }
  const std::size_t pos = unwrap_parens(*node_.param).range.start;
  if (is(Tok::quantile)) {
    if (nan) eval_.notes_.warn(bad_quantile(std::numeric_limits<double>::quiet_NaN()), pos);
    if (high > 1) eval_.notes_.warn(bad_quantile(high), pos);
    if (low < 0) eval_.notes_.warn(bad_quantile(low), pos);
  } else if (is(Tok::limit_ratio)) {
    nothing = high == 0 && low == 0;
    if (nan) return execution_error("Ratio value is NaN");
    const auto capped = [&](double value, double to) {
      eval_.notes_.warn(fmt::format("ratio value should be between -1 and 1, got {}, capping to {}",
                                    format_general(value), format_general(to)),
                        pos);
    };
    if (high > 1) capped(high, 1);
    if (low < -1) capped(low, -1);
  } else {
    nothing = high < 1;
    if (nothing) return true;
    if (nan) return execution_error("Parameter value is NaN");
    constexpr double kLimit = 9223372036854775808.0;
    if (low <= -kLimit)
      return execution_error(fmt::format("Scalar value {} underflows int64", format_general(low)));
    if (high >= kLimit)
      return execution_error(fmt::format("Scalar value {} overflows int64", format_general(high)));
  }
  return true;
}

Eval<EvalMatrix> AggregateEvaluator::reduce(const EvalMatrix& input,
                                            const std::vector<double>& params) {
  EvalMatrix out;
  for (const LabelsRef& labels : labels_) out.push_back({labels, false, {}, {}});
  StepCursor cursor(input);
  std::vector<Group> groups(labels_.size());
  std::size_t step = 0;
  for (std::int64_t t = frame_.start; t <= frame_.end; t += frame_.step, ++step) {
    TRY_EVAL([[maybe_unused]] bool in_time, eval_.check_deadline());
    for (Group& group : groups) group = Group{};
    VectorPoint point;
    for (std::size_t i = 0; i < input.size(); ++i) {
      if (cursor.get(i, t, point)) accumulate(groups[group_of_[i]], input[i], point);
    }
    for (std::size_t g = 0; g < groups.size(); ++g) {
      VectorPoint result;
      if (!groups[g].seen || !finish(groups[g], params[step], result)) continue;
      if (result.histogram) {
        out[g].histograms.push_back({t, std::move(result.histogram), 0});
      } else {
        out[g].floats.push_back({t, result.value, 0});
      }
      out[g].drop_name = groups[g].drop_name;
    }
  }
  std::erase_if(out, [](const EvalSeries& s) { return s.points() == 0; });
  return out;
}

void AggregateEvaluator::accumulate(Group& group, const EvalSeries& series,
                                    const VectorPoint& point) {
  if (group.incompatible) return;
  const double value = point.value;
  const bool floats_only =
      is(Tok::min) || is(Tok::max) || is(Tok::stddev) || is(Tok::stdvar) || is(Tok::quantile);
  if (floats_only && point.histogram) {
    eval_.notes_.info(ignored_histogram(node_.op), unwrap_parens(*node_.inner).range.start);
    return;
  }
  const bool first = !group.seen;
  group.seen = true;
  group.drop_name = group.drop_name || series.drop_name;
  group.count += 1;
  switch (node_.op) {
    case Tok::sum:
    case Tok::avg: add_to_sum(group, series, point); break;
    case Tok::group: group.value = 1; break;
    case Tok::min:
      if (first || group.value > value || std::isnan(group.value)) group.value = value;
      break;
    case Tok::max:
      if (first || group.value < value || std::isnan(group.value)) group.value = value;
      break;
    case Tok::quantile: group.values.push_back(value); break;
    case Tok::stddev:
    case Tok::stdvar: {
      if (first) {
        group.mean = value;
        group.value = std::isfinite(value) ? 0 : std::numeric_limits<double>::quiet_NaN();
        break;
      }
      const double delta = value - group.mean;
      group.mean += delta / group.count;
      group.value += delta * (value - group.mean);
      break;
    }
    default: break; // count
  }
}

void AggregateEvaluator::add_to_sum(Group& group, const EvalSeries& series,
                                    const VectorPoint& point) {
  if (point.histogram) {
    const bool start = group.histograms.empty() && !group.has_float;
    group.has_histogram = true;
    if (start)
      group.histograms.emplace_back(is(Tok::avg) ? HistogramSum::Result::mean
                                                 : HistogramSum::Result::sum);
    if (group.histograms.empty()) return; // floats came before, so the group is void
    if (!group.histograms[0].add(*point.histogram)) {
      eval_.notes_.warn(mixed_bucket_schemas(series.labels->metric_name()),
                        unwrap_parens(*node_.inner).range.start);
      group.incompatible = true;
    }
    return;
  }
  const bool first = !group.has_float;
  group.has_float = true;
  if (first && group.count == 1) {
    group.value = point.value;
  } else if (is(Tok::avg)) {
    add_to_mean(group, point.value);
  } else {
    KahanSum sum{group.value, group.compensation};
    sum.add(point.value);
    group.value = sum.sum;
    group.compensation = sum.compensation;
  }
}

void AggregateEvaluator::add_to_mean(Group& group, double value) const {
  if (!group.incremental) {
    KahanSum sum{group.value, group.compensation};
    sum.add(value);
    if (!std::isinf(sum.sum)) {
      group.value = sum.sum;
      group.compensation = sum.compensation;
      return;
    }
    group.incremental = true; // the sum would overflow: carry the mean from here on
    group.mean = group.value / (group.count - 1);
    group.compensation /= group.count - 1;
  }
  const double kept = (group.count - 1) / group.count;
  KahanSum mean{kept * group.mean, kept * group.compensation};
  mean.add(value / group.count);
  group.mean = mean.sum;
  group.compensation = mean.compensation;
}

bool AggregateEvaluator::finish(Group& group, double param, VectorPoint& out) {
  const std::size_t pos = unwrap_parens(*node_.inner).range.start;
  if (is(Tok::sum) || is(Tok::avg)) {
    if (group.has_float && group.has_histogram) {
      eval_.notes_.warn(std::string(kMixedInAggregation), pos);
      return false;
    }
    if (!group.histograms.empty() && group.histograms[0].reconciled()) {
      eval_.notes_.info("mismatched custom buckets were reconciled during aggregation", pos);
    }
    if (group.incompatible) return false;
    if (group.has_histogram) {
      if (group.histograms[0].reset_conflict())
        eval_.notes_.warn("conflicting counter resets during histogram aggregation", pos);
      out.histogram = std::make_shared<const NativeHistogram>(group.histograms[0].result());
      return true;
    }
  }
  switch (node_.op) {
    case Tok::avg:
      out.value = group.incremental ? group.mean + group.compensation
                                    : group.value / group.count + group.compensation / group.count;
      break;
    case Tok::sum: out.value = group.value + group.compensation; break;
    case Tok::count: out.value = group.count; break;
    case Tok::stdvar: out.value = group.value / group.count; break;
    case Tok::stddev: out.value = std::sqrt(group.value / group.count); break;
    case Tok::quantile: out.value = quantile_of(param, group.values); break;
    default: out.value = group.value; break;
  }
  return true;
}

Eval<EvalMatrix> AggregateEvaluator::select(const EvalMatrix& input,
                                            const std::vector<double>& params) {
  MatrixBuilder out;
  StepCursor cursor(input);
  Points points;
  std::size_t step = 0;
  for (std::int64_t t = frame_.start; t <= frame_.end; t += frame_.step, ++step) {
    TRY_EVAL([[maybe_unused]] bool in_time, eval_.check_deadline());
    cursor.gather(t, points);
    for (const std::size_t chosen : select_step(input, points, params[step])) {
      VectorPoint& point = points[chosen];
      const EvalSeries& series = input[point.series];
      if (!out.add(out.slot(series.labels, series.drop_name), t, point.value,
                   std::move(point.histogram))) {
        return execution_error(std::string(kSameLabels));
      }
    }
  }
  return out.take();
}

// Returns the indices of the chosen points, group by group.
std::vector<std::size_t> AggregateEvaluator::select_step(const EvalMatrix& input,
                                                         const Points& points, double param) {
  const bool ranked = is(Tok::topk) || is(Tok::bottomk);
  const double limit = static_cast<double>(input.size());
  const auto k = param >= 1 ? static_cast<std::size_t>(std::min(param, limit)) : 0;
  const double ratio = std::clamp(param, -1.0, 1.0);
  if (is(Tok::limit_ratio) ? ratio == 0 : k == 0) return {};
  std::vector<std::vector<std::size_t>> members(labels_.size());
  for (std::size_t i = 0; i < points.size(); ++i) {
    if (ranked && points[i].histogram) {
      eval_.notes_.info(ignored_histogram(node_.op), node_.range.start);
      continue;
    }
    const std::size_t group = group_of_[points[i].series];
    if (is(Tok::limit_ratio)) {
      constexpr double kMaxHash = 18446744073709551615.0;
      const double place =
          static_cast<double>(prometheus_label_hash(*input[points[i].series].labels)) / kMaxHash;
      if (ratio >= 0 ? place >= ratio : place < 1.0 + ratio) continue;
    } else if (is(Tok::limitk) && members[group].size() >= k) {
      continue;
    }
    members[group].push_back(i);
  }
  std::vector<std::size_t> out;
  for (std::vector<std::size_t>& group : members) {
    if (ranked) best_of(points, group, k);
    out.insert(out.end(), group.begin(), group.end());
  }
  return out;
}

void AggregateEvaluator::best_of(const Points& points, std::vector<std::size_t>& members,
                                 std::size_t k) const {
  const bool top = is(Tok::topk);
  std::ranges::stable_sort(members, [&](std::size_t a, std::size_t b) {
    const double x = points[a].value;
    const double y = points[b].value;
    if (std::isnan(x) || std::isnan(y)) return !std::isnan(x) && std::isnan(y);
    return top ? x > y : x < y;
  });
  if (members.size() > k) members.resize(k);
}

Eval<EvalMatrix> AggregateEvaluator::count_values() {
  const std::string& label = static_cast<const StringLiteral&>(unwrap_parens(*node_.param)).value;
  if (label.empty() || !is_utf8(label))
    return execution_error("invalid label name " + go_quote(label));
  TRY_EVAL(const EvalMatrix input, eval_.eval(unwrap_parens(*node_.inner), frame_));
  MatrixBuilder out;
  StepCursor cursor(input);
  Points points;
  for (std::int64_t t = frame_.start; t <= frame_.end; t += frame_.step) {
    TRY_EVAL([[maybe_unused]] bool in_time, eval_.check_deadline());
    cursor.gather(t, points);
    std::unordered_map<Labels, std::size_t, LabelsHash> counts;
    std::vector<const Labels*> order;
    for (const VectorPoint& point : points) {
      const std::string text =
          point.histogram ? to_text(*point.histogram) : format_decimal(point.value);
      const Labels valued = input[point.series].labels->with(label, text);
      Labels key = *group_labels(valued);
      if (!node_.without) key = key.with(label, text);
      const auto [it, fresh] = counts.try_emplace(std::move(key), 0);
      if (fresh) order.push_back(&it->first);
      ++it->second;
    }
    for (const Labels* labels : order) {
      if (!out.add(out.slot(std::make_shared<const Labels>(*labels), kKeepName), t,
                   static_cast<double>(counts[*labels]), nullptr)) {
        return execution_error(std::string(kSameLabels));
      }
    }
  }
  return out.take();
}

} // namespace coalmine::promql
