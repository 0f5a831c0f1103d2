// SPDX-License-Identifier: Apache-2.0
#include "cohort/count_line.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace coalmine::cohort {
namespace {

// The buckets of an exponential histogram in seconds as those of a piece.
void set_buckets(GrowthPiece& piece, const ExponentialHistogram& from) {
  piece.exponential = ExponentialShape{from.scale, from.positive.offset};
  piece.counts.reserve(from.positive.counts.size() + 1);
  piece.counts.push_back(static_cast<double>(from.zero_count));
  piece.counts.insert(piece.counts.end(), from.positive.counts.begin(), from.positive.counts.end());
  piece.sum = from.sum * 1000;
}

} // namespace

GrowthPiece GrowthPiece::split(std::int64_t at_ms, double part) {
  GrowthPiece out;
  out.from_ms = from_ms;
  out.to_ms = at_ms;
  out.amount = amount * part;
  out.bounds = bounds;
  out.exponential = exponential;
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

Growth CountLine::add(const FloatSample& sample, const GrowthContext& context) {
  if (!std::isfinite(sample.value) || sample.value < 0) return {};
  return step({sample.time_ms, sample.start_ms, sample.value, std::monostate()}, context);
}

Growth CountLine::add(const ClassicSample& sample, const GrowthContext& context) {
  const auto& h = sample.value;
  // Count and sum alone have no distribution.
  const bool whole =
      h.bounds != nullptr && !h.bounds->empty() && h.counts.size() == h.bounds->size() + 1;
  if (sample.stale || !whole) return {};
  return step({sample.time_ms, sample.start_ms, static_cast<double>(h.count), h}, context);
}

Growth CountLine::add(const ExponentialSample& sample, const GrowthContext& context) {
  if (sample.stale) return {};
  return step(
      {sample.time_ms, sample.start_ms, static_cast<double>(sample.value.count), sample.value},
      context);
}

GrowthPiece CountLine::all_of(const Newest& now) {
  GrowthPiece out;
  out.amount = now.value;
  if (const auto* classic = std::get_if<ClassicHistogram>(&now.histogram)) {
    out.bounds = classic->bounds;
    out.counts.assign(classic->counts.begin(), classic->counts.end());
    out.sum = classic->sum;
  } else if (const auto* exponential = std::get_if<ExponentialHistogram>(&now.histogram)) {
    set_buckets(out, *exponential);
  }
  return out;
}

std::optional<GrowthPiece> CountLine::growth_of(const Newest& before, const Newest& now) {
  if (now.value < before.value) return std::nullopt;
  if (const auto* exponential = std::get_if<ExponentialHistogram>(&now.histogram)) {
    const auto* base = std::get_if<ExponentialHistogram>(&before.histogram);
    const auto grown = base != nullptr ? increase(*base, *exponential) : std::nullopt;
    if (!grown) return std::nullopt;
    GrowthPiece out;
    out.amount = now.value - before.value;
    set_buckets(out, *grown);
    return out;
  }
  auto out = all_of(now);
  out.amount -= before.value;
  const auto* classic = std::get_if<ClassicHistogram>(&now.histogram);
  if (classic == nullptr) return out;
  // Histograms with different bounds cannot be subtracted.
  const auto* base = std::get_if<ClassicHistogram>(&before.histogram);
  if (base == nullptr || !same_bounds(base->bounds, classic->bounds) ||
      base->counts.size() != classic->counts.size())
    return std::nullopt;
  for (std::size_t i = 0; i < classic->counts.size(); ++i) {
    if (classic->counts[i] < base->counts[i]) return std::nullopt;
    out.counts[i] -= static_cast<double>(base->counts[i]);
  }
  out.sum -= base->sum;
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
  } else {
    const bool another = newest_->start_ms != 0 && now.start_ms > newest_->start_ms;
    if (!another) out.piece = growth_of(*newest_, now);
    if (out.piece) {
      out.piece->from_ms = std::max(newest_->time_ms, context.exported_before.value_or(INT64_MIN));
    } else {
      // Another process, or a count that began again.
      out.restarted_ms = std::max(newest_->time_ms, now.start_ms < now.time_ms ? now.start_ms : 0);
      out.piece = all_of(now);
      out.piece->from_ms = std::max(*out.restarted_ms, context.exported_before.value_or(INT64_MIN));
    }
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
