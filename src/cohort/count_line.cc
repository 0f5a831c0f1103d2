// SPDX-License-Identifier: Apache-2.0
#include "cohort/count_line.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace coalmine::cohort {

GrowthPiece GrowthPiece::split(std::int64_t at_ms) {
  GrowthPiece out;
  const double part = static_cast<double>(at_ms - from_ms) / static_cast<double>(to_ms - from_ms);
  out.from_ms = from_ms;
  out.to_ms = at_ms;
  out.amount = amount * part;
  out.bounds = bounds;
  out.counts.reserve(counts.size());
  for (auto& count : counts) {
    out.counts.push_back(count * part);
    count -= out.counts.back();
  }
  out.sum = sum * part;
  from_ms = at_ms;
  amount -= out.amount;
  sum -= out.sum;
  return out;
}

bool same_bounds(const BucketBounds& a, const BucketBounds& b) {
  return a == b || (a && b && *a == *b);
}

BucketBounds common_bounds(const BucketBounds& a, const BucketBounds& b) {
  if (a == nullptr || b == nullptr) return nullptr;
  if (same_bounds(a, b)) return a;
  std::vector<double> both;
  std::ranges::set_intersection(*a, *b, std::back_inserter(both));
  if (both.empty()) return nullptr;
  return std::make_shared<const std::vector<double>>(std::move(both));
}

void add_rebinned(const BucketBounds& from, const std::vector<double>& counts,
                  const BucketBounds& to, std::vector<double>& out) {
  out.resize(to->size() + 1, 0.0);
  if (from == to) {
    for (std::size_t i = 0; i < counts.size(); ++i) out[i] += counts[i];
    return;
  }
  std::size_t target = 0;
  for (std::size_t i = 0; i < counts.size(); ++i) {
    while (target < to->size() && (i == from->size() || (*to)[target] < (*from)[i])) ++target;
    out[target] += counts[i];
  }
}

Growth CountLine::add(const FloatSample& sample, const GrowthContext& context) {
  if (!std::isfinite(sample.value) || sample.value < 0) return {};
  return step({sample.time_ms, sample.start_ms, sample.value, {}}, context);
}

Growth CountLine::add(const ClassicSample& sample, const GrowthContext& context) {
  const auto& h = sample.value;
  // Count and sum alone have no distribution.
  const bool whole =
      h.bounds != nullptr && !h.bounds->empty() && h.counts.size() == h.bounds->size() + 1;
  if (sample.stale || !whole) return {};
  return step({sample.time_ms, sample.start_ms, static_cast<double>(h.count), h}, context);
}

bool CountLine::fell(const Newest& before, const Newest& now) {
  if (now.value < before.value) return true;
  const auto& a = before.histogram;
  const auto& b = now.histogram;
  // Histograms with different bounds cannot be subtracted.
  if (!same_bounds(a.bounds, b.bounds) || a.counts.size() != b.counts.size()) return true;
  for (std::size_t i = 0; i < a.counts.size(); ++i) {
    if (b.counts[i] < a.counts[i]) return true;
  }
  return false;
}

GrowthPiece CountLine::all_of(const Newest& now) {
  GrowthPiece out;
  out.amount = now.value;
  out.bounds = now.histogram.bounds;
  out.counts.assign(now.histogram.counts.begin(), now.histogram.counts.end());
  out.sum = now.histogram.sum;
  return out;
}

GrowthPiece CountLine::growth_of(const Newest& before, const Newest& now) {
  auto out = all_of(now);
  out.amount -= before.value;
  for (std::size_t i = 0; i < out.counts.size(); ++i)
    out.counts[i] -= static_cast<double>(before.histogram.counts[i]);
  out.sum -= before.histogram.sum;
  return out;
}

// The time since which a first value grew. None: its past is unknown, and counting begins at it.
std::optional<std::int64_t> CountLine::first_from(const Newest& first,
                                                  const GrowthContext& context) {
  if (first.time_ms <= context.origin_ms) return std::nullopt;
  const bool start_known = first.start_ms != 0 && first.start_ms < first.time_ms;
  if (start_known && first.start_ms >= context.origin_ms - context.new_process_ms) {
    return std::max(first.start_ms, context.exported_before.value_or(INT64_MIN));
  }
  // The instance exported shortly before without this series. So the whole value was counted since
  // then (for example the first error of a route).
  if (context.exported_before) return context.exported_before;
  if (!start_known && context.unseen_begin_at_zero)
    return std::max(context.origin_ms, first.time_ms - context.interval_ms);
  return std::nullopt;
}

Growth CountLine::step(Newest now, const GrowthContext& context) {
  if (newest_ && now.time_ms < newest_->time_ms) return {};
  Growth out;
  if (!newest_) {
    if (const auto from = first_from(now, context)) {
      out.piece = all_of(now);
      out.piece->from_ms = *from;
    }
  } else if ((newest_->start_ms != 0 && now.start_ms > newest_->start_ms) || fell(*newest_, now)) {
    // Another process, or a count that began again.
    out.restarted_ms = std::max(newest_->time_ms, now.start_ms < now.time_ms ? now.start_ms : 0);
    out.piece = all_of(now);
    out.piece->from_ms = std::max(*out.restarted_ms, context.exported_before.value_or(INT64_MIN));
  } else {
    out.piece = growth_of(*newest_, now);
    out.piece->from_ms = std::max(newest_->time_ms, context.exported_before.value_or(INT64_MIN));
  }
  if (out.piece) {
    out.piece->to_ms = now.time_ms;
    out.piece->from_ms = std::min(out.piece->from_ms, now.time_ms - 1);
    const bool grew = out.piece->amount > 0;
    if (!grew) out.piece.reset();
  }
  newest_ = std::move(now);
  return out;
}

void CountLine::shift(std::int64_t by_ms) {
  if (!newest_) return;
  newest_->time_ms += by_ms;
  if (newest_->start_ms != 0) newest_->start_ms += by_ms;
}

} // namespace coalmine::cohort
