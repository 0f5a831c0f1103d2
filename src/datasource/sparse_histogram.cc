// SPDX-License-Identifier: Apache-2.0
#include "datasource/sparse_histogram.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "promql/eval/histogram_math.h"

namespace coalmine::datasource {
namespace {

constexpr int kPerDoubling = 16;
// From a microsecond to some two hours, if the unit is a second. Below and above are one bucket
// each.
constexpr int kFirst = -20 * kPerDoubling;
constexpr int kLast = 13 * kPerDoubling;
// Upper bounds as text have four digits in VictoriaMetrics: one that is equal must not be pushed
// into the next bucket.
constexpr double kRounding = 1e-3;

// The bounds of one unit, shared by every histogram of that unit.
BucketBounds bounds_of(double to_ms) {
  const auto make = [](double factor, int first, int last) {
    std::vector<double> out;
    for (int i = first; i <= last; ++i)
      out.push_back(std::exp2(static_cast<double>(i) / kPerDoubling) * factor);
    return std::make_shared<const std::vector<double>>(std::move(out));
  };
  static const BucketBounds seconds = make(1000, kFirst, kLast);
  // The same range, ten doublings higher.
  static const BucketBounds milliseconds =
      make(1, kFirst + 10 * kPerDoubling, kLast + 10 * kPerDoubling);
  return to_ms == 1 ? milliseconds : seconds;
}

std::optional<double> number(std::string_view text) {
  if (text == "+Inf" || text == "Inf") return std::numeric_limits<double>::infinity();
  double out = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  if (error != std::errc() || end != text.data() + text.size() || std::isnan(out))
    return std::nullopt;
  return out;
}

// now - before by bucket; nullopt when a bucket fell.
std::optional<std::map<double, double>> growth(const SparseHistogram& before,
                                               const SparseHistogram& now) {
  auto out = now.buckets;
  for (const auto& [upper, count] : before.buckets) {
    const auto it = out.find(upper);
    if (it == out.end() || it->second < count) return std::nullopt;
    it->second -= count;
  }
  return out;
}

} // namespace

SparseHistogram sparse_of(const promql::NativeHistogram& histogram) {
  SparseHistogram out;
  for (const auto& bucket : promql::buckets_of(histogram)) {
    if (!(bucket.count > 0)) continue;
    out.buckets[bucket.upper] += bucket.count;
    out.count += bucket.count;
  }
  out.sum = histogram.sum;
  return out;
}

std::optional<double> upper_of_vmrange(std::string_view range) {
  const auto dots = range.find("...");
  if (dots == std::string_view::npos || !number(range.substr(0, dots))) return std::nullopt;
  return number(range.substr(dots + 3));
}

void SparseTotal::take(double upper, double count) {
  const auto& bounds = *bounds_of(to_ms_);
  const auto at = std::ranges::lower_bound(bounds, upper * to_ms_ * (1 - kRounding));
  total_[static_cast<std::size_t>(at - bounds.begin())] += count;
}

std::optional<ClassicSample> SparseTotal::add(std::int64_t time_ms, std::int64_t start_ms,
                                              const SparseHistogram& now) {
  if (time_ms <= last_ms_) return std::nullopt;
  last_ms_ = time_ms;
  if (now.count < before_.count) {
    total_.clear();
    sum_ms_ = 0;
    before_ = {};
  }
  if (const auto grown = growth(before_, now)) {
    for (const auto& [upper, count] : *grown) take(upper, count);
  } else {
    // Other buckets than before. What was added is spread as all that is there now.
    const double share = now.count > 0 ? (now.count - before_.count) / now.count : 0;
    for (const auto& [upper, count] : now.buckets) take(upper, count * share);
  }
  sum_ms_ += (now.sum - before_.sum) * to_ms_;
  before_ = now;

  ClassicSample out{time_ms, start_ms, false, {}};
  out.value.bounds = bounds_of(to_ms_);
  out.value.counts.assign(out.value.bounds->size() + 1, 0);
  for (const auto& [at, count] : total_) {
    out.value.counts[at] = static_cast<std::uint64_t>(std::llround(count));
    out.value.count += out.value.counts[at];
  }
  out.value.sum = sum_ms_;
  return out;
}

} // namespace coalmine::datasource
