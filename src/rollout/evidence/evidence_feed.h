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

// What the feed needs of the rollout; copied from the state on the control thread.
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

// A cell of the grid as judges want it. begin_ms: when the canary was first asked traffic; before,
// and with 0, it is stable's past.
judge::EvidenceCell evidence_cell(const cohort::CountCell& cell, std::int64_t begin_ms);

// The feed of one rollout; one thread at a time. After a restart everything since the beginning is
// read again, which gives the same cells.
class EvidenceFeed {
 public:
  virtual ~EvidenceFeed() = default;
  // The cells that closed, in order, each once. unavailable: the store does not answer; the next
  // read catches up.
  virtual Result<std::vector<judge::EvidenceCell>> read(const FeedView& view,
                                                        std::int64_t now_ms) = 0;
  // Over the cells read so far that lie wholly after from_ms and in which the split was not moved.
  virtual FeedTotals totals_since(std::int64_t from_ms) const = 0;
  virtual FeedProgress progress(bool canary) const = 0;
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
Result<std::vector<judge::EvidenceCell>> window_cells(const RolloutSpec& spec,
                                                      const cohort::CohortSource& cohorts,
                                                      const cohort::CohortSelector& canary,
                                                      const cohort::CohortSelector& stable,
                                                      std::int64_t from_ms, std::int64_t to_ms);

// How much of stable before the rollout is read.
inline constexpr std::int64_t kBaselineMs = 30 * 60'000;

} // namespace coalmine::rollout
