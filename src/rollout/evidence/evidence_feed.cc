// SPDX-License-Identifier: Apache-2.0
#include "rollout/evidence/evidence_feed.h"

#include <algorithm>
#include <map>

#include "rollout/evidence/cohort_selector.h"
#include "rollout/evidence/window_evidence.h"

namespace coalmine::rollout {
namespace {

judge::CellCounts counts_of(const cohort::Tally& tally) {
  return {tally.requests, tally.bad, tally.buckets};
}

judge::CellRoute route_of(const cohort::RouteTally& row) {
  return {row.route, row.bounds_ms, counts_of(row.canary), counts_of(row.stable)};
}

} // namespace

judge::EvidenceCell evidence_cell(const cohort::CountCell& cell, std::int64_t begin_ms) {
  judge::EvidenceCell out;
  out.from_ms = cell.from_ms;
  out.to_ms = cell.to_ms;
  // A cell in which the canary's traffic begins straddles the boundary: its stable counts are still
  // past.
  out.baseline = begin_ms <= 0 || cell.from_ms < begin_ms;
  out.mixed = cell.weight_changed;
  out.warming = cell.total.canary.warming_requests > 0;
  out.total = route_of(cell.total);
  for (const auto& row : cell.routes) {
    if (!row.route.empty())
      out.routes.push_back(route_of(row)); // "no route" is not an endpoint to compare
  }
  for (const auto& i : cell.instances) {
    if (i.track == cohort::Track::stable && i.requests > 0)
      out.stable_instances.push_back({i.requests, i.bad});
  }
  return out;
}

namespace {

// A rollout of weeks keeps the newest; nobody asks for totals of longer ago.
constexpr std::size_t kMaxClosed = 20'000;

class GridFeed final : public EvidenceFeed {
 public:
  GridFeed(const cohort::CountFeedSource& source, const FeedRequest& request)
      : grid_(options(source, request)),
        feed_(source.open(
            {.canary = cohort_selector(*request.spec, true, request.canary_version),
             .stable = cohort_selector(*request.spec, false, request.stable_version),
             .origin_ms = std::max<std::int64_t>(0, request.started_ms - kBaselineMs)})) {}

  Result<std::vector<judge::EvidenceCell>> read(const FeedView& view,
                                                std::int64_t now_ms) override {
    TRY(feed_->read(grid_, now_ms));
    for (; passed_on_ < view.changes.size(); ++passed_on_) {
      const auto& change = view.changes[passed_on_];
      grid_.weight_changed(change.from_ms, change.to_ms, change.weight);
    }
    const std::int64_t begin = view.changes.empty() ? 0 : view.changes.front().to_ms;
    std::vector<judge::EvidenceCell> out;
    for (const auto& cell : grid_.close(view.until_ms)) {
      out.push_back(evidence_cell(cell, begin));
      if (!cell.weight_changed)
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

  FeedProgress progress(bool canary) const override {
    const auto track = canary ? cohort::Track::canary : cohort::Track::stable;
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

judge::CellCounts counts_of(const judge::TrackNumbers& track) {
  return {track.requests, track.errors, track.bucket_counts};
}

judge::CellRoute row_of(const std::string& route, const judge::TrackNumbers& canary,
                        const judge::TrackNumbers& stable) {
  judge::CellRoute out{route, nullptr, counts_of(canary), counts_of(stable)};
  const auto& bounds = stable.bounds_ms.empty() ? canary.bounds_ms : stable.bounds_ms;
  const bool same =
      canary.bounds_ms.empty() || stable.bounds_ms.empty() || canary.bounds_ms == stable.bounds_ms;
  if (bounds.empty() || !same) return out;
  out.bounds_ms = std::make_shared<const std::vector<double>>(bounds);
  for (auto* side : {&out.canary, &out.stable}) {
    if (side->bucket_counts.empty()) side->bucket_counts.assign(bounds.size() + 1, 0);
  }
  return out;
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

Result<std::vector<judge::EvidenceCell>> window_cells(const RolloutSpec& spec,
                                                      const cohort::CohortSource& cohorts,
                                                      const cohort::CohortSelector& canary,
                                                      const cohort::CohortSelector& stable,
                                                      std::int64_t from_ms, std::int64_t to_ms) {
  constexpr std::int64_t kMostCells = 20;
  constexpr std::int64_t kLeastMs = 15'000;
  std::vector<judge::EvidenceCell> out;
  const std::int64_t length = std::max(kLeastMs, (to_ms - from_ms) / kMostCells);
  const auto add = [&](std::int64_t begin, std::int64_t end, bool baseline) -> Status {
    const cohort::CohortCounts nothing;
    auto of_canary =
        baseline ? Result<cohort::CohortCounts>(nothing) : cohorts.counts(canary, begin, end);
    auto of_stable = cohorts.counts(stable, begin, end);
    if (!of_canary) return std::unexpected(of_canary.error());
    if (!of_stable) return std::unexpected(of_stable.error());
    const auto numbers = make_evidence(spec, of_canary, of_stable, end);
    judge::EvidenceCell cell;
    cell.from_ms = begin;
    cell.to_ms = end;
    cell.baseline = baseline;
    cell.total = row_of("", numbers.canary, numbers.stable);
    for (const auto& r : numbers.routes) cell.routes.push_back(row_of(r.route, r.canary, r.stable));
    out.push_back(std::move(cell));
    return {};
  };
  TRY(add(std::max<std::int64_t>(0, from_ms - kBaselineMs), from_ms, true));
  for (std::int64_t begin = from_ms; begin < to_ms; begin += length)
    TRY(add(begin, std::min(begin + length, to_ms), false));
  return out;
}

} // namespace coalmine::rollout
