// SPDX-License-Identifier: Apache-2.0
#include "store/ingest/bucket_parts.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <utility>
#include <vector>

namespace coalmine::store {
namespace {

// A bucket that is this much behind the others is not sent any more.
constexpr std::int64_t kGoneMs = 5 * 60 * 1000;

} // namespace

void BucketParts::add_bucket(double le, double grown, std::int64_t time_ms) {
  auto& part = buckets_[le];
  part.grown += grown;
  part.time_ms = std::max(part.time_ms, time_ms);
}

void BucketParts::add_sum(double grown, std::int64_t time_ms) {
  if (!sum_) sum_.emplace();
  sum_->grown += grown;
  sum_->time_ms = std::max(sum_->time_ms, time_ms);
}

std::optional<ClassicHistogram> BucketParts::take() {
  if (buckets_.empty() || !std::isinf(buckets_.rbegin()->first)) return std::nullopt;
  const std::int64_t time_ms = buckets_.rbegin()->second.time_ms;
  std::erase_if(buckets_,
                [&](const auto& entry) { return entry.second.time_ms < time_ms - kGoneMs; });
  const auto here = [&](const auto& entry) { return entry.second.time_ms == time_ms; };
  if (!std::ranges::all_of(buckets_, here) || (sum_ && sum_->time_ms != time_ms) ||
      !(buckets_.rbegin()->second.grown > 0)) {
    return std::nullopt;
  }
  ClassicHistogram out;
  std::vector<double> bounds;
  double below = 0;
  for (const auto& [le, part] : buckets_) {
    const double inside = std::round(part.grown - below);
    if (inside < 0) { // a bucket began again without the others
      start_again();
      return std::nullopt;
    }
    below = part.grown;
    out.counts.push_back(static_cast<std::uint64_t>(inside));
    out.count += out.counts.back();
    if (!std::isinf(le)) bounds.push_back(le);
  }
  out.bounds = std::make_shared<const std::vector<double>>(std::move(bounds));
  out.sum = sum_ ? sum_->grown : std::numeric_limits<double>::quiet_NaN();
  start_again();
  return out;
}

void BucketParts::start_again() {
  for (auto& [le, part] : buckets_) part.grown = 0;
  if (sum_) sum_->grown = 0;
}

} // namespace coalmine::store
