// SPDX-License-Identifier: Apache-2.0
#include "rollout/evidence/evidence_feed.h"

#include <algorithm>
#include <array>
#include <functional>
#include <iterator>
#include <map>
#include <utility>

#include "rollout/evidence/closed_totals.h"
#include "rollout/evidence/cohort_selector.h"
#include "rollout/evidence/window_evidence.h"

namespace coalmine::rollout {

void mark_baseline(CountCell& cell, std::int64_t begin_ms) {
  cell.baseline = begin_ms <= 0 || cell.from_ms < begin_ms;
}

namespace {

// What is remembered of routes, and of the instances of a track.
constexpr std::size_t kMostRoutesKept = 2'000;
constexpr std::size_t kMostInstancesKept = 500;

// Telemetry of a track that is this many of its export intervals late has been interrupted.
constexpr std::int64_t kBreakIntervals = 3;
constexpr std::int64_t kAssumedIntervalMs = 60'000;
// The clock of an instance can be told while its exports are this recent.
constexpr std::int64_t kClockProbeMs = 10 * 60'000;

bool asked_too_much(const Error& error) {
  return error.code == ErrorCode::resource_exhausted || error.code == ErrorCode::deadline_exceeded;
}

class GridFeed final : public EvidenceFeed {
 public:
  GridFeed(const cohort::CountFeedSource& source, const FeedRequest& request)
      : source_(source),
        request_{.canary = cohort_selector(*request.spec, Track::canary, request.canary_version),
                 .stable = cohort_selector(*request.spec, Track::stable, request.stable_version),
                 .origin_ms = origin_of(request)},
        grid_(options(source, request)),
        feed_(source.open(request_)),
        read_until_ms_(request_.origin_ms) {
    if (request.past != nullptr) go_on_behind(*request.past);
  }

  Result<std::vector<CountCell>> read(const FeedView& view, std::int64_t now_ms) override {
    // First: what is taken in is divided by the weights.
    for (; passed_on_ < view.changes.size(); ++passed_on_) {
      const auto& change = view.changes[passed_on_];
      grid_.weight_changed(change.from_ms, change.to_ms, change.weight);
    }
    if (!std::exchange(resumed_, true)) grid_.resumed(now_ms);
    TRY(take_in(now_ms));
    const std::int64_t begin = view.changes.empty() ? 0 : view.changes.front().to_ms;
    auto out = grid_.close(std::min(view.until_ms, read_until_ms_));
    for (const auto track : kBothTracks) note_reports(track, now_ms);
    for (auto& cell : out) {
      mark_baseline(cell, begin);
      counts_sampled_ = !cell.total.sampled().empty();
      closed_.add(cell);
    }
    return out;
  }

  std::int64_t read_until_ms() const override { return read_until_ms_; }
  bool caught_up() const override { return caught_up_; }

  judge::TrackTotals totals_since(std::int64_t from_ms) const override {
    return closed_.since(from_ms, ClosedTotals::Cells::comparable);
  }

  double requests_since(Track track, std::int64_t from_ms) const override {
    const auto closed = closed_.since(from_ms, ClosedTotals::Cells::all);
    return (track == Track::canary ? closed.canary_requests : closed.stable_requests) +
           grid_.waiting_requests(track, from_ms);
  }

  double awaited_since(std::int64_t from_ms) const override {
    const auto closed_ms = grid_.closed_until_ms();
    return closed_ms < from_ms ? 0 : grid_.waiting_requests(Track::canary, closed_ms);
  }

  bool counts_sampled() const override { return counts_sampled_; }
  FeedProgress progress(Track track) const override {
    return reports_[static_cast<std::size_t>(track)].progress;
  }

  TrackInstances instances(Track track, std::int64_t grace_ms) const override {
    const auto& reports = reports_[static_cast<std::size_t>(track)];
    TrackInstances out{.most = reports.most_live, .live = reports.live, .silent = {}};
    for (const auto& one : heard(track)) {
      const auto grace =
          grace_for(grace_ms, one.interval_ms.value_or(reports.progress.interval_ms));
      if (reports.progress.newest_ms - one.newest_ms >= grace)
        out.silent.push_back({one.name, one.newest_ms});
    }
    std::ranges::stable_sort(out.silent, std::greater(), &SilentInstance::last_ms);
    out.silent.resize(std::min(out.silent.size(), out.most - std::min(out.most, out.live)));
    return out;
  }

  FeedMemory memory() const override {
    FeedMemory out{.routes = grid_.routes(kMostRoutesKept), .tracks = {}};
    for (const auto track : kBothTracks) {
      const auto& reports = reports_[static_cast<std::size_t>(track)];
      auto& kept = out.tracks[static_cast<std::size_t>(track)];
      kept.heard_ms = reports.progress.heard_ms;
      kept.unbroken_since_ms = reports.progress.unbroken_since_ms;
      kept.most_live = reports.most_live;
      kept.instances = heard(track);
      kept.first_births = grid_.first_births(track);
      std::ranges::stable_sort(kept.instances, std::greater(), &cohort::InstanceHeard::newest_ms);
      if (kept.instances.size() > kMostInstancesKept) kept.instances.resize(kMostInstancesKept);
    }
    return out;
  }

 private:
  // What has been heard of a track.
  struct Reports {
    FeedProgress progress;
    std::size_t live = 0;
    std::size_t most_live = 0;
    // Instances of before a restart, of which the grid has seen nothing since.
    std::vector<cohort::InstanceHeard> before;
  };

  static std::int64_t first_origin(const FeedRequest& request) {
    return std::max<std::int64_t>(0, request.started_ms - kBaselineMs);
  }
  static std::int64_t origin_of(const FeedRequest& request) {
    return request.past != nullptr ? request.past->newest.front().from_ms : first_origin(request);
  }

  void go_on_behind(const KeptPast& past) {
    cohort::GridPast of_grid{
        .cells = past.newest, .routes = past.memory.routes, .instances = {}, .first_births = {}};
    for (const auto track : kBothTracks) {
      const auto& kept = past.memory.tracks[static_cast<std::size_t>(track)];
      auto& reports = reports_[static_cast<std::size_t>(track)];
      reports.progress.heard_ms = kept.heard_ms;
      reports.progress.unbroken_since_ms = kept.unbroken_since_ms;
      reports.most_live = kept.most_live;
      reports.before = kept.instances;
      of_grid.instances[static_cast<std::size_t>(track)] = kept.instances;
      of_grid.first_births[static_cast<std::size_t>(track)] = kept.first_births;
    }
    grid_.go_on_behind(std::move(of_grid));
    resumed_ = !source_.traits().is_sent_to_us;
  }

  // All instances that were ever heard.
  std::vector<cohort::InstanceHeard> heard(Track track) const {
    auto out = grid_.instances(track);
    const auto& before = reports_[static_cast<std::size_t>(track)].before;
    const auto seen = out.size(); // in the order of their names
    for (const auto& one : before) {
      const auto end = out.begin() + static_cast<std::ptrdiff_t>(seen);
      const auto at =
          std::ranges::lower_bound(out.begin(), end, one.name, {}, &cohort::InstanceHeard::name);
      if (at == end || at->name != one.name) out.push_back(one);
    }
    return out;
  }

  static cohort::GridOptions options(const cohort::CountFeedSource& source,
                                     const FeedRequest& request) {
    cohort::GridOptions out;
    out.origin_ms = origin_of(request);
    // A restart makes no process old whose first requests have not come yet.
    out.new_process_ms += std::max<std::int64_t>(0, out.origin_ms - first_origin(request));
    out.min_route_requests = request.spec->min_route_requests;
    out.ignore_routes = request.spec->ignore_routes;
    out.own_routes = request.spec->critical_routes;
    out.unseen_instances_begin_at_zero = source.traits().unseen_instances_begin_at_zero;
    return out;
  }

  // Everything that is new or, while much of the past is missing, the next slice of it.
  Status take_in(std::int64_t now_ms) {
    const bool behind = now_ms - read_until_ms_ > slice_ms_;
    if (behind && read_until_ms_ == request_.origin_ms) TRY(probe_clocks(now_ms));
    const auto until = behind ? read_until_ms_ + slice_ms_ : now_ms;
    const auto done = behind ? feed_->read_past(grid_, until) : feed_->read(grid_, until);
    if (!done) {
      const auto span = until - read_until_ms_;
      if (!asked_too_much(done.error()) || span <= kLeastSliceMs) return done;
      slice_ms_ = std::max(kLeastSliceMs, span / 2); // the next read asks for less
      caught_up_ = false;
      return done.error().code == ErrorCode::resource_exhausted ? Status() : done;
    }
    read_until_ms_ = until;
    caught_up_ = !behind;
    return {};
  }

  // A clock that is ahead shows in the newest samples alone. It is asked for before the history,
  // whose counts would else be paired with those of another time.
  Status probe_clocks(std::int64_t now_ms) {
    auto request = request_;
    request.origin_ms = now_ms - kClockProbeMs;
    cohort::GridOptions options;
    options.origin_ms = request.origin_ms;
    cohort::CountGrid recent(options);
    if (const auto read = source_.open(request)->read(recent, now_ms); !read)
      return asked_too_much(read.error()) ? Status() : read;
    for (const auto track : kBothTracks) {
      for (const auto& one : recent.instances(track)) {
        if (one.clock_offset_ms != 0) grid_.assume_clock(track, one.name, one.clock_offset_ms);
      }
    }
    return {};
  }

  void note_reports(Track track, std::int64_t now_ms) {
    auto& reports = reports_[static_cast<std::size_t>(track)];
    auto& known = reports.progress;
    const auto instances = heard(track);
    std::int64_t newest = 0; // may fall: a clock was found to be ahead
    for (const auto& one : instances) newest = std::max(newest, one.newest_ms);
    if (newest > known.newest_ms) {
      const auto came = heard_live_ ? now_ms : std::min(newest, now_ms);
      const auto usual = known.interval_ms > 0 ? known.interval_ms : kAssumedIntervalMs;
      if (known.heard_ms != 0 && heard_live_ && came - known.heard_ms > kBreakIntervals * usual)
        known.unbroken_since_ms = came;
      known.heard_ms = std::max(known.heard_ms, came);
    }
    known.newest_ms = newest;
    known.interval_ms = 0;
    reports.live = 0;
    for (const auto& one : instances) {
      const auto interval = one.interval_ms.value_or(kAssumedIntervalMs);
      if (newest - one.newest_ms > kBreakIntervals * interval) continue;
      ++reports.live;
      known.interval_ms = std::max(known.interval_ms, one.interval_ms.value_or(0));
      if (one.newest_ms == newest) known.clock_offset_ms = one.clock_offset_ms;
    }
    reports.most_live = std::max(reports.most_live, reports.live);
    if (track == kBothTracks.back() && caught_up_) heard_live_ = true;
  }

  const cohort::CountFeedSource& source_;
  const cohort::CountFeedRequest request_;
  cohort::CountGrid grid_;
  bool counts_sampled_ = false; // in the newest cell
  ClosedTotals closed_;
  std::unique_ptr<cohort::CountFeed> feed_;
  bool resumed_ = true; // the grid knows when it went on behind kept cells
  std::size_t passed_on_ = 0;
  std::int64_t read_until_ms_ = 0;
  std::int64_t slice_ms_ = kSliceMs;
  bool caught_up_ = false;
  bool heard_live_ = false; // what comes from now on is dated when it comes
  std::array<Reports, kBothTracks.size()> reports_;
};

// A row of a cell from a row over a window: a track without durations has none in each bucket.
RouteCounts cell_row(RouteCounts row) {
  if (const auto* bounds = row.shared_bounds(); bounds != nullptr) {
    for (auto* side : {&row.canary, &row.stable}) {
      if (side->bucket_counts.empty()) side->bucket_counts.assign(bounds->size() + 1, 0);
    }
  }
  return row;
}

} // namespace

Result<std::vector<CountCell>> read_everything(EvidenceFeed& feed, const FeedView& view,
                                               std::int64_t now_ms) {
  std::vector<CountCell> out;
  do {
    TRY_ASSIGN(auto cells, feed.read(view, now_ms));
    std::ranges::move(cells, std::back_inserter(out));
  } while (!feed.caught_up());
  return out;
}

FeedView feed_view(const State& state, std::int64_t now_ms) {
  FeedView out;
  out.until_ms = now_ms;
  std::int64_t ordered = state.plan.started_ms;
  for (const auto& step : state.plan.steps) {
    if (step.started_ms == 0) {
      // Passed, but the next weight is not confirmed yet.
      if (!out.changes.empty() && ordered > out.changes.back().to_ms)
        out.until_ms = std::min(out.until_ms, ordered);
      break;
    }
    out.changes.push_back({std::min(ordered, step.started_ms), step.started_ms, step.spec.weight});
    if (step.ended_ms == 0) break;
    ordered = step.ended_ms;
  }
  if (out.changes.empty()) out.until_ms = std::min(out.until_ms, state.plan.started_ms);
  return out;
}

std::unique_ptr<EvidenceFeed> make_grid_feed(const cohort::CountFeedSource& source,
                                             const FeedRequest& request) {
  return std::make_unique<GridFeed>(source, request);
}

Result<std::vector<CountCell>> window_cells(const RolloutSpec& spec,
                                            const cohort::CohortSource& cohorts,
                                            const cohort::CohortSelector& canary,
                                            const cohort::CohortSelector& stable,
                                            std::int64_t from_ms, std::int64_t to_ms) {
  constexpr std::int64_t kMostCells = 20;
  constexpr std::int64_t kLeastMs = 15'000;
  std::vector<CountCell> out;
  const std::int64_t length = std::max(kLeastMs, (to_ms - from_ms) / kMostCells);
  enum class Part { baseline, window };
  const auto add = [&](std::int64_t begin, std::int64_t end, Part part) -> Status {
    const cohort::CohortCounts nothing;
    auto of_canary = part == Part::baseline ? Result<cohort::CohortCounts>(nothing)
                                            : cohorts.counts(canary, begin, end);
    auto of_stable = cohorts.counts(stable, begin, end);
    if (!of_canary) return std::unexpected(of_canary.error());
    if (!of_stable) return std::unexpected(of_stable.error());
    auto numbers = make_evidence(spec, of_canary, of_stable, end);
    CountCell cell;
    cell.from_ms = begin;
    cell.to_ms = end;
    cell.baseline = part == Part::baseline;
    cell.total = cell_row({"", std::move(numbers.canary), std::move(numbers.stable)});
    for (auto& row : numbers.routes) cell.routes.push_back(cell_row(std::move(row)));
    out.push_back(std::move(cell));
    return {};
  };
  TRY(add(std::max<std::int64_t>(0, from_ms - kBaselineMs), from_ms, Part::baseline));
  for (std::int64_t begin = from_ms; begin < to_ms; begin += length)
    TRY(add(begin, std::min(begin + length, to_ms), Part::window));
  return out;
}

} // namespace coalmine::rollout
