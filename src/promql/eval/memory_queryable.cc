// SPDX-License-Identifier: Apache-2.0
#include "promql/eval/memory_queryable.h"

#include <algorithm>
#include <set>

#include "promql/eval/eval_types.h"
#include "promql/eval/histogram_math.h"
#include "promql/eval/range_functions.h"
#include "promql/syntax/series_matcher.h"

namespace coalmine::promql {
namespace {

// The hint of a histogram when read back. A database only knows that a histogram follows another of
// the same run without a reset.
Hint stored_hint(const NativeHistogram* previous, const NativeHistogram& now) {
  if (now.hint == Hint::gauge) return Hint::gauge;
  if (previous == nullptr || previous->hint == Hint::gauge || now.hint == Hint::reset ||
      is_stale(previous->sum))
    return Hint::unknown;
  if (is_stale(now.sum)) return Hint::not_reset;
  if (now.schema != previous->schema || now.zero_threshold != previous->zero_threshold)
    return Hint::unknown;
  if (now.custom_bounds != previous->custom_bounds) return Hint::unknown;
  NativeHistogram plain = now;
  plain.hint = Hint::unknown;
  return detect_reset(*previous, plain) ? Hint::unknown : Hint::not_reset;
}

} // namespace

void MemoryQueryable::append(const Labels& labels, const Sample& sample) {
  Held& held = series_[labels];
  if (sample.time_ms <= held.last_ms) return;
  held.data.labels = labels;
  held.last_ms = sample.time_ms;
  // The end of a series of histograms is a histogram.
  if (is_stale(sample.value) && held.last_was_histogram) {
    auto end = std::make_shared<NativeHistogram>();
    end->sum = stale_value();
    held.data.histograms.push_back({sample.time_ms, std::move(end), sample.start_ms});
    return;
  }
  held.last_was_histogram = false;
  held.data.floats.push_back(sample);
}

void MemoryQueryable::append(const Labels& labels, HistogramSample sample) {
  Held& held = series_[labels];
  if (sample.time_ms <= held.last_ms) return;
  const NativeHistogram* previous =
      held.last_was_histogram ? held.data.histograms.back().value.get() : nullptr;
  auto stored = std::make_shared<NativeHistogram>(*sample.value);
  stored->hint = stored_hint(previous, *sample.value);
  sample.value = std::move(stored);
  held.data.labels = labels;
  held.last_ms = sample.time_ms;
  held.last_was_histogram = true;
  held.data.histograms.push_back(std::move(sample));
}

Result<std::vector<Series>> MemoryQueryable::select(const Selection& selection) const {
  const SeriesMatcher matcher(selection.matchers);
  std::vector<Series> out;
  for (const auto& [labels, held] : series_) {
    if (!matcher.matches(labels)) continue;
    const auto floats = window_of(held.data.floats, selection.from_ms - 1, selection.to_ms);
    const auto histograms = window_of(held.data.histograms, selection.from_ms - 1, selection.to_ms);
    if (floats.empty() && histograms.empty()) continue;
    out.push_back({labels, {floats.begin(), floats.end()}, {histograms.begin(), histograms.end()}});
  }
  return out;
}

Result<std::vector<Labels>> MemoryQueryable::series(const Selection& selection) const {
  TRY_ASSIGN(const std::vector<Series> found, select(selection));
  std::vector<Labels> out;
  for (const Series& one : found) out.push_back(one.labels);
  return out;
}

Result<std::vector<std::string>> MemoryQueryable::label_names(const Selection& selection) const {
  TRY_ASSIGN(const std::vector<Labels> found, series(selection));
  std::set<std::string> out;
  for (const Labels& labels : found) {
    for (const auto [name, value] : labels) out.emplace(name);
  }
  return std::vector<std::string>(out.begin(), out.end());
}

Result<std::vector<std::string>> MemoryQueryable::label_values(std::string_view label,
                                                               const Selection& selection) const {
  TRY_ASSIGN(const std::vector<Labels> found, series(selection));
  std::set<std::string> out;
  for (const Labels& labels : found) {
    if (labels.has(label)) out.insert(std::string(labels.get(label)));
  }
  return std::vector<std::string>(out.begin(), out.end());
}

} // namespace coalmine::promql
