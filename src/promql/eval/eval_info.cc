// SPDX-License-Identifier: Apache-2.0
#include "promql/eval/eval_info.h"

#include <fmt/format.h>
#include <re2/re2.h>

#include <algorithm>
#include <array>
#include <set>

namespace coalmine::promql {
namespace {

constexpr std::array<std::string_view, 2> kIdentity = {"instance", "job"};

Labels identity_of(const Labels& labels, std::string_view name) {
  Labels out = Labels::of({{std::string(kMetricName), std::string(name)}});
  for (const std::string_view label : kIdentity) out = out.with(label, labels.get(label));
  return out;
}

bool is_positive(const Matcher& m) {
  return m.op == Matcher::Op::equal || m.op == Matcher::Op::regexp;
}

} // namespace

void InfoEvaluator::read_matchers() {
  if (node_.args.size() > 1) {
    const auto& selector = static_cast<const VectorSelector&>(unwrap_parens(*node_.args[1]));
    for (const Matcher& matcher : selector.matchers)
      (matcher.name == kMetricName ? names_ : data_).push_back(matcher);
  }
  if (names_.empty()) {
    names_.push_back({std::string(kMetricName), Matcher::Op::equal, "target_info"});
  } else if (std::ranges::none_of(names_, is_positive)) {
    names_.insert(names_.begin(), {std::string(kMetricName), Matcher::Op::regexp, ".+_info"});
  }
}

const VectorSelector* InfoEvaluator::first_selector(const Expr& expr,
                                                    std::vector<const SubqueryExpr*>& path) {
  if (const auto* vector = as<VectorSelector>(&expr)) return vector;
  if (const auto* matrix = as<MatrixSelector>(&expr)) return matrix->selector.get();
  const auto* subquery = as<SubqueryExpr>(&expr);
  if (subquery != nullptr) path.push_back(subquery);
  for (ExprPtr* child : child_slots(const_cast<Expr&>(expr))) { // only read here
    if (const VectorSelector* found = first_selector(**child, path)) return found;
  }
  if (subquery != nullptr) path.pop_back();
  return nullptr;
}

TimeShift InfoEvaluator::shift_of_base() const {
  TimeShift out;
  std::vector<const SubqueryExpr*> path;
  const VectorSelector* selector = first_selector(*node_.args[0], path);
  if (selector == nullptr) return out;
  out.at_ms = selector->shift.at_ms;
  out.offset_ms = selector->shift.offset_ms;
  for (std::size_t i = path.size(); i-- > 0 && !out.at_ms;) {
    out.offset_ms += path[i]->shift.offset_ms;
    out.at_ms = path[i]->shift.at_ms;
  }
  return out;
}

Eval<EvalMatrix> InfoEvaluator::fetch(const EvalMatrix& base, const std::vector<bool>& is_info) {
  std::map<std::string_view, std::set<std::string>> values;
  for (std::size_t i = 0; i < base.size(); ++i) {
    if (is_info[i]) continue;
    for (const std::string_view label : kIdentity) {
      if (const std::string_view value = base[i].labels->get(label); !value.empty())
        values[label].insert(std::string(value));
    }
  }
  if (values.empty()) return EvalMatrix{};
  // An ordinary selector, fetched and read by the evaluator.
  auto selector = std::make_unique<VectorSelector>(node_.range);
  for (const auto& [label, all] : values) {
    std::string pattern;
    for (const std::string& value : all)
      pattern += (pattern.empty() ? "" : "|") + re2::RE2::QuoteMeta(value);
    selector->matchers.push_back({std::string(label), Matcher::Op::regexp, std::move(pattern)});
  }
  selector->matchers.insert(selector->matchers.end(), data_.begin(), data_.end());
  selector->matchers.insert(selector->matchers.end(), names_.begin(), names_.end());
  selector->shift = shift_of_base();
  TRY_EVAL([[maybe_unused]] bool fetched,
           eval_.fetch_selector(*selector, frame_.start, frame_.end, 0,
                                Evaluator::SelectorKind::instant));
  for (const EvalSeries& series : eval_.fetched_[selector.get()]) {
    if (!series.histograms.empty()) {
      return execution_error(fmt::format("this should be an info metric, with float samples: {}",
                                         series.labels->to_string()));
    }
  }
  auto out = eval_.eval_sample_times(*selector, frame_, Evaluator::SampleTime::own);
  eval_.fetched_.erase(selector.get());
  return out;
}

Eval<bool> InfoEvaluator::newest_at(const EvalMatrix& info, StepCursor& cursor,
                                    std::int64_t time_ms, InfoByKey& out) const {
  std::vector<VectorPoint> points;
  cursor.gather(time_ms, points);
  for (const VectorPoint& point : points) {
    const EvalSeries& series = info[point.series];
    auto [it, fresh] = out.try_emplace(identity_of(*series.labels, series.labels->metric_name()),
                                       InfoPoint{&series, point.value});
    if (fresh || it->second.time > point.value) continue;
    if (it->second.time == point.value) {
      const auto ms = static_cast<std::int64_t>(point.value * 1000);
      return execution_error(
          fmt::format("found duplicate series for info metric: existing {} @ {}, new {} @ {}",
                      it->second.series->labels->to_string(), ms, series.labels->to_string(), ms));
    }
    it->second = {&series, point.value};
  }
  return true;
}

Eval<std::optional<LabelsRef>> InfoEvaluator::enriched(const Labels& base,
                                                       const InfoByKey& info) const {
  Labels added;
  bool found = false;
  for (const std::string& name : info_names_) {
    const auto it = info.find(identity_of(base, name));
    if (it == info.end()) continue;
    found = true;
    for (const auto [label, value] : *it->second.series->labels) {
      if (label == kMetricName) continue;
      const bool wanted = data_.empty() || std::ranges::any_of(data_, [&](const Matcher& m) {
                            return m.name == label;
                          });
      if (!wanted) continue;
      if (added.has(label) && added.get(label) != value)
        return execution_error(fmt::format("conflicting label: {}", label));
      if (!base.has(label)) added = added.with(label, value);
    }
  }
  const bool may_lack = std::ranges::all_of(data_, SeriesMatcher::matches_empty);
  if (!found && !may_lack) return std::optional<LabelsRef>();
  Labels out = base;
  for (const auto [label, value] : added) out = out.with(label, value);
  return std::optional<LabelsRef>(std::make_shared<const Labels>(std::move(out)));
}

Eval<EvalMatrix> InfoEvaluator::run() {
  read_matchers();
  TRY_EVAL(const EvalMatrix base, eval_.eval(unwrap_parens(*node_.args[0]), frame_));
  // Info series themselves are returned unchanged.
  const SeriesMatcher names(names_);
  std::vector<bool> is_info;
  for (const EvalSeries& series : base)
    is_info.push_back(names.accepts(kMetricName, series.labels->metric_name()));
  TRY_EVAL(const EvalMatrix info, fetch(base, is_info));
  for (const EvalSeries& series : info) info_names_.emplace_back(series.labels->metric_name());
  std::ranges::sort(info_names_);
  const auto same = std::ranges::unique(info_names_);
  info_names_.erase(same.begin(), same.end());
  MatrixBuilder out;
  StepCursor base_cursor(base);
  StepCursor info_cursor(info);
  std::vector<VectorPoint> points;
  for (std::int64_t t = frame_.start; t <= frame_.end; t += frame_.step) {
    TRY_EVAL([[maybe_unused]] bool in_time, eval_.check_deadline());
    base_cursor.gather(t, points);
    InfoByKey newest;
    TRY_EVAL([[maybe_unused]] bool unique, newest_at(info, info_cursor, t, newest));
    for (VectorPoint& point : points) {
      const EvalSeries& series = base[point.series];
      std::optional<LabelsRef> labels = series.labels;
      if (!is_info[point.series]) {
        TRY_EVAL(labels, enriched(*series.labels, newest));
      }
      if (!labels) continue;
      if (!out.add(out.slot(*labels, series.drop_name), t, point.value,
                   std::move(point.histogram))) {
        return execution_error(std::string(kSameLabels));
      }
    }
  }
  return out.take();
}

} // namespace coalmine::promql
