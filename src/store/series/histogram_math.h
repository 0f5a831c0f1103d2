// Arithmetic on cumulative histograms: totals of deltas, increments between two totals, bounds in
// milliseconds.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>

#include "base/result.h"
#include "telemetry/exponential.h"
#include "telemetry/histogram.h"

namespace coalmine::store {

// Bounds in milliseconds for durations without bounds of their own: server spans and exponential
// histograms.
const BucketBounds& fixed_bounds_ms();

bool same_bounds(const BucketBounds& a, const BucketBounds& b);

// Checks a received histogram and brings it into the stored form: bounds never null, finite and
// ascending, one more count than bounds. An explicit last bound of +Inf is folded into the last
// bucket. invalid_argument says what is wrong.
Status normalise(ClassicHistogram& histogram);
Status normalise(ExponentialHistogram& histogram);

// now - before, when now continues before: same bounds, nothing fell. nullopt: there was a reset in
// between. That of exponential histograms is in telemetry/exponential.h.
std::optional<ClassicHistogram> increase(const ClassicHistogram& before,
                                         const ClassicHistogram& now);

// The same observations with bounds and sum multiplied.
ClassicHistogram scaled(const ClassicHistogram& histogram, double factor,
                        const BucketBounds& scaled_bounds);
BucketBounds scale_bounds(const BucketBounds& bounds, double factor);

// Each bucket goes into the first bucket of target whose upper bound is at least its own (times
// factor): no observation is counted as faster than it was. Zero and negative buckets go into the
// first.
ClassicHistogram to_classic(const ExponentialHistogram& histogram, double factor,
                            const BucketBounds& target);

} // namespace coalmine::store
