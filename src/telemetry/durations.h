// Durations as exponential histograms in seconds, each at the resolution it was measured with.
//
// Seconds, because OpenTelemetry measures in seconds: a bound of a histogram that an application
// sends is then a bound here, and nothing is guessed. Durations of spans, which are exact, are put
// into buckets of kDurationScale, 2.2 % wide.
//
// Pure; any thread. No errors.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "telemetry/exponential.h"

namespace coalmine {

// No finer: 32 buckets for each doubling.
inline constexpr int kDurationScale = 5;
// Durations are told apart between 2^kShortestOctave s (15 us) and 2^kLongestOctave s (512 s).
// Shorter ones are in the zero bucket, longer ones in the one bucket above. So a histogram never
// needs a coarser scale to hold an outlier, and its size is bounded.
inline constexpr int kShortestOctave = -16;
inline constexpr int kLongestOctave = 9;

// The same observations in seconds, no finer than kDurationScale, within the range above. Unless
// seconds_per_unit is 1, each bound moves by at most half a bucket of the histogram's own scale.
// Negative durations are in the zero bucket. The content of a zero bucket that is wider than the
// range goes into the bucket that its threshold lies in: nothing is counted as faster than it was.
ExponentialHistogram durations_in_seconds(const ExponentialHistogram& histogram,
                                          double seconds_per_unit);

// Adds count observations of one duration. durations: empty, or of kDurationScale.
void add_duration(ExponentialHistogram& durations, double seconds, std::uint64_t count = 1);
// total += delta, both from here, exactly.
void merge_durations(ExponentialHistogram& total, const ExponentialHistogram& delta);

} // namespace coalmine
