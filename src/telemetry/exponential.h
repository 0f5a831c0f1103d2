// Arithmetic on exponential histograms. Every bound of a coarser scale is a bound of every finer
// one, so histograms of different scales are added and subtracted exactly, at the coarser scale.
// Pure; any thread. Values are in the unit of the histogram. No errors.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>

#include "telemetry/histogram.h"

namespace coalmine {

// The upper bound of bucket `index` at `scale`: 2^((index + 1) / 2^scale).
double upper_bound_of(std::int64_t index, int scale);
// The index of the bucket that a positive finite value falls into. A value on a bound belongs to
// the bucket below it.
std::int64_t bucket_index(double value, int scale);

// Drops empty buckets at both ends.
void trim(ExponentialHistogram::Buckets& buckets);
// Merges 2^steps neighbouring buckets into one.
void downscale(ExponentialHistogram::Buckets& buckets, int steps);
void downscale(ExponentialHistogram& histogram, int steps);

// total += delta. Scales are brought to the coarser one, and coarser still when the buckets would
// span more than max_buckets.
inline constexpr std::int64_t kMaxBuckets = 640;
void merge(ExponentialHistogram& total, const ExponentialHistogram& delta,
           std::int64_t max_buckets = kMaxBuckets);

// now - before, when now continues before: nothing fell. nullopt: there was a reset in between.
std::optional<ExponentialHistogram> increase(const ExponentialHistogram& before,
                                             const ExponentialHistogram& now);

} // namespace coalmine
