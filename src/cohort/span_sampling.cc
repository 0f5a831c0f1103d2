// SPDX-License-Identifier: Apache-2.0
#include "cohort/span_sampling.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

namespace coalmine::cohort {
namespace {

// What a stretch of a minute leaves of what was known before it.
constexpr double kKeptPerMinute = 0.95;
constexpr double kMsPerMinute = 60'000;
constexpr const char* kHelp =
    "; send metrics of the requests, or count the spans before they are sampled";

void fade(SamplingCounts& counts, double kept) {
  for (double* number : {&counts.spans, &counts.failed, &counts.metrics}) *number *= kept;
}

void sum_up(SamplingCounts& to, const SamplingCounts& more) {
  to.spans += more.spans;
  to.failed += more.failed;
  to.marked += more.marked;
  to.metrics += more.metrics;
}

std::string_view name_of(Track track) { return track == Track::canary ? "the canary" : "stable"; }

} // namespace

void SpanSampling::Known::add(std::int64_t length_ms, const SamplingCounts& counts) {
  const double minutes = static_cast<double>(std::max<std::int64_t>(0, length_ms)) / kMsPerMinute;
  const double kept = std::pow(kKeptPerMinute, minutes);
  fade(all, kept);
  sum_up(all, counts);
  fade(since, kept);
  sum_up(since, counts);
  since_ms += minutes * kMsPerMinute;
  if (!(counts.metrics > 0)) return;
  fade(compared, std::pow(kKeptPerMinute, since_ms / kMsPerMinute));
  sum_up(compared, std::exchange(since, {}));
  compared_ms += std::exchange(since_ms, 0);
}

void SpanSampling::add(std::int64_t length_ms, const SamplingCounts& canary,
                       const SamplingCounts& stable) {
  tracks_[static_cast<std::size_t>(Track::canary)].add(length_ms, canary);
  tracks_[static_cast<std::size_t>(Track::stable)].add(length_ms, stable);
}

std::string SpanSampling::problem() const {
  const auto of = [&](Track track) -> const Known& {
    return tracks_[static_cast<std::size_t>(track)];
  };
  for (const auto track : kBothTracks) {
    if (of(track).all.marked > 0) {
      return fmt::format(
          "the spans of {} say that a sampler kept them by how their requests ended, so they are "
          "not counted as the requests{}",
          name_of(track), kHelp);
    }
  }
  for (const auto track : kBothTracks) {
    const auto& known = of(track);
    const auto& counts = known.compared;
    if (known.compared_ms < kComparedMs || counts.metrics < kEnough ||
        counts.metrics <= kSampleFactor * counts.spans)
      continue;
    return fmt::format(
        "a metric of {} counts {:.0f} requests where there are {:.0f} spans: the spans are a "
        "sample, so they are not counted as the requests{}",
        name_of(track), counts.metrics, counts.spans, kHelp);
  }
  const auto& canary = of(Track::canary).all;
  const auto& stable = of(Track::stable).all;
  const bool mostly_failed = std::ranges::all_of(tracks_, [](const Known& known) {
    return known.all.spans > 0 && known.all.failed > known.all.spans / 2;
  });
  if (!mostly_failed || canary.spans + stable.spans < kEnough) return "";
  return fmt::format(
      "most spans of both tracks are failures ({:.1f}% on canary, {:.1f}% on stable), as they are "
      "when a sampler keeps traces by how they ended, so they are not counted as the requests{}",
      100 * canary.failed / canary.spans, 100 * stable.failed / stable.spans, kHelp);
}

} // namespace coalmine::cohort
