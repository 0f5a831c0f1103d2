// Whether the spans of both tracks are a sample of their requests that was chosen by how these
// ended: a collector that samples traces by their tail keeps the failing and the slow ones. A share
// of failures among such spans says nothing of the requests (13 % reads as 61 %), and neither does
// the number of spans. Pure; a plain value, one thread at a time.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "telemetry/sample.h"
#include "telemetry/track.h"

namespace coalmine::cohort {

// What one track counted in one stretch of time.
struct SamplingCounts {
  double spans = 0;   // server spans, or requests as a collector counted them from spans
  double failed = 0;  // of them
  double marked = 0;  // of them: said to be kept by a sampler at the tail
  double metrics = 0; // requests by the best metric of the application's own
};

// The first of these that holds says so:
//   marked      spans say so themselves (is_tail_sampling_mark)
//   compared    a metric of the same track counts more than kSampleFactor times as many requests as
//               there are spans, over kComparedMs and kEnough requests at least
//   improbable  more than half of the spans failed, on both tracks
class SpanSampling {
 public:
  static constexpr double kSampleFactor = 2;
  static constexpr double kEnough = 50;
  static constexpr std::int64_t kComparedMs = 2 * 60'000;

  // Adds a stretch of time. Counts that are old are forgotten little by little; a mark is not: who
  // samples goes on doing so.
  void add(std::int64_t length_ms, const SamplingCounts& canary, const SamplingCounts& stable);
  // How it is known that the spans are a sample, and what helps; a sentence without capital and
  // full stop. "": it is not known.
  std::string problem() const;

 private:
  struct Known {
    SamplingCounts all;
    // Up to the newest stretch in which a metric counted, and since then: a metric that is exported
    // once a minute counts the spans of all stretches since its last export.
    SamplingCounts compared;
    double compared_ms = 0;
    SamplingCounts since;
    double since_ms = 0;
    void add(std::int64_t length_ms, const SamplingCounts& counts);
  };
  std::array<Known, kBothTracks.size()> tracks_; // by track
};

} // namespace coalmine::cohort
