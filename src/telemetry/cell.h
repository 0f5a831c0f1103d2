// The cell: the counts of both tracks in one stretch of time. Shared by the code that counts cells
// (the grid, a window's sums), hands them on (a rollout's looks), judges them, or simulates them.
// Plain values; any thread. Times in milliseconds since 1970, latencies in milliseconds. Counts may
// be fractions: the grid cuts exports at the edges of cells. Bounds are shared and never change.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "telemetry/histogram.h"
#include "telemetry/sample.h"
#include "telemetry/track.h"

namespace coalmine {

// The counts of one track, on one route or in total.
struct TrackCounts {
  // Over a window. false: nothing was received of this track, which is not zero requests. Cells do
  // not set it: they close only when both tracks have reported.
  bool has_data = false;
  double requests = 0;
  double errors = 0;
  // Durations, without the instances that are warming up. bucket_counts[i] is (bounds[i-1],
  // bounds[i]], the last one open; both are empty when no distribution is known.
  BucketBounds bounds_ms{};
  std::vector<double> bucket_counts{};
  double timed = 0;  // sum of bucket_counts
  double sum_ms = 0; // of all durations
  // Without bounds: why there are none although durations were measured, that is, why latency is
  // not known or cannot be compared. With bounds: how exact they are, where a count was decided in
  // the canary's favour. A sentence without capital and full stop; "": nothing to say.
  std::string bounds_note{};
  // Not empty: the requests are counted from a sample of them that depends on how they ended, so
  // neither their number nor any share among them is that of all requests. Says how that is known;
  // a sentence without capital and full stop. Set on totals, not on routes.
  std::string sampled{};
  // The parts of requests and errors that come from instances still warming up. They count (errors
  // count from the first request), but the judge allows them a wider margin.
  double warming_requests = 0;
  double warming_errors = 0;
  // The requests of instances whose HTTP statuses are known, and those of them that were answered
  // with 4xx and are no errors.
  double answered = 0;
  double client_errors = 0;

  // Adds what is counted of other requests; durations are added by cohort/durations.h.
  void add_requests(const TrackCounts& from) {
    requests += from.requests;
    errors += from.errors;
    answered += from.answered;
    client_errors += from.client_errors;
    warming_requests += from.warming_requests;
    warming_errors += from.warming_errors;
  }
};

// One process's part of a route in one cell.
struct InstancePart {
  std::uint32_t instance = 0; // its place in CountCell::instances
  double requests = 0;
  double errors = 0;
};

// Both tracks, on one route or in total. Both have the same bounds, usually one object: they are
// the boundaries that every histogram of both tracks in this cell or window has, so a boundary
// means the same on both sides (cohort/durations.h).
struct RouteCounts {
  std::string route; // "": the whole service
  TrackCounts canary;
  TrackCounts stable;
  // Of a route: by process, for tracks with several. Without the processes that warm up. Empty for
  // the whole, whose parts are CountCell::instances.
  std::vector<InstancePart> parts{};

  TrackCounts& of(Track track) { return track == Track::canary ? canary : stable; }
  const TrackCounts& of(Track track) const { return track == Track::canary ? canary : stable; }
  // Null: no distribution is known, or the tracks' differ.
  const std::vector<double>* shared_bounds() const {
    return canary.bounds_ms == stable.bounds_ms ? stable.bounds_ms.get() : nullptr;
  }
  // Both tracks have the same.
  const std::string& bounds_note() const {
    return stable.bounds_note.empty() ? canary.bounds_note : stable.bounds_note;
  }
  // A sample on one side spoils what both are compared by.
  const std::string& sampled() const {
    return stable.sampled.empty() ? canary.sampled : stable.sampled;
  }
  void share_bounds(const BucketBounds& bounds) { canary.bounds_ms = stable.bounds_ms = bounds; }
};

// One process in one cell: for the dispersion between processes, and to show which were seen.
struct InstanceCounts {
  std::string instance;
  Track track = Track::stable;
  double requests = 0;
  double errors = 0;
  bool warming = false;
  // Its durations over the bounds of CountCell::total. Empty: it has none that count, or it is the
  // only process of its track, whose durations are those of the total.
  std::vector<double> bucket_counts{};
  // How often it began anew under the same name, as its telemetry in the cell shows. It may have
  // served nothing.
  std::uint32_t restarts = 0;
};

// A track with more processes has these details (durations, parts of routes) of this many alone,
// chosen by their names: enough to know how much processes differ.
inline constexpr std::size_t kMostDetailedInstances = 64;

// One of the user's own metrics on one track. A ratio is amount out of count. A mean is a sum
// (amount) over count. A value has count 1.
struct MetricTrack {
  bool has_data = false;
  double amount = 0;
  double count = 0;
  std::optional<double> value() const {
    return has_data && count > 0 ? std::optional(amount / count) : std::nullopt;
  }
};
struct MetricNumbers {
  std::string signal;
  MetricTrack canary;
  MetricTrack stable;
  // Why the metric cannot be measured, as a sentence without full stop; "" when it can.
  std::string problem;
};

// (from_ms, to_ms]. The telemetry of both tracks is complete for it. A cell is given out once and
// never changes. A judge gets each cell once, in order.
struct CountCell {
  std::int64_t from_ms = 0;
  std::int64_t to_ms = 0;
  bool baseline = false; // before the canary had traffic: stable's counts are its past
  // The traffic split was moved within the cell. Two splits are mixed, so nothing may be concluded
  // from the difference of the tracks. Its counts are for totals and charts and are never judged.
  bool mixed = false;
  bool warming = false;         // a canary instance was warming up
  double weight = -1;           // the canary's share asked for, 0..1; negative: unknown
  Source source = Source::sent; // of requests and errors, the same on both tracks
  RouteCounts total;
  std::vector<RouteCounts> routes; // parts of the whole
  std::vector<InstanceCounts> instances;
  std::vector<MetricNumbers> metrics; // measured in this cell; may be judged even when it is mixed
};

} // namespace coalmine
