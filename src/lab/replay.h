// Replays a configuration: a rollout's steps over recorded cells. Pure.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "judge/judge.h"
#include "promql/queryable.h"
#include "rollout/evidence/spec_judge.h"
#include "rollout/spec.h"

namespace coalmine::lab {

inline constexpr double kMsPerMinute = 60'000.0;

enum class ReplayEnd { promoted, rolled_back, inconclusive, no_data };
std::string_view to_string(ReplayEnd end);

struct ReplayOutcome {
  ReplayEnd end = ReplayEnd::no_data;
  double minutes = 0;   // from the canary's first cell to the end
  std::size_t step = 0; // where it ended
  std::string reason;   // the judge's sentence
};

// Judges cell after cell, as live looks would have done. The past weights are not known, so the
// steps follow the config's own times. A step that cannot be decided within them and its extensions
// ends inconclusive, as does a release whose telemetry ends before.
ReplayOutcome replay_cells(const rollout::RolloutSpec& spec, const std::vector<CountCell>& cells,
                           rollout::TryStable try_stable = rollout::TryStable::no);

// How long a rollout of this spec can take at most, in milliseconds: the length that must be read
// of a release.
std::int64_t longest_ms(const rollout::RolloutSpec& spec);

// A time in which a version of the canary was seen.
struct PastRelease {
  std::string version; // "": the telemetry names none
  std::int64_t from_ms = 0;
  std::int64_t to_ms = 0;
};
// From series with the label service_version, one point for each moment at which that version was
// there. A gap longer than gap_ms ends a release. Sorted by beginning.
std::vector<PastRelease> find_releases(const std::vector<promql::Series>& seen,
                                       std::int64_t gap_ms);

} // namespace coalmine::lab
