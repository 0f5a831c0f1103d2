// SPDX-License-Identifier: Apache-2.0
#include "rollout/evidence/metric_reader.h"

#include <algorithm>
#include <utility>

#include "rollout/evidence/cohort_selector.h"

namespace coalmine::rollout {
namespace {

using What = MetricWindow::What;

// Faults of the question, which asking again does not cure.
bool is_fault(const Error& error) {
  return error.code == ErrorCode::invalid_argument || error.code == ErrorCode::resource_exhausted;
}

class Question {
 public:
  Question(const cohort::MetricSource& source, const MetricScope& scope, std::int64_t from_ms,
           std::int64_t to_ms)
      : source_(source), scope_(scope), from_ms_(from_ms), to_ms_(to_ms) {}

  Result<MetricTrack> read(const MetricSpec& metric, Track track) const {
    const auto& spec = *scope_.spec;
    const auto& version = track == Track::canary ? scope_.canary_version : scope_.stable_version;
    MetricTrack out;
    if (!metric.promql.empty()) {
      const cohort::SignalScope of{.service = spec.service,
                                   .track = track == Track::canary ? "canary" : "stable",
                                   .version = version,
                                   .window_ms = to_ms_ - from_ms_};
      TRY_ASSIGN(const auto value, source_.value(metric.promql, of, to_ms_));
      if (value) out = {true, *value, 1};
      return out;
    }
    TRY_ASSIGN(const auto counts, source_.ratio(cohort_selector(spec, track, version), metric.part,
                                                metric.whole, from_ms_, to_ms_));
    return MetricTrack{counts.any_series, counts.part, counts.whole};
  }

 private:
  const cohort::MetricSource& source_;
  const MetricScope& scope_;
  const std::int64_t from_ms_;
  const std::int64_t to_ms_;
};

// More of a part than of its whole in a cell is two exports that came apart; in the long run it is
// no ratio. A small excess is cut off by the judge.
bool is_no_ratio(const MetricTrack& track) {
  return track.count > 20 && track.amount > 1.5 * track.count;
}

class MetricFeed final : public EvidenceFeed {
 public:
  MetricFeed(std::unique_ptr<EvidenceFeed> cells, const cohort::MetricSource& source,
             MetricScope scope)
      : cells_(std::move(cells)), source_(source), scope_(std::move(scope)) {}

  Result<std::vector<CountCell>> read(const FeedView& view, std::int64_t now_ms) override {
    TRY_ASSIGN(auto fresh, cells_->read(view, now_ms));
    for (auto& cell : fresh) waiting_.push_back(std::move(cell));
    std::vector<CountCell> out;
    while (!waiting_.empty()) {
      auto& cell = waiting_.front();
      if (const auto filled = fill(cell); !filled) {
        // What was filled is given; the rest is tried again at the next look.
        if (out.empty()) return std::unexpected(filled.error());
        break;
      }
      out.push_back(std::move(cell));
      waiting_.pop_front();
    }
    return out;
  }

  FeedTotals totals_since(std::int64_t from_ms) const override {
    return cells_->totals_since(from_ms);
  }
  FeedProgress progress(Track track) const override { return cells_->progress(track); }

 private:
  Status fill(CountCell& cell) {
    if (cell.baseline) {
      if (past_from_ms_ == 0) past_from_ms_ = cell.from_ms;
      const bool last = waiting_.size() < 2 || !waiting_[1].baseline;
      if (!last) return {};
      TRY_ASSIGN(cell.metrics, read_metrics(source_, scope_,
                                            {.what = What::counters,
                                             .from_ms = past_from_ms_,
                                             .to_ms = cell.to_ms,
                                             .stable_alone = true}));
      past_from_ms_ = cell.to_ms;
      return {};
    }
    if (block_cells_ == 0) block_from_ms_ = cell.from_ms;
    const bool values = block_cells_ + 1 >= kValueCells;
    // Counts of a time in which the split was moved mix two splits, like those of requests. A value
    // does not.
    if (!cell.mixed) {
      TRY_ASSIGN(
          cell.metrics,
          read_metrics(source_, scope_,
                       {.what = What::counters, .from_ms = cell.from_ms, .to_ms = cell.to_ms}));
    }
    if (values) {
      TRY_ASSIGN(auto more,
                 read_metrics(
                     source_, scope_,
                     {.what = What::expressions, .from_ms = block_from_ms_, .to_ms = cell.to_ms}));
      for (auto& m : more) cell.metrics.push_back(std::move(m));
    }
    block_cells_ = values ? 0 : block_cells_ + 1;
    return {};
  }

  const std::unique_ptr<EvidenceFeed> cells_;
  const cohort::MetricSource& source_;
  const MetricScope scope_;
  std::deque<CountCell> waiting_;
  std::int64_t past_from_ms_ = 0;
  std::int64_t block_from_ms_ = 0;
  std::size_t block_cells_ = 0;
};

} // namespace

Result<std::vector<MetricNumbers>> read_metrics(const cohort::MetricSource& source,
                                                const MetricScope& scope,
                                                const MetricWindow& window) {
  std::vector<MetricNumbers> out;
  const Question question(source, scope, window.from_ms, window.to_ms);
  for (const auto& metric : scope.spec->metrics) {
    if (metric.promql.empty() != (window.what == What::counters)) continue;
    MetricNumbers numbers;
    numbers.signal = metric.name;
    for (const auto track : kBothTracks) {
      if (track == Track::canary && window.stable_alone) continue;
      auto read = question.read(metric, track);
      if (!read && !is_fault(read.error())) return std::unexpected(read.error());
      if (!read) {
        numbers.problem = read.error().message;
      } else {
        (track == Track::canary ? numbers.canary : numbers.stable) = *read;
      }
    }
    const auto signal =
        std::ranges::find(scope.spec->signals, metric.name, &judge::SignalSpec::name);
    const bool ratio =
        signal != scope.spec->signals.end() && signal->kind == judge::SignalKind::ratio;
    if (ratio && (is_no_ratio(numbers.canary) || is_no_ratio(numbers.stable))) {
      numbers.problem =
          metric.part + " grows faster than " + metric.whole + ", so it cannot be a part of it";
    }
    out.push_back(std::move(numbers));
  }
  return out;
}

Result<std::vector<MetricNumbers>> read_window_metrics(const cohort::MetricSource& source,
                                                       const MetricScope& scope,
                                                       std::int64_t from_ms, std::int64_t to_ms) {
  TRY_ASSIGN(auto out, read_metrics(source, scope,
                                    {.what = What::counters, .from_ms = from_ms, .to_ms = to_ms}));
  TRY_ASSIGN(
      auto values,
      read_metrics(source, scope, {.what = What::expressions, .from_ms = from_ms, .to_ms = to_ms}));
  out.insert(out.end(), std::make_move_iterator(values.begin()),
             std::make_move_iterator(values.end()));
  return out;
}

std::unique_ptr<EvidenceFeed> make_metric_feed(std::unique_ptr<EvidenceFeed> cells,
                                               const cohort::MetricSource& source,
                                               MetricScope scope) {
  return std::make_unique<MetricFeed>(std::move(cells), source, std::move(scope));
}

} // namespace coalmine::rollout
