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
#include "rollout/evidence/cell_book.h"
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

// How far a track's telemetry has come. Times are corrected where an instance's clock is off.
struct FeedProgress {
  std::int64_t newest_ms = 0; // its newest sample; 0: none
  // When telemetry of the track last came: by our clock since the feed began, before that the time
  // of the newest sample. 0: never.
  std::int64_t heard_ms = 0;
  // Since when it has come without a break of several export intervals; 0: since ever.
  std::int64_t unbroken_since_ms = 0;
  std::int64_t interval_ms = 0;     // the longest export interval of its live instances; 0: unknown
  std::int64_t clock_offset_ms = 0; // of the instance heard last
};

// One instance of several that has stopped reporting.
struct SilentInstance {
  std::string name;
  std::int64_t last_ms = 0; // its newest sample
};
struct TrackInstances {
  std::size_t most = 0;               // that reported at the same time, so far
  std::size_t live = 0;               // that report now
  std::vector<SilentInstance> silent; // stopped, latest first; at most `most` - `live`
};

// Marks a cell of the grid that is stable's past: it begins before begin_ms, when the canary first
// got traffic, or begin_ms is 0. A cell in which the canary's traffic begins is past as well.
void mark_baseline(CountCell& cell, std::int64_t begin_ms);

// Serves one rollout; one thread at a time. After a restart the kept cells are given out again
// (kept_feed.h), and only what came behind them is read. Where none were kept, everything since the
// beginning is read again: a slice at every read, so that no read takes long however long the
// rollout has lasted.
class EvidenceFeed {
 public:
  virtual ~EvidenceFeed() = default;
  // The cells that closed, in order, each once. Any error: nothing is lost, the next read goes on
  // where this one was.
  virtual Result<std::vector<CountCell>> read(const FeedView& view, std::int64_t now_ms) = 0;
  // Everything up to here has been read, and its cells given out as far as they are closed. Before
  // now: read() has more to give at once.
  virtual std::int64_t read_until_ms() const = 0;
  virtual bool caught_up() const = 0;
  // Over the cells read so far that lie wholly after from_ms, in which the split was not moved and
  // whose requests are not a sample.
  virtual judge::TrackTotals totals_since(std::int64_t from_ms) const = 0;
  // After from_ms, in closed cells and behind the last of them.
  virtual double requests_since(Track track, std::int64_t from_ms) const = 0;
  // Of the canary behind the closed cells, which will be compared: none until the cell that holds
  // from_ms is closed, for the weight may have moved in it.
  virtual double awaited_since(std::int64_t from_ms) const = 0;
  // The requests of the newest cell are known to be a sample (TrackCounts::sampled): how many there
  // were or were due is then unknown.
  virtual bool counts_sampled() const { return false; }
  virtual FeedProgress progress(Track track) const = 0;
  // An instance is silent when it has reported nothing for grace_ms, and not for a while of its own
  // export interval, while others of its track have.
  virtual TrackInstances instances(Track track, std::int64_t grace_ms) const = 0;
  // Behind the cells given out so far.
  virtual FeedMemory memory() const { return {}; }
};

// All cells up to now_ms, for one look outside any rollout.
Result<std::vector<CountCell>> read_everything(EvidenceFeed& feed, const FeedView& view,
                                               std::int64_t now_ms);

struct FeedRequest {
  std::shared_ptr<const RolloutSpec> spec;
  std::string canary_version;
  std::string stable_version;
  std::int64_t started_ms = 0; // of the rollout
  // Null: everything since the beginning is read. Else what is behind these cells.
  std::shared_ptr<const KeptPast> past{};
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
// How much of the past one read takes at most, and at least where the store is asked too much.
inline constexpr std::int64_t kSliceMs = 60 * 60'000;
inline constexpr std::int64_t kLeastSliceMs = 5 * 60'000;

} // namespace coalmine::rollout
