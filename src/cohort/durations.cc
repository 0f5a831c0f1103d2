// SPDX-License-Identifier: Apache-2.0
#include "cohort/durations.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <iterator>
#include <numeric>
#include <utility>

#include "telemetry/durations.h"

namespace coalmine::cohort {
namespace {

constexpr double kMsPerSecond = 1000;
// The octaves in which boundaries lie as densely as the scale has them.
constexpr int kFineFrom = -9;
constexpr int kFineTo = 2;
// The scale of boundaries beyond, and the coarsest that is compared with bounds inside its buckets.
constexpr int kRoughScale = 3;
// Rounding must not tell a bound from itself.
constexpr double kSameBound = 1e-9;

BucketBounds make_judged_bounds(int scale) {
  std::vector<double> out;
  const std::int64_t octave = std::int64_t{1} << kDurationScale;
  const std::int64_t own = std::int64_t{1} << (kDurationScale - scale);
  const std::int64_t rough = std::int64_t{1} << (kDurationScale - kRoughScale);
  for (std::int64_t i = kShortestOctave * octave; i <= kLongestOctave * octave; ++i) {
    const bool fine = i >= kFineFrom * octave && i <= kFineTo * octave;
    if (i % own != 0 || (!fine && i % rough != 0)) continue;
    out.push_back(upper_bound_of(i - 1, kDurationScale) * kMsPerSecond);
  }
  return std::make_shared<const std::vector<double>>(std::move(out));
}

// 0.035 s is 35 ms, not 35.00000000000001.
bool is_below(double a, double b) {
  return b - a > kSameBound * std::max(std::abs(a), std::abs(b));
}

// Whether a bound in milliseconds is a bound of exponential durations of this scale.
bool is_bound(double bound_ms, int scale) {
  const auto index = bucket_index(bound_ms / kMsPerSecond * (1 - kSameBound), scale);
  const double upper_ms = upper_bound_of(index, scale) * kMsPerSecond;
  return std::abs(upper_ms - bound_ms) <= bound_ms * kSameBound;
}

// Durations beyond are not told apart.
bool in_range(double bound_ms) {
  return bound_ms >= std::ldexp(kMsPerSecond, kShortestOctave) &&
         bound_ms <= std::ldexp(kMsPerSecond, kLongestOctave);
}

// 5, 10, 25 … 5000, 7500, 10000 ms
std::string list(const std::vector<double>& bounds) {
  constexpr std::size_t kMostNamed = 6;
  std::string out;
  for (std::size_t i = 0; i < bounds.size(); ++i) {
    if (bounds.size() > kMostNamed && i == kMostNamed / 2) {
      out += " …";
      i = bounds.size() - kMostNamed / 2;
      out += fmt::format(" {:g}", bounds[i]);
      continue;
    }
    out += fmt::format("{}{:g}", i == 0 ? "" : ", ", bounds[i]);
  }
  return out + " ms";
}

} // namespace

bool same_bounds(const BucketBounds& a, const BucketBounds& b) {
  return a == b || (a && b && *a == *b);
}

BucketBounds common_bounds(const BucketBounds& a, const BucketBounds& b) {
  if (a == nullptr || b == nullptr) return nullptr;
  if (same_bounds(a, b)) return a;
  std::vector<double> both;
  std::ranges::set_intersection(*a, *b, std::back_inserter(both), is_below);
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
    while (target < to->size() && (i == from->size() || is_below((*to)[target], (*from)[i])))
      ++target;
    out[target] += counts[i];
  }
}

const BucketBounds& judged_bounds_ms(int scale) {
  constexpr int kCoarsest = -4; // coarser buckets tell nothing more apart than 1 s does
  static const auto all = [] {
    std::array<BucketBounds, kDurationScale - kCoarsest + 1> out;
    for (int s = kCoarsest; s <= kDurationScale; ++s)
      out[static_cast<std::size_t>(s - kCoarsest)] = make_judged_bounds(s);
    return out;
  }();
  return all[static_cast<std::size_t>(std::clamp(scale, kCoarsest, kDurationScale) - kCoarsest)];
}

void DurationCounts::add(const BucketBounds& bounds, std::span<const double> counts,
                         double sum_ms) {
  sum_ms_ += sum_ms;
  const auto same = [&](const Explicit& one) { return same_bounds(one.bounds, bounds); };
  auto at = std::ranges::find_if(explicit_, same);
  if (at == explicit_.end()) {
    explicit_.push_back({bounds, {counts.begin(), counts.end()}});
    return;
  }
  for (std::size_t i = 0; i < counts.size(); ++i) at->counts[i] += counts[i];
}

void DurationCounts::add(const ExponentialShape& shape, std::span<const double> counts,
                         double sum_ms) {
  sum_ms_ += sum_ms;
  if (!exponential_) {
    exponential_ = Exponential{shape, {counts.begin(), counts.end()}};
    return;
  }
  if (exponential_->shape.scale > shape.scale) {
    // Every later part is added at the coarser scale.
    const auto finer = std::exchange(
        *exponential_,
        {{shape.scale, exponential_->shape.offset >> (exponential_->shape.scale - shape.scale)},
         {0.0}});
    add(finer.shape, finer.counts, 0);
  }
  auto& total = *exponential_;
  const int coarser = shape.scale - total.shape.scale;
  total.counts[0] += counts[0];
  if (counts.size() < 2) return;
  if (total.counts.size() < 2) total.shape.offset = shape.offset >> coarser;
  const auto first = shape.offset >> coarser;
  if (first < total.shape.offset) {
    total.counts.insert(total.counts.begin() + 1,
                        static_cast<std::size_t>(total.shape.offset - first), 0.0);
    total.shape.offset = first;
  }
  for (std::size_t i = 1; i < counts.size(); ++i) {
    const auto index = (shape.offset + static_cast<std::int32_t>(i) - 1) >> coarser;
    const auto at = static_cast<std::size_t>(index - total.shape.offset) + 1;
    if (at >= total.counts.size()) total.counts.resize(at + 1);
    total.counts[at] += counts[i];
  }
}

void DurationCounts::add(const DurationCounts& other) {
  for (const auto& one : other.explicit_) add(one.bounds, one.counts, 0);
  if (other.exponential_) add(other.exponential_->shape, other.exponential_->counts, 0);
  sum_ms_ += other.sum_ms_;
}

// Null: there are none.
BucketBounds DurationCounts::shared_bounds(std::span<const DurationCounts* const> all) {
  bool any_explicit = false;
  BucketBounds common;
  std::optional<int> scale;
  for (const auto* one : all) {
    for (const auto& part : one->explicit_) {
      common = any_explicit ? common_bounds(common, part.bounds) : part.bounds;
      any_explicit = true;
    }
    if (one->exponential_) {
      const int own = one->exponential_->shape.scale;
      scale = scale ? std::min(*scale, own) : own;
    }
  }
  if (!scale) return common;
  if (!any_explicit) return judged_bounds_ms(*scale);
  if (common == nullptr) return nullptr;
  std::vector<double> kept;
  for (const double bound : *common) {
    if (in_range(bound) && (*scale >= kRoughScale || is_bound(bound, *scale)))
      kept.push_back(bound);
  }
  if (kept.empty()) return nullptr;
  return std::make_shared<const std::vector<double>>(std::move(kept));
}

void DurationCounts::put(const BucketBounds& bounds, Across across, TrackCounts& out) const {
  out.bounds_ms = bounds;
  out.bucket_counts.clear();
  if (bounds == nullptr || empty()) return;
  auto& counts = out.bucket_counts;
  counts.assign(bounds->size() + 1, 0.0);
  for (const auto& part : explicit_) add_rebinned(part.bounds, part.counts, bounds, counts);
  if (exponential_) {
    const auto& [shape, from] = *exponential_;
    counts[0] += from[0];
    std::size_t at = 0;
    for (std::size_t i = 1; i < from.size(); ++i) {
      // The edge that decides: the upper one, or the lower one of what is taken as faster. Where no
      // boundary lies inside the bucket, both give the same place.
      const auto index = std::int64_t{shape.offset} + static_cast<std::int64_t>(i) - 1;
      const bool lower = across == Across::as_faster;
      const double edge = upper_bound_of(lower ? index - 1 : index, shape.scale) * kMsPerSecond;
      const double passed = edge * (lower ? 1 + kSameBound : 1 - kSameBound);
      while (at < bounds->size() && (*bounds)[at] < passed) ++at;
      counts[at] += from[i];
    }
  }
  out.timed = std::accumulate(counts.begin(), counts.end(), 0.0);
  out.sum_ms = sum_ms_;
}

// "the bounds 5, 10 ms"; several kinds after one another.
std::string DurationCounts::kinds() const {
  std::string out;
  for (const auto& part : explicit_)
    out += fmt::format("{}the bounds {}", out.empty() ? "" : " and ", list(*part.bounds));
  if (exponential_) {
    out += fmt::format("{}exponential buckets of scale {}", out.empty() ? "" : " and ",
                       exponential_->shape.scale);
  }
  return out;
}

void put_track(const DurationCounts& durations, TrackCounts& out) {
  const std::array<const DurationCounts*, 1> all = {&durations};
  const auto bounds = DurationCounts::shared_bounds(all);
  durations.put(bounds, DurationCounts::Across::as_slower, out);
  if (bounds == nullptr && !durations.empty()) {
    out.bounds_note = fmt::format(
        "its instances have histograms with {}: no boundary is in all of them, so how long its "
        "requests took is not known; give them the same bounds",
        durations.kinds());
  }
}

// How wide the buckets are in which a duration may have been decided in the canary's favour, as a
// part of the duration; 0: no bound lies inside a bucket.
double DurationCounts::width_across(const BucketBounds& bounds) const {
  if (!exponential_) return 0;
  const int scale = exponential_->shape.scale;
  const auto exact = [&](double bound) { return is_bound(bound, scale); };
  return std::ranges::all_of(*bounds, exact) ? 0 : std::exp2(std::ldexp(1.0, -scale)) - 1;
}

void put_row(const DurationCounts& canary, const DurationCounts& stable, RouteCounts& out) {
  const std::array<const DurationCounts*, 2> all = {&canary, &stable};
  const auto bounds = DurationCounts::shared_bounds(all);
  canary.put(bounds, DurationCounts::Across::as_faster, out.canary);
  stable.put(bounds, DurationCounts::Across::as_slower, out.stable);
  std::string note;
  const auto what = [&] {
    if (canary.empty()) return fmt::format("stable has histograms with {}", stable.kinds());
    if (stable.empty()) return fmt::format("the canary has histograms with {}", canary.kinds());
    return fmt::format("stable has histograms with {}, the canary with {}", stable.kinds(),
                       canary.kinds());
  };
  if (bounds == nullptr && !(canary.empty() && stable.empty())) {
    note = what() +
           ": no boundary is in all of them, so latency cannot be compared; give them the "
           "same bounds";
  } else if (bounds != nullptr) {
    const double width = std::max(canary.width_across(bounds), stable.width_across(bounds));
    if (width > 0) {
      note =
          fmt::format("{}: a duration within {:.1f}% of a bound is counted in the canary's favour",
                      what(), width * 100);
    }
  }
  out.canary.bounds_note = out.stable.bounds_note = note;
}

std::vector<double> part_of_row(const DurationCounts& part, const DurationCounts& whole,
                                const BucketBounds& bounds, Track track) {
  using Across = DurationCounts::Across;
  const auto across = track == Track::canary ? Across::as_faster : Across::as_slower;
  TrackCounts out;
  const bool is_finer = part.exponential_ && whole.exponential_ &&
                        part.exponential_->shape.scale > whole.exponential_->shape.scale;
  if (is_finer) {
    // A bucket that lies across a bound is the whole's, which is wider.
    DurationCounts as_wide;
    as_wide.add(ExponentialShape{whole.exponential_->shape.scale, 0}, std::array{0.0}, 0);
    as_wide.add(part);
    as_wide.put(bounds, across, out);
  } else {
    part.put(bounds, across, out);
  }
  return std::move(out.bucket_counts);
}

} // namespace coalmine::cohort
