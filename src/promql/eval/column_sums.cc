// SPDX-License-Identifier: Apache-2.0
#include "promql/eval/column_sums.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <unordered_map>

#include "promql/eval/eval_call.h"
#include "promql/syntax/go_text.h"

namespace coalmine::promql {
namespace {

constexpr std::string_view kLe = "le";

bool is_name(std::string_view label) {
  return label == kMetricName || label == "__type__" || label == "__unit__";
}

double seconds(std::int64_t ms) { return static_cast<double>(ms) / 1000; }

const CallExpr* call_of(const AggregateExpr& node) {
  return as<CallExpr>(&unwrap_parens(*node.inner));
}

} // namespace

const MatrixSelector* ColumnSums::range_of(const AggregateExpr& node) {
  if (node.op != Tok::sum || node.param) return nullptr;
  const CallExpr* call = call_of(node);
  if (call == nullptr || (call->function->name != "rate" && call->function->name != "increase"))
    return nullptr;
  const auto* range = as<MatrixSelector>(&unwrap_parens(*call->args[0]));
  return range == nullptr || range->selector->anchored || range->selector->smoothed ? nullptr
                                                                                    : range;
}

ColumnSums::ColumnSums(Evaluator& eval, const AggregateExpr& node, const Frame& frame,
                       const ColumnSource& source)
    : eval_(eval),
      node_(node),
      frame_(frame),
      source_(source),
      call_(*call_of(node)),
      range_(*range_of(node)),
      per_second_(call_.function->name == "rate"),
      keep_le_(source.buckets() &&
               (std::ranges::find(node.grouping, kLe) != node.grouping.end()) != node.without),
      range_seconds_(seconds(range_.range_ms)) {}

bool ColumnSums::listed(std::string_view label) const {
  return std::ranges::find(node_.grouping, label) != node_.grouping.end();
}

LabelsRef ColumnSums::group_labels(const Labels& labels) const {
  auto kept = labels.where(
      [&](std::string_view name) { return !is_name(name) && listed(name) != node_.without; });
  return kept.empty() ? empty_labels() : std::make_shared<const Labels>(std::move(kept));
}

// Two keys are equal exactly if the labels of the groups are.
std::string ColumnSums::group_key(const Labels& labels) const {
  std::string out;
  const auto add = [&](std::string_view text) {
    out.append(text);
    out.push_back('\xff'); // does not occur in UTF-8 text
  };
  if (node_.without) {
    for (const auto [name, value] : labels) {
      if (is_name(name) || listed(name)) continue;
      add(name);
      add(value);
    }
    return out;
  }
  for (const std::string& name : node_.grouping) {
    if (!is_name(name)) add(labels.get(name));
  }
  return out;
}

void ColumnSums::form_groups() {
  const bool one =
      !node_.without && std::ranges::all_of(node_.grouping, [&](const std::string& name) {
        return is_name(name) || (source_.buckets() && name == kLe);
      });
  std::unordered_map<std::string, std::size_t> known;
  for (std::size_t i = 0; i < source_.size(); ++i) {
    std::size_t group = 0;
    if (one) {
      if (groups_.empty()) groups_.push_back({empty_labels(), {}});
    } else {
      const auto [it, fresh] = known.try_emplace(group_key(source_.labels(i)), groups_.size());
      if (fresh) groups_.push_back({group_labels(source_.labels(i)), {}});
      group = it->second;
    }
    groups_[group].members.push_back(i);
  }
}

Eval<std::optional<EvalMatrix>> ColumnSums::run(std::size_t max_samples) {
  room_ = max_samples;
  form_groups();
  std::vector<std::size_t> order; // group by group
  std::vector<std::size_t> group_at;
  for (std::size_t g = 0; g < groups_.size(); ++g) {
    order.insert(order.end(), groups_[g].members.begin(), groups_[g].members.end());
    group_at.insert(group_at.end(), groups_[g].members.size(), g);
  }
  const std::size_t before = eval_.fetched_series_;
  std::size_t place = 0;
  const auto read = source_.read(order, [&](std::size_t series, const Columns& columns) {
    if (place > 0 && group_at[place] != group_at[place - 1])
      finish_group(groups_[group_at[place - 1]]);
    const bool go_on = take(series, columns);
    ++place;
    return go_on;
  });
  if (error_) return std::unexpected(*error_);
  if (shapeless_ || (!read && read.error().code == ErrorCode::unimplemented)) {
    eval_.fetched_series_ = before;
    return std::nullopt;
  }
  if (!read) return std::unexpected(eval_.select_error(read.error(), Evaluator::Cap::samples));
  if (!groups_.empty()) finish_group(groups_.back());
  return take_result();
}

bool ColumnSums::take(std::size_t series, const Columns& columns) {
  if (!columns.uniform) {
    shapeless_ = true;
    return false;
  }
  if (columns.times.empty()) return true;
  if (width_ == 0 && !start_group(columns)) return false;
  if (columns.width != width_ || (source_.buckets() && *columns.bounds != *bounds_)) {
    shapeless_ = true;
    return false;
  }
  if (!charge(columns)) return false;
  find_resets(columns);
  add_series(series, columns);
  return true;
}

// Starts the sums of a group with its first samples.
bool ColumnSums::start_group(const Columns& columns) {
  width_ = columns.width;
  bounds_ = columns.bounds;
  le_.clear();
  columns_.clear();
  if (source_.buckets()) {
    for (const double bound : *bounds_) le_.push_back(format_decimal(bound));
    le_.emplace_back("+Inf");
  }
  for (std::size_t c = 0; c < width_; ++c) {
    if (!source_.buckets() || source_.accepts_bound(le_[c])) columns_.push_back(c);
  }
  // Series are in the order of their labels: le as text.
  if (source_.buckets())
    std::ranges::sort(columns_, {}, [&](std::size_t c) -> const std::string& { return le_[c]; });
  slots_ = keep_le_ || !source_.buckets() ? width_ : 1;
  const std::size_t cells = frame_.steps() * slots_;
  constexpr std::size_t kCell = 2 * sizeof(double) + 1;
  if (cells > eval_.options_.max_bytes / kCell) {
    eval_.fetched_bytes_ = eval_.options_.max_bytes + 1;
    error_ = eval_.within_memory().error();
    return false;
  }
  sums_.assign(cells, 0);
  compensations_.assign(cells, 0);
  seen_.assign(frame_.steps(), 0);
  rates_.resize(width_);
  first_seen_ = SIZE_MAX;
  return true;
}

// Charges the budgets as if each column were a series.
bool ColumnSums::charge(const Columns& columns) {
  eval_.fetched_series_ += columns_.size();
  const std::size_t samples = (columns.times.size() + columns.hidden) * columns_.size();
  const auto check = [&](auto&& verdict) {
    if (!verdict) error_ = verdict.error();
    return !error_;
  };
  if (samples > room_) {
    error_ = eval_.select_error({ErrorCode::resource_exhausted, ""}, Evaluator::Cap::samples);
    return false;
  }
  room_ -= samples;
  if (!check(eval_.charge_fetched({}))) return false;
  return !eval_.look_due(1 + (columns.values.size() + frame_.steps() * width_) / 4) ||
         check(eval_.check_deadline());
}

void ColumnSums::find_resets(const Columns& columns) {
  resets_.clear();
  const double* row = columns.values.data();
  for (std::size_t r = 1; r < columns.times.size(); ++r, row += width_) {
    if (any_lower(row, row + width_, width_)) resets_.push_back(r);
  }
}

void ColumnSums::add_series(std::size_t series, const Columns& columns) {
  const auto& times = columns.times;
  std::size_t first = 0;
  std::size_t end = 0;
  bool any = false;
  std::size_t step = 0;
  for (std::int64_t t = frame_.start; t <= frame_.end; t += frame_.step, ++step) {
    const std::int64_t to_ms = Evaluator::reference(range_.selector->shift, t);
    const std::int64_t from_ms = to_ms - range_.range_ms;
    while (end < times.size() && times[end] <= to_ms) ++end;
    while (first < end && times[first] <= from_ms) ++first;
    if (end - first < 2) continue;
    // Hidden rows exist only if the whole selection is this window, so all of them count.
    const Window& w = window_at({times[first] - from_ms, to_ms - times[end - 1],
                                 times[end - 1] - times[first], end - first + columns.hidden});
    add_window(columns, first, end - 1, w, step);
    any = true;
  }
  if (any) first_seen_ = std::min(first_seen_, series);
}

// Computes what extrapolation() in rate_functions.cc does, except for the part that depends on a
// column's own values, which add_window() does. Most windows of regular samples have their samples
// at the same offsets, so the last result is kept.
const ColumnSums::Window& ColumnSums::window_at(const Place& place) {
  if (place == place_) return window_;
  place_ = place;
  Window& w = window_;
  w.reach.to_start = seconds(place.before_ms);
  w.to_end = seconds(place.after_ms);
  w.reach.sampled = seconds(place.sampled_ms);
  const double average = w.reach.sampled / static_cast<double>(place.samples - 1);
  const double threshold = average * 1.1;
  if (w.reach.to_start >= threshold) w.reach.to_start = average / 2;
  if (w.to_end >= threshold) w.to_end = average / 2;
  w.factor = factor(w.reach.to_start, w);
  return w;
}

double ColumnSums::factor(double to_start, const Window& w) const {
  const double sampled = w.reach.sampled;
  double out = sampled != 0 ? (sampled + to_start + w.to_end) / sampled : 1.0;
  if (per_second_) out /= range_seconds_;
  return out;
}

// Adds the rates from one row to another to the sums of a step.
void ColumnSums::add_window(const Columns& columns, std::size_t first_row, std::size_t last_row,
                            const Window& w, std::size_t step) {
  const double* const first = columns.values.data() + first_row * width_;
  const double* const last = columns.values.data() + last_row * width_;
  double* const out = rates_.data();
  bool clear = increases(first, last, width_, w.reach, out);
  if (!resets_.empty()) {
    const auto begin = std::ranges::upper_bound(resets_, first_row);
    for (auto r = begin; r != resets_.end() && *r <= last_row; ++r) {
      const double* const now = columns.values.data() + *r * width_;
      const double* const before = now - width_;
      for (std::size_t c = 0; c < width_; ++c) {
        if (now[c] < before[c]) out[c] += before[c];
      }
    }
    if (begin != resets_.end() && *begin <= last_row)
      clear = surely_above_zero(first, out, width_, w.reach);
  }
  if (clear) return sum_up(step, w.factor);
  // A counter is never negative, so extrapolation stops at the moment when it was zero.
  for (std::size_t c = 0; c < width_; ++c) {
    const double increase = out[c];
    const bool bounded = increase > 0 && first[c] >= 0;
    out[c] =
        increase *
        (bounded ? factor(std::min(w.reach.to_start, w.reach.sampled * (first[c] / increase)), w)
                 : w.factor);
  }
  sum_up(step, 1);
}

// Adds rates_ times factor to the sums of a step.
void ColumnSums::sum_up(std::size_t step, double factor) {
  seen_[step] = 1;
  double* const sums = sums_.data() + step * slots_;
  double* const compensations = compensations_.data() + step * slots_;
  if (slots_ == width_) return add_scaled(rates_.data(), width_, factor, sums, compensations);
  KahanSum total{sums[0], compensations[0]};
  for (const std::size_t c : columns_) total.add(rates_[c] * factor);
  sums[0] = total.sum;
  compensations[0] = total.compensation;
}

void ColumnSums::finish_group(const Group& group) {
  if (width_ == 0) return;
  width_ = 0;
  if (first_seen_ == SIZE_MAX || columns_.empty()) return;
  const auto add = [&](LabelsRef labels, std::size_t slot) {
    EvalSeries series{.labels = std::move(labels), .drop_name = true};
    std::size_t step = 0;
    for (std::int64_t t = frame_.start; t <= frame_.end; t += frame_.step, ++step) {
      const std::size_t cell = step * slots_ + slot;
      if (seen_[step] != 0) series.floats.push_back({t, sums_[cell] + compensations_[cell], 0});
    }
    results_.push_back({first_seen_, std::move(series)});
  };
  if (!source_.buckets() || !keep_le_) return add(group.labels, 0);
  for (const std::size_t c : columns_)
    add(std::make_shared<const Labels>(group.labels->with(kLe, le_[c])), c);
}

EvalMatrix ColumnSums::take_result() {
  // Groups are in the order of their first rate.
  std::ranges::stable_sort(results_, {}, &Result::first_seen);
  EvalMatrix out;
  out.reserve(results_.size());
  for (Result& one : results_) out.push_back(std::move(one.series));
  if (out.empty()) return out;
  const std::string_view function = call_.function->name;
  const auto name = std::ranges::find(range_.selector->matchers, kMetricName, &Matcher::name);
  note_non_counter(eval_.notes_, function, name->value, unwrap_parens(*call_.args[0]).range.start);
  return out;
}

} // namespace coalmine::promql
