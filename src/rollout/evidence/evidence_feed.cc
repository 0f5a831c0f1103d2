// SPDX-License-Identifier: Apache-2.0
#include "rollout/evidence/evidence_feed.h"

#include <algorithm>
#include <map>

#include "rollout/evidence/cohort_selector.h"
#include "rollout/evidence/window_evidence.h"

namespace coalmine::rollout {

void mark_baseline(CountCell& cell, std::int64_t begin_ms) {
  cell.baseline = begin_ms <= 0 || cell.from_ms < begin_ms;
}

namespace {

// A rollout of weeks keeps the newest; nobody asks for totals of longer ago.
constexpr std::size_t kMaxClosed = 20'000;

class GridFeed final : public EvidenceFeed {
 public:
  GridFeed(const cohort::CountFeedSource& source, const FeedRequest& request)
      : grid_(options(source, request)),
        feed_(source.open(
            {.canary = cohort_selector(*request.spec, Track::canary, request.canary_version),
             .stable = cohort_selector(*request.spec, Track::stable, request.stable_version),
             .origin_ms = std::max<std::int64_t>(0, request.started_ms - kBaselineMs)})) {}

  Result<std::vector<CountCell>> read(const FeedView& view, std::int64_t now_ms) override {
    TRY(feed_->read(grid_, now_ms));
    for (; passed_on_ < view.changes.size(); ++passed_on_) {
      const auto& change = view.changes[passed_on_];
      grid_.weight_changed(change.from_ms, change.to_ms, change.weight);
    }
    const std::int64_t begin = view.changes.empty() ? 0 : view.changes.front().to_ms;
    auto out = grid_.close(view.until_ms);
    for (auto& cell : out) {
      mark_baseline(cell, begin);
      if (!cell.mixed)
        closed_.push_back({cell.from_ms, {cell.total.canary.requests, cell.total.stable.requests}});
    }
    if (closed_.size() > kMaxClosed) closed_.erase(closed_.begin(), closed_.end() - kMaxClosed / 2);
    return out;
  }

  FeedTotals totals_since(std::int64_t from_ms) const override {
    FeedTotals out;
    for (const auto& cell : closed_) {
      if (cell.from_ms < from_ms) continue;
      out.canary += cell.totals.canary;
      out.stable += cell.totals.stable;
    }
    return out;
  }

  FeedProgress progress(Track track) const override {
    return {grid_.newest_ms(track).value_or(0), grid_.waiting_requests(track)};
  }

 private:
  static cohort::GridOptions options(const cohort::CountFeedSource& source,
                                     const FeedRequest& request) {
    cohort::GridOptions out;
    out.origin_ms = std::max<std::int64_t>(0, request.started_ms - kBaselineMs);
    out.min_route_requests = request.spec->min_route_requests;
    out.ignore_routes = request.spec->ignore_routes;
    out.own_routes = request.spec->critical_routes;
    out.unseen_instances_begin_at_zero = source.traits().unseen_instances_begin_at_zero;
    return out;
  }

  struct Closed {
    std::int64_t from_ms = 0;
    FeedTotals totals;
  };

  cohort::CountGrid grid_;
  std::vector<Closed> closed_;
  std::unique_ptr<cohort::CountFeed> feed_;
  std::size_t passed_on_ = 0;
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
