// SPDX-License-Identifier: Apache-2.0
#include "promql/eval/eval_types.h"

#include <algorithm>

namespace coalmine::promql {

Labels without_name(const Labels& labels) {
  return labels.where([](std::string_view name) {
    return name != kMetricName && name != "__type__" && name != "__unit__";
  });
}

LabelsRef without_name(const LabelsRef& labels) {
  if (!labels->has(kMetricName) && !labels->has("__type__") && !labels->has("__unit__"))
    return labels;
  return std::make_shared<const Labels>(without_name(*labels));
}

const LabelsRef& empty_labels() {
  static const LabelsRef kEmpty = std::make_shared<const Labels>();
  return kEmpty;
}

bool StepCursor::get(std::size_t i, std::int64_t time_ms, VectorPoint& out) {
  const EvalSeries& series = (*matrix_)[i];
  Place& at = at_[i];
  while (at.floats < series.floats.size() && series.floats[at.floats].time_ms < time_ms)
    ++at.floats;
  if (at.floats < series.floats.size() && series.floats[at.floats].time_ms == time_ms) {
    out = {i, series.floats[at.floats].value, nullptr};
    return true;
  }
  while (at.histograms < series.histograms.size() &&
         series.histograms[at.histograms].time_ms < time_ms)
    ++at.histograms;
  if (at.histograms < series.histograms.size() &&
      series.histograms[at.histograms].time_ms == time_ms) {
    out = {i, 0, series.histograms[at.histograms].value};
    return true;
  }
  return false;
}

void StepCursor::gather(std::int64_t time_ms, std::vector<VectorPoint>& out) {
  out.clear();
  VectorPoint point;
  for (std::size_t i = 0; i < matrix_->size(); ++i) {
    if (get(i, time_ms, point)) out.push_back(std::move(point));
  }
}

std::size_t MatrixBuilder::slot(const LabelsRef& labels, bool drop_name) {
  const auto [it, fresh] = index_.try_emplace(labels, out_.size());
  if (fresh) out_.push_back({labels, drop_name, {}, {}});
  return it->second;
}

bool MatrixBuilder::add(std::size_t slot, std::int64_t time_ms, double value,
                        HistogramRef histogram) {
  EvalSeries& series = out_[slot];
  if (!series.floats.empty() && series.floats.back().time_ms == time_ms) return false;
  if (!series.histograms.empty() && series.histograms.back().time_ms == time_ms) return false;
  ++points_;
  if (histogram) {
    series.histograms.push_back({time_ms, std::move(histogram), 0});
  } else {
    series.floats.push_back({time_ms, value, 0});
  }
  return true;
}

Eval<EvalMatrix> merge_same_labels(EvalMatrix matrix) {
  if (matrix.size() < 2) return matrix;
  std::unordered_map<Labels, std::size_t, LabelsHash> first;
  EvalMatrix out;
  std::vector<bool> sort_again;
  for (EvalSeries& series : matrix) {
    const auto [it, fresh] = first.try_emplace(*series.labels, out.size());
    if (fresh) {
      out.push_back(std::move(series));
      sort_again.push_back(false);
      continue;
    }
    EvalSeries& base = out[it->second];
    base.floats.insert(base.floats.end(), series.floats.begin(), series.floats.end());
    base.histograms.insert(base.histograms.end(), series.histograms.begin(),
                           series.histograms.end());
    sort_again[it->second] = true;
  }
  for (std::size_t i = 0; i < out.size(); ++i) {
    if (!sort_again[i]) continue;
    std::ranges::stable_sort(out[i].floats, {}, &Sample::time_ms);
    std::ranges::stable_sort(out[i].histograms, {}, &HistogramSample::time_ms);
    const bool twice =
        std::ranges::adjacent_find(out[i].floats, {}, &Sample::time_ms) != out[i].floats.end() ||
        std::ranges::adjacent_find(out[i].histograms, {}, &HistogramSample::time_ms) !=
            out[i].histograms.end();
    if (twice) return execution_error(std::string(kSameLabels));
  }
  return out;
}

} // namespace coalmine::promql
