// What a judge that weighs evidence is fed: the cells of one rollout that have closed since the
// last look.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "cohort/cohorts.h"
#include "cohort/count_feed.h"
#include "cohort/count_grid.h"
#include "judge/judge.h"
#include "rollout/machine.h"

namespace coalmine::rollout {

// From the order to the router until its confirmation.
struct WeightChange {
  std::int64_t from_ms = 0;
  std::int64_t to_ms = 0;
  double weight = 0;
};

// What a feed needs to know of the rollout at a look; copied from the state on the control thread.
struct FeedView {
  std::vector<WeightChange> changes; // all so far, in order
  std::int64_t until_ms = 0;         // nothing after this is final yet: a change is under way
};
FeedView feed_view(const State& state, std::int64_t now_ms);

// Requests of both tracks over some cells.
struct FeedTotals {
  double canary = 0;
  double stable = 0;
};
// How far a track's telemetry has come.
struct FeedProgress {
  std::int64_t newest_ms = 0; // its newest sample; 0: none
  double waiting = 0;         // requests behind the last closed cell
};

// Marks a cell of the grid that is stable's past: it begins before begin_ms, when the canary first
// got traffic, or begin_ms is 0. A cell in which the canary's traffic begins is past as well.
void mark_baseline(CountCell& cell, std::int64_t begin_ms);

// Serves one rollout; one thread at a time. After a restart everything since the beginning is read
// again, which gives the same cells.
class EvidenceFeed {
 public:
  virtual ~EvidenceFeed() = default;
  // The cells that closed, in order, each once. unavailable: the store does not answer; the next
  // read catches up.
  virtual Result<std::vector<CountCell>> read(const FeedView& view, std::int64_t now_ms) = 0;
  // Over the cells read so far that lie wholly after from_ms and in which the split was not moved.
  virtual FeedTotals totals_since(std::int64_t from_ms) const = 0;
  virtual FeedProgress progress(Track track) const = 0;
};

struct FeedRequest {
  std::shared_ptr<const RolloutSpec> spec;
  std::string canary_version;
  std::string stable_version;
  std::int64_t started_ms = 0; // of the rollout
};
// source outlives the feed.
std::unique_ptr<EvidenceFeed> make_grid_feed(const cohort::CountFeedSource& source,
                                             const FeedRequest& request);

// Cells of [from, to) straight from window counts, for one look outside any rollout; the first is
// stable's past before from.
Result<std::vector<CountCell>> window_cells(const RolloutSpec& spec,
                                            const cohort::CohortSource& cohorts,
                                            const cohort::CohortSelector& canary,
                                            const cohort::CohortSelector& stable,
                                            std::int64_t from_ms, std::int64_t to_ms);

// How long stable is read before a rollout begins.
inline constexpr std::int64_t kBaselineMs = 30 * 60'000;

} // namespace coalmine::rollout
