// SPDX-License-Identifier: Apache-2.0
#include "promql/eval/histogram_math.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "promql/eval/histogram_bounds.h"
#include "promql/eval/range_functions.h"
#include "promql/syntax/go_text.h"

namespace coalmine::promql {
namespace {

using Buckets = NativeHistogram::Buckets;

double count_at(const Buckets& buckets, std::int64_t index) {
  const std::int64_t at = index - buckets.offset;
  return at >= 0 && at < static_cast<std::int64_t>(buckets.counts.size())
             ? buckets.counts[static_cast<std::size_t>(at)]
             : 0;
}

// Makes room so that [offset, offset + size) is part of the buckets.
void cover(Buckets& buckets, const Buckets& other) {
  if (other.counts.empty()) return;
  if (buckets.counts.empty()) buckets.offset = other.offset;
  const std::int64_t first = std::min<std::int64_t>(buckets.offset, other.offset);
  const std::int64_t last = std::max(
      static_cast<std::int64_t>(buckets.offset) + static_cast<std::int64_t>(buckets.counts.size()),
      static_cast<std::int64_t>(other.offset) + static_cast<std::int64_t>(other.counts.size()));
  if (first < buckets.offset) {
    buckets.counts.insert(buckets.counts.begin(), static_cast<std::size_t>(buckets.offset - first),
                          0.0);
    buckets.offset = static_cast<std::int32_t>(first);
  }
  buckets.counts.resize(static_cast<std::size_t>(last - first), 0.0);
}

void trim_ends(Buckets& buckets) {
  auto& counts = buckets.counts;
  const auto populated = [](double c) { return c != 0; };
  const auto first = std::ranges::find_if(counts, populated);
  if (first == counts.end()) {
    buckets = {};
    return;
  }
  buckets.offset += static_cast<std::int32_t>(first - counts.begin());
  counts.erase(counts.begin(), first);
  while (counts.back() == 0) counts.pop_back();
}

Buckets reduced(const Buckets& buckets, int by) {
  Buckets out;
  if (buckets.counts.empty()) return out;
  const auto target = [&](std::int64_t index) { return ((index - 1) >> by) + 1; };
  out.offset = static_cast<std::int32_t>(target(buckets.offset));
  for (std::size_t i = 0; i < buckets.counts.size(); ++i) {
    const auto at = static_cast<std::size_t>(target(buckets.offset + static_cast<std::int64_t>(i)) -
                                             out.offset);
    if (at >= out.counts.size()) out.counts.resize(at + 1, 0.0);
    out.counts[at] += buckets.counts[i];
  }
  return out;
}

void reduce_in_place(NativeHistogram& h, std::int32_t schema) {
  if (h.schema <= schema) return;
  const int by = h.schema - schema;
  h.positive = reduced(h.positive, by);
  h.negative = reduced(h.negative, by);
  h.schema = schema;
}

// Sums the buckets of one side that reach below the threshold. If the threshold lies inside a
// populated bucket, it is moved to that bucket's end.
double absorbed(const NativeHistogram& h, const Buckets& side, double& threshold) {
  double out = 0;
  for (std::size_t i = 0; i < side.counts.size(); ++i) {
    const std::int64_t index = side.offset + static_cast<std::int64_t>(i);
    if (exponential_bound(index - 1, h.schema) >= threshold) break;
    out += side.counts[i];
    const double upper = exponential_bound(index, h.schema);
    if (upper > threshold && side.counts[i] != 0) threshold = upper;
    if (upper > threshold) break;
  }
  return out;
}

// The zero count and threshold the histogram would have with at least this threshold.
struct ZeroBucket {
  double count = 0;
  double threshold = 0;
};
ZeroBucket widened_zero(const NativeHistogram& h, double threshold) {
  if (threshold <= h.zero_threshold) return {h.zero_count, h.zero_threshold};
  while (true) {
    double next = threshold;
    const double inside = absorbed(h, h.positive, next) + absorbed(h, h.negative, next);
    if (next == threshold) return {h.zero_count + inside, threshold};
    threshold = next; // the other side is affected too: count again
  }
}

void drop_below(Buckets& side, std::int32_t schema, double threshold) {
  for (std::size_t i = 0; i < side.counts.size(); ++i) {
    if (exponential_bound(side.offset + static_cast<std::int64_t>(i) - 1, schema) >= threshold)
      break;
    side.counts[i] = 0;
  }
  trim_ends(side);
}

void widen_zero(NativeHistogram& h, double threshold) {
  const ZeroBucket zero = widened_zero(h, threshold);
  h.zero_count = zero.count;
  h.zero_threshold = zero.threshold;
  drop_below(h.positive, h.schema, zero.threshold);
  drop_below(h.negative, h.schema, zero.threshold);
}

std::vector<double> common_bounds(const std::vector<double>& a, const std::vector<double>& b) {
  std::vector<double> out;
  std::ranges::set_intersection(a, b, std::back_inserter(out));
  return out;
}

void rebucket(NativeHistogram& h, const std::vector<double>& bounds) {
  std::vector<double> counts(bounds.size() + 1, 0.0);
  for (std::size_t i = 0; i < h.positive.counts.size(); ++i) {
    const auto index = static_cast<std::size_t>(h.positive.offset) + i;
    std::size_t target = bounds.size();
    if (index < h.custom_bounds.size()) {
      target = static_cast<std::size_t>(std::ranges::lower_bound(bounds, h.custom_bounds[index]) -
                                        bounds.begin());
    }
    counts[target] += h.positive.counts[i];
  }
  h.positive = {0, std::move(counts)};
  h.custom_bounds = bounds;
}

// Gives both (and the compensation of the first) one layout.
bool align(NativeHistogram& a, NativeHistogram& b, NativeHistogram* compensation,
           bool& reconciled) {
  if (uses_custom_buckets(a) != uses_custom_buckets(b)) return false;
  if (uses_custom_buckets(a)) {
    if (a.custom_bounds != b.custom_bounds) {
      const std::vector<double> bounds = common_bounds(a.custom_bounds, b.custom_bounds);
      rebucket(a, bounds);
      rebucket(b, bounds);
      if (compensation != nullptr) rebucket(*compensation, bounds);
      reconciled = true;
    }
  } else {
    while (a.zero_threshold != b.zero_threshold) {
      NativeHistogram& narrow = a.zero_threshold < b.zero_threshold ? a : b;
      widen_zero(narrow, std::max(a.zero_threshold, b.zero_threshold));
    }
    if (compensation != nullptr && compensation->zero_threshold != a.zero_threshold) {
      widen_zero(*compensation, a.zero_threshold);
      compensation->zero_threshold = a.zero_threshold;
    }
    const std::int32_t schema = std::min(a.schema, b.schema);
    reduce_in_place(a, schema);
    reduce_in_place(b, schema);
    if (compensation != nullptr) reduce_in_place(*compensation, schema);
  }
  cover(a.positive, b.positive);
  cover(a.negative, b.negative);
  return true;
}

// The hint of a sum; true when the two contradict each other.
bool merge_hint(NativeHistogram& a, Hint b) {
  if (a.hint == b || a.hint == Hint::gauge) return false;
  if (b == Hint::gauge) {
    a.hint = Hint::gauge;
    return false;
  }
  const bool conflict = a.hint != Hint::unknown && b != Hint::unknown;
  a.hint = Hint::unknown;
  return conflict;
}

// The first of the buckets that reach beyond the zero bucket; those below it are not added up.
std::size_t first_beyond_zero(const NativeHistogram& h, const Buckets& side) {
  if (uses_custom_buckets(h) || h.zero_threshold == 0) return 0;
  std::size_t i = 0;
  while (i < side.counts.size() && exponential_bound(side.offset + static_cast<std::int64_t>(i),
                                                     h.schema) <= h.zero_threshold)
    ++i;
  return i;
}

void add_scaled(Buckets& a, const Buckets& b, double sign, std::size_t first) {
  for (std::size_t i = first; i < b.counts.size(); ++i) {
    a.counts[static_cast<std::size_t>(b.offset - a.offset) + i] += sign * b.counts[i];
  }
}

bool combine(NativeHistogram& a, const NativeHistogram& other, double sign, bool& reconciled,
             bool* conflict) {
  NativeHistogram b = other;
  if (!align(a, b, nullptr, reconciled)) return false;
  if (merge_hint(a, b.hint) && conflict != nullptr) *conflict = true;
  a.zero_count += sign * b.zero_count;
  a.count += sign * b.count;
  a.sum += sign * b.sum;
  add_scaled(a.positive, b.positive, sign, first_beyond_zero(b, b.positive));
  add_scaled(a.negative, b.negative, sign, first_beyond_zero(b, b.negative));
  return true;
}

template <typename Change>
NativeHistogram changed(const NativeHistogram& h, double factor, Change change) {
  NativeHistogram out = h;
  out.zero_count = change(out.zero_count);
  out.count = change(out.count);
  out.sum = change(out.sum);
  for (double& count : out.positive.counts) count = change(count);
  for (double& count : out.negative.counts) count = change(count);
  if (factor < 0) out.hint = Hint::gauge;
  return out;
}

bool bits_equal(double a, double b) {
  return std::bit_cast<std::uint64_t>(a) == std::bit_cast<std::uint64_t>(b);
}

bool same_buckets(Buckets a, Buckets b) {
  trim_ends(a);
  trim_ends(b);
  return a.offset == b.offset && std::ranges::equal(a.counts, b.counts, bits_equal);
}

// True if any bucket of `previous` beyond the threshold holds less now.
bool any_fell(const Buckets& previous, const Buckets& current, std::int32_t schema,
              double threshold) {
  for (std::size_t i = 0; i < previous.counts.size(); ++i) {
    const std::int64_t index = previous.offset + static_cast<std::int64_t>(i);
    if (schema != kCustomSchema && exponential_bound(index, schema) <= threshold) continue;
    if (previous.counts[i] != 0 && count_at(current, index) < previous.counts[i]) return true;
  }
  return false;
}

} // namespace

double exponential_bound(std::int64_t index, std::int32_t schema) {
  if (schema < 0) {
    const std::int64_t exponent = index * (std::int64_t{1} << -schema);
    if (exponent == 1024)
      return std::numeric_limits<double>::max(); // the bucket after it holds infinities
    return std::ldexp(1.0, static_cast<int>(std::clamp<std::int64_t>(exponent, -2000, 2000)));
  }
  const std::int64_t per_octave = std::int64_t{1} << schema;
  const std::int64_t exponent = index >> schema;
  const std::int64_t within = index & (per_octave - 1);
  if (within == 0 && exponent == 1024) return std::numeric_limits<double>::max();
  const double fraction = std::exp2(static_cast<double>(within) / static_cast<double>(per_octave));
  return std::ldexp(fraction, static_cast<int>(std::clamp<std::int64_t>(exponent, -2000, 2000)));
}

bool is_sound(const NativeHistogram& h) {
  if (uses_custom_buckets(h)) {
    const auto end = static_cast<std::int64_t>(h.positive.offset) +
                     static_cast<std::int64_t>(h.positive.counts.size());
    return h.positive.offset >= 0 && end <= static_cast<std::int64_t>(h.custom_bounds.size()) + 1 &&
           h.negative.counts.empty();
  }
  if (h.schema < -4 || h.schema > 8) return false;
  const std::int64_t reach = std::int64_t{1100}
                             << std::max(h.schema, 0); // beyond 2^1024 and 2^-1074 there is nothing
  const auto fits = [&](const Buckets& b) {
    return b.counts.empty() || (b.offset >= -reach &&
                                b.offset + static_cast<std::int64_t>(b.counts.size()) <= reach + 1);
  };
  return fits(h.positive) && fits(h.negative);
}

NativeHistogram scaled(const NativeHistogram& h, double factor) {
  return changed(h, factor, [&](double v) { return v * factor; });
}

NativeHistogram divided(const NativeHistogram& h, double divisor) {
  NativeHistogram out = changed(h, divisor, [&](double v) { return v / divisor; });
  if (divisor == 0) {
    out.positive = {};
    out.negative = {};
  }
  return out;
}

NativeHistogram empty_like(const NativeHistogram& h) {
  NativeHistogram out;
  out.schema = h.schema;
  out.custom_bounds = h.custom_bounds;
  return out;
}

void compact(NativeHistogram& h) {
  trim_ends(h.positive);
  trim_ends(h.negative);
}

bool add(NativeHistogram& a, const NativeHistogram& b, bool& reconciled, bool* conflict) {
  return combine(a, b, 1, reconciled, conflict);
}
bool subtract(NativeHistogram& a, const NativeHistogram& b, bool& reconciled, bool* conflict) {
  return combine(a, b, -1, reconciled, conflict);
}

NativeHistogram reduced_to_schema(const NativeHistogram& h, std::int32_t schema) {
  NativeHistogram out = h;
  reduce_in_place(out, schema);
  if (out.schema != h.schema) out.hint = Hint::unknown;
  return out;
}

bool detect_reset(const NativeHistogram& previous, const NativeHistogram& current) {
  if (current.hint == Hint::reset) return true;
  if (current.hint == Hint::not_reset) return false;
  if (current.count < previous.count) return true;
  if (uses_custom_buckets(current) != uses_custom_buckets(previous)) return true;
  if (uses_custom_buckets(current)) {
    if (current.custom_bounds == previous.custom_bounds)
      return any_fell(previous.positive, current.positive, kCustomSchema, 0);
    NativeHistogram before = previous;
    NativeHistogram now = current;
    const std::vector<double> bounds = common_bounds(now.custom_bounds, before.custom_bounds);
    rebucket(before, bounds);
    rebucket(now, bounds);
    return any_fell(before.positive, now.positive, kCustomSchema, 0);
  }
  if (current.schema > previous.schema || current.zero_threshold < previous.zero_threshold)
    return true;
  const ZeroBucket zero = widened_zero(previous, current.zero_threshold);
  if (zero.threshold != current.zero_threshold || current.zero_count < zero.count) return true;
  NativeHistogram before = previous;
  reduce_in_place(before, current.schema);
  return any_fell(before.positive, current.positive, current.schema, current.zero_threshold) ||
         any_fell(before.negative, current.negative, current.schema, current.zero_threshold);
}

bool equal(const NativeHistogram& a, const NativeHistogram& b) {
  return a.schema == b.schema && bits_equal(a.count, b.count) && bits_equal(a.sum, b.sum) &&
         (!uses_custom_buckets(a) || a.custom_bounds == b.custom_bounds) &&
         a.zero_threshold == b.zero_threshold && bits_equal(a.zero_count, b.zero_count) &&
         same_buckets(a.negative, b.negative) && same_buckets(a.positive, b.positive);
}

std::vector<HistogramBucket> buckets_of(const NativeHistogram& h) {
  std::vector<HistogramBucket> out;
  if (uses_custom_buckets(h)) {
    const auto bound = [&](std::int64_t index) {
      if (index < 0) return -std::numeric_limits<double>::infinity();
      return index < static_cast<std::int64_t>(h.custom_bounds.size())
                 ? h.custom_bounds[static_cast<std::size_t>(index)]
                 : std::numeric_limits<double>::infinity();
    };
    for (std::size_t i = 0; i < h.positive.counts.size(); ++i) {
      const std::int64_t index = h.positive.offset + static_cast<std::int64_t>(i);
      out.push_back({bound(index - 1), bound(index), h.positive.counts[i], index == 0, true});
    }
    return out;
  }
  for (std::size_t i = h.negative.counts.size(); i-- > 0;) {
    const std::int64_t index = h.negative.offset + static_cast<std::int64_t>(i);
    // A bucket ends at the zero bucket.
    const double upper = std::min(-exponential_bound(index - 1, h.schema), -h.zero_threshold);
    out.push_back({-exponential_bound(index, h.schema), upper, h.negative.counts[i], true, false});
  }
  if (h.zero_count > 0)
    out.push_back({-h.zero_threshold, h.zero_threshold, h.zero_count, true, true});
  for (std::size_t i = 0; i < h.positive.counts.size(); ++i) {
    const std::int64_t index = h.positive.offset + static_cast<std::int64_t>(i);
    const double lower = std::max(exponential_bound(index - 1, h.schema), h.zero_threshold);
    out.push_back({lower, exponential_bound(index, h.schema), h.positive.counts[i], false, true});
  }
  return out;
}

std::string to_text(const NativeHistogram& h) {
  std::string out =
      fmt::format("{{count:{}, sum:{}", format_general(h.count), format_general(h.sum));
  for (const HistogramBucket& b : buckets_of(h)) {
    if (b.count == 0) continue;
    out += fmt::format(", {}{},{}{}:{}", b.lower_inclusive ? "[" : "(", format_general(b.lower),
                       format_general(b.upper), b.upper_inclusive ? "]" : ")",
                       format_general(b.count));
  }
  return out + "}";
}

namespace {

void kahan_add(double& sum, double& compensation, double value) {
  KahanSum both{sum, compensation};
  both.add(value);
  sum = both.sum;
  compensation = both.compensation;
}

void kahan_add(Buckets& sum, Buckets& compensation, const Buckets& value, std::size_t first) {
  cover(compensation, sum);
  for (std::size_t i = first; i < value.counts.size(); ++i) {
    const std::int64_t index = value.offset + static_cast<std::int64_t>(i);
    kahan_add(sum.counts[static_cast<std::size_t>(index - sum.offset)],
              compensation.counts[static_cast<std::size_t>(index - compensation.offset)],
              value.counts[i]);
  }
}

bool overflows(const NativeHistogram& h) {
  const auto inf = [](double v) { return std::isinf(v); };
  return inf(h.zero_count) || inf(h.count) || inf(h.sum) ||
         std::ranges::any_of(h.positive.counts, inf) || std::ranges::any_of(h.negative.counts, inf);
}

} // namespace

bool HistogramSum::accumulate(const NativeHistogram& h) {
  NativeHistogram b = h;
  if (!align(sum_, b, &compensation_, reconciled_)) return false;
  merge_hint(sum_, b.hint);
  kahan_add(sum_.zero_count, compensation_.zero_count, b.zero_count);
  kahan_add(sum_.count, compensation_.count, b.count);
  kahan_add(sum_.sum, compensation_.sum, b.sum);
  kahan_add(sum_.positive, compensation_.positive, b.positive, first_beyond_zero(b, b.positive));
  kahan_add(sum_.negative, compensation_.negative, b.negative, first_beyond_zero(b, b.negative));
  return true;
}

bool HistogramSum::add(const NativeHistogram& h) {
  reset_seen_ = reset_seen_ || h.hint == Hint::reset;
  not_reset_seen_ = not_reset_seen_ || h.hint == Hint::not_reset;
  count_ += 1;
  if (count_ == 1) {
    sum_ = h;
    compensation_ = empty_like(h);
    compensation_.zero_threshold = h.zero_threshold;
    return true;
  }
  if (!mean_) return accumulate(h);
  if (!incremental_) {
    NativeHistogram sum = sum_;
    NativeHistogram compensation = compensation_;
    if (!accumulate(h)) return false;
    if (!overflows(sum_)) return true;
    incremental_ = true;
    sum_ = divided(sum, count_ - 1);
    compensation_ = divided(compensation, count_ - 1);
  }
  const double kept = (count_ - 1) / count_;
  sum_ = scaled(sum_, kept);
  compensation_ = scaled(compensation_, kept);
  return accumulate(divided(h, count_));
}

NativeHistogram HistogramSum::result() const {
  const bool divide = mean_ && !incremental_;
  NativeHistogram out = divide ? divided(sum_, count_) : sum_;
  NativeHistogram rest = divide ? divided(compensation_, count_) : compensation_;
  rest.hint = out.hint;
  bool reconciled = false;
  if (!std::isfinite(out.sum)) rest.sum = 0; // a compensation of an infinite sum is noise
  promql::add(out, rest, reconciled);
  compact(out);
  return out;
}

} // namespace coalmine::promql
