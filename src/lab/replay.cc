// SPDX-License-Identifier: Apache-2.0
#include "lab/replay.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <memory>
#include <utility>

#include "cohort/durations.h"

namespace coalmine::lab {
namespace {

// Adds a cell to a window. Where boundaries differ, those that all cells have are kept.
void add_cell(TrackCounts& to, const TrackCounts& counts) {
  to.has_data = true;
  to.add_requests(counts);
  if (to.bounds_note.empty()) to.bounds_note = counts.bounds_note;
  if (counts.bounds_ms == nullptr || counts.bucket_counts.empty()) return;
  cohort::DurationCounts durations;
  if (to.bounds_ms != nullptr) durations.add(to.bounds_ms, to.bucket_counts, to.sum_ms);
  durations.add(counts.bounds_ms, counts.bucket_counts, counts.sum_ms);
  put_track(durations, to);
}

// The sum over the count of values is their mean.
void add_metric(MetricTrack& to, const MetricTrack& from) {
  to.has_data = to.has_data || from.has_data;
  to.amount += from.amount;
  to.count += from.count;
}

// One rollout being gone through. Lives for one replay.
class Player {
 public:
  Player(const rollout::RolloutSpec& spec, rollout::TryStable try_stable)
      : spec_(spec), try_stable_(try_stable) {
    enter(0);
  }

  // True when the rollout has ended.
  bool play(const CountCell& cell) {
    const double length = static_cast<double>(cell.to_ms - cell.from_ms) / kMsPerMinute;
    if (!cell.baseline) {
      minutes_ += length;
      step_minutes_ += length;
      collect(cell);
    }
    evidence_.cells = {cell};
    evidence_.step_minutes = evidence_.canary_age_minutes = step_minutes_;
    evidence_.step_requests = evidence_.canary.requests;
    const auto judgement = judge_->judge(evidence_);
    if (cell.baseline) return false;
    out_.reason = judgement.reason;
    if (judgement.decision == judge::Decision::rollback) return end(ReplayEnd::rolled_back);
    const auto& step = spec_.steps[step_];
    const double needed = static_cast<double>(step.analyze_ms) / kMsPerMinute;
    const bool enough = evidence_.canary.requests >= step.min_requests;
    if (step_minutes_ >= needed && judgement.decision == judge::Decision::promote && enough) {
      if (step_ + 1 >= spec_.steps.size() || spec_.steps[step_ + 1].weight >= 1)
        return end(ReplayEnd::promoted);
      enter(step_ + 1);
      return false;
    }
    const double extension =
        spec_.extend_ms > 0 ? static_cast<double>(spec_.extend_ms) / kMsPerMinute : needed;
    if (step_minutes_ >= needed + spec_.max_extends * extension)
      return end(ReplayEnd::inconclusive);
    return false;
  }

  ReplayOutcome finish(bool ended) && {
    out_.minutes = minutes_;
    out_.step = step_;
    if (ended) return std::move(out_);
    out_.end = minutes_ > 0 ? ReplayEnd::inconclusive : ReplayEnd::no_data;
    if (minutes_ > 0)
      out_.reason = fmt::format("the telemetry ends after {:.0f} minutes, in step {}: {}", minutes_,
                                step_ + 1, out_.reason);
    return std::move(out_);
  }

 private:
  void enter(std::size_t step) {
    step_ = step;
    step_minutes_ = 0;
    const auto& own = spec_.steps[step];
    if (judge_ == nullptr || !judge_->takes_cells()) {
      auto spec = spec_;
      spec.min_analysis_minutes = static_cast<double>(own.analyze_ms) / kMsPerMinute;
      spec.min_requests = own.min_requests;
      judge_ = rollout::make_judge(spec, try_stable_);
    }
    evidence_ = {};
    routes_.clear();
    evidence_.next_weight = step + 1 < spec_.steps.size() ? spec_.steps[step + 1].weight : 1;
    evidence_.step_needed_minutes = static_cast<double>(own.analyze_ms) / kMsPerMinute;
    evidence_.step_min_requests = own.min_requests;
  }

  void collect(const CountCell& cell) {
    add_cell(evidence_.canary, cell.total.canary);
    add_cell(evidence_.stable, cell.total.stable);
    if (judge_->takes_cells()) return;
    for (const auto& numbers : cell.metrics) {
      auto it = std::ranges::find(evidence_.metrics, numbers.signal, &MetricNumbers::signal);
      if (it == evidence_.metrics.end()) {
        evidence_.metrics.push_back(numbers);
        continue;
      }
      add_metric(it->canary, numbers.canary);
      add_metric(it->stable, numbers.stable);
      it->problem = numbers.problem;
    }
    for (const auto& row : cell.routes) {
      auto& route = routes_[row.route];
      route.route = row.route;
      add_cell(route.canary, row.canary);
      add_cell(route.stable, row.stable);
    }
    evidence_.routes.clear();
    for (const auto& [name, route] : routes_) evidence_.routes.push_back(route);
  }

  bool end(ReplayEnd how) {
    out_.end = how;
    return true;
  }

  const rollout::RolloutSpec& spec_;
  const rollout::TryStable try_stable_;
  std::unique_ptr<judge::Judge> judge_;
  judge::Evidence evidence_;
  std::map<std::string, RouteCounts> routes_;
  std::size_t step_ = 0;
  double step_minutes_ = 0;
  double minutes_ = 0;
  ReplayOutcome out_;
};

} // namespace

std::string_view to_string(ReplayEnd end) {
  switch (end) {
    case ReplayEnd::promoted: return "promoted";
    case ReplayEnd::rolled_back: return "rolled back";
    case ReplayEnd::inconclusive: return "inconclusive";
    case ReplayEnd::no_data: return "no data";
  }
  return "no data";
}

ReplayOutcome replay_cells(const rollout::RolloutSpec& spec, const std::vector<CountCell>& cells,
                           rollout::TryStable try_stable) {
  if (spec.steps.empty()) return {};
  Player player(spec, try_stable);
  const bool ended =
      std::ranges::any_of(cells, [&](const auto& cell) { return player.play(cell); });
  return std::move(player).finish(ended);
}

std::int64_t longest_ms(const rollout::RolloutSpec& spec) {
  std::int64_t out = 0;
  for (const auto& step : spec.steps) {
    const auto extension = spec.extend_ms > 0 ? spec.extend_ms : step.analyze_ms;
    out += step.analyze_ms + spec.max_extends * extension;
  }
  return out;
}

std::vector<PastRelease> find_releases(const std::vector<promql::Series>& seen,
                                       std::int64_t gap_ms) {
  std::vector<PastRelease> out;
  for (const auto& series : seen) {
    const std::string version(series.labels.get("service_version"));
    bool open = false;
    for (const auto& point : series.floats) {
      if (!open || point.time_ms - out.back().to_ms > gap_ms)
        out.push_back({version, point.time_ms, point.time_ms});
      open = true;
      out.back().to_ms = point.time_ms;
    }
  }
  std::ranges::stable_sort(out, {}, &PastRelease::from_ms);
  return out;
}

} // namespace coalmine::lab
