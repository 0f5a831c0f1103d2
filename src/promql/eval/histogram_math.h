// Arithmetic of native histograms: exponential schemas -4 … 8, and custom bounds (schema -53).
// A bucket with index i of an exponential schema s covers (2^((i-1)/2^s), 2^(i/2^s)]; with custom
// bounds, (bounds[i-1], bounds[i]].
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "promql/queryable.h"

namespace coalmine::promql {

using Hint = NativeHistogram::ResetHint;

inline constexpr std::int32_t kCustomSchema = -53;

inline bool uses_custom_buckets(const NativeHistogram& h) { return h.schema == kCustomSchema; }
// True if the schema is known and no bucket lies beyond the range of a float64. This bounds the
// memory of every operation here.
bool is_sound(const NativeHistogram& h);

NativeHistogram scaled(const NativeHistogram& h, double factor);
NativeHistogram divided(const NativeHistogram& h, double divisor);
// A histogram without observations and with the same schema and bounds.
NativeHistogram empty_like(const NativeHistogram& h);
// Drops empty buckets at both ends.
void compact(NativeHistogram& h);

// a += b, a -= b. Schemas, zero buckets and custom bounds are brought together first; `reconciled`
// is set when custom bounds had to be, `conflict` when one says reset and the other not_reset.
// False, and a unchanged, when one is exponential and the other custom.
bool add(NativeHistogram& a, const NativeHistogram& b, bool& reconciled, bool* conflict = nullptr);
bool subtract(NativeHistogram& a, const NativeHistogram& b, bool& reconciled,
              bool* conflict = nullptr);

// Requires schema <= h.schema, both exponential.
NativeHistogram reduced_to_schema(const NativeHistogram& h, std::int32_t schema);

// True if the histogram, as a counter, was reset after `previous`.
bool detect_reset(const NativeHistogram& previous, const NativeHistogram& current);

// Compares bit for bit, without hints.
bool equal(const NativeHistogram& a, const NativeHistogram& b);

// Keeps the observations below or above the value, interpolating inside a bucket.
enum class Keep { below, above };
NativeHistogram trimmed(const NativeHistogram& h, double at, Keep keep);

struct HistogramBucket {
  double lower = 0;
  double upper = 0;
  double count = 0;
  bool lower_inclusive = false;
  bool upper_inclusive = false;
  // The share of the bucket's width at or below v. v must lie inside its finite bounds.
  double fraction_below(double v, bool linear) const;
};
// Ascending, the zero bucket (when populated) in its place.
std::vector<HistogramBucket> buckets_of(const NativeHistogram& h);

// {count:…, sum:…, (lower,upper]:n …}: the label value of count_values.
std::string to_text(const NativeHistogram& h);

// The note of a quantile or fraction about NaN observations.
enum class NanNote { none, result_nan, skewed, excluded };
double histogram_quantile(double q, const NativeHistogram& h, NanNote& note);
double histogram_fraction(double lower, double upper, const NativeHistogram& h, NanNote& note);

// The sum or mean of many histograms, compensated so that the order hardly matters.
class HistogramSum {
 public:
  enum class Result { sum, mean };
  explicit HistogramSum(Result kind) : mean_(kind == Result::mean) {}
  // Returns false when exponential and custom buckets are mixed. The sum is then void.
  bool add(const NativeHistogram& h);
  NativeHistogram result() const;
  bool empty() const { return count_ == 0; }
  bool reset_conflict() const { return reset_seen_ && not_reset_seen_; }
  bool reconciled() const { return reconciled_; }

 private:
  bool accumulate(const NativeHistogram& h);
  bool mean_;
  bool incremental_ = false; // the plain sum would overflow: sum_ is a running mean
  double count_ = 0;
  NativeHistogram sum_;
  NativeHistogram compensation_;
  bool reset_seen_ = false;
  bool not_reset_seen_ = false;
  bool reconciled_ = false;
};

} // namespace coalmine::promql
