// SPDX-License-Identifier: Apache-2.0
#include "rollout/evidence/metric_reader.h"

#include <algorithm>
#include <deque>
#include <exception>
#include <iterator>
#include <utility>

#include "rollout/evidence/cohort_selector.h"

namespace coalmine::rollout {
namespace {

using What = MetricWindow::What;

// An answer that did not come costs the time that was waited for it.
bool waited_in_vain(const Error& error) {
  return error.code == ErrorCode::deadline_exceeded || error.code == ErrorCode::unavailable;
}

// More of a part than of its whole in a cell is two exports that came apart; in the long run it is
// no ratio. A small excess is cut off by the judge.
bool is_no_ratio(const MetricTrack& track) {
  return track.count > 20 && track.amount > 1.5 * track.count;
}

class MetricFeed final : public EvidenceFeed {
 public:
  MetricFeed(std::unique_ptr<EvidenceFeed> cells, const cohort::MetricSource& source,
             MetricScope scope, const KeptPast* past)
      : cells_(std::move(cells)), reader_(source, std::move(scope)) {
    if (past == nullptr) return;
    for (const auto& cell : past->newest) {
      reader_.recall(cell);
      if (cell.baseline) continue;
      if (block_cells_ == 0) block_from_ms_ = cell.from_ms;
      block_cells_ = reader_.has_values(cell) ? 0 : block_cells_ + 1;
    }
  }

  // New cells are asked for when all earlier ones have been given out: what waits is at most what
  // one read of the cells brought.
  Result<std::vector<CountCell>> read(const FeedView& view, std::int64_t now_ms) override {
    if (waiting_.empty()) {
      TRY_ASSIGN(auto fresh, cells_->read(view, now_ms));
      std::ranges::move(fresh, std::back_inserter(waiting_));
    }
    reader_.begin_look(now_ms);
    std::vector<CountCell> out;
    for (std::size_t filled = 0; !waiting_.empty() && filled < kMostFilled;) {
      auto& cell = waiting_.front();
      if (!cell.baseline) ++filled;
      fill(cell);
      out.push_back(std::move(cell));
      waiting_.pop_front();
    }
    return out;
  }

  std::int64_t read_until_ms() const override {
    return waiting_.empty() ? cells_->read_until_ms() : waiting_.front().from_ms;
  }
  bool caught_up() const override { return waiting_.empty() && cells_->caught_up(); }
  judge::TrackTotals totals_since(std::int64_t from_ms) const override {
    return cells_->totals_since(from_ms);
  }
  double requests_since(Track track, std::int64_t from_ms) const override {
    return cells_->requests_since(track, from_ms);
  }
  double awaited_since(std::int64_t from_ms) const override {
    return cells_->awaited_since(from_ms);
  }
  bool counts_sampled() const override { return cells_->counts_sampled(); }
  FeedProgress progress(Track track) const override { return cells_->progress(track); }
  TrackInstances instances(Track track, std::int64_t grace_ms) const override {
    return cells_->instances(track, grace_ms);
  }
  FeedMemory memory() const override { return cells_->memory(); }

 private:
  void fill(CountCell& cell) {
    if (cell.baseline) {
      if (past_from_ms_ == 0) past_from_ms_ = cell.from_ms;
      const bool last = waiting_.size() < 2 || !waiting_[1].baseline;
      if (!last) return;
      cell.metrics = reader_.read({.what = What::counters,
                                   .from_ms = past_from_ms_,
                                   .to_ms = cell.to_ms,
                                   .stable_alone = true});
      past_from_ms_ = cell.to_ms;
      return;
    }
    if (block_cells_ == 0) block_from_ms_ = cell.from_ms;
    const bool values = block_cells_ + 1 >= kValueCells;
    // Counts of a time in which the split was moved mix two splits, like those of requests. A value
    // does not.
    if (cell.mixed) {
      reader_.give_up_before(cell.to_ms);
    } else {
      cell.metrics = reader_.read(
          {.what = What::counters, .from_ms = cell.from_ms, .to_ms = cell.to_ms, .catch_up = true});
    }
    if (values) {
      auto more =
          reader_.read({.what = What::expressions, .from_ms = block_from_ms_, .to_ms = cell.to_ms});
      std::ranges::move(more, std::back_inserter(cell.metrics));
    }
    block_cells_ = values ? 0 : block_cells_ + 1;
  }

  const std::unique_ptr<EvidenceFeed> cells_;
  MetricReader reader_;
  std::deque<CountCell> waiting_;
  std::int64_t past_from_ms_ = 0;
  std::int64_t block_from_ms_ = 0;
  std::size_t block_cells_ = 0;
};

} // namespace

MetricReader::MetricReader(const cohort::MetricSource& source, MetricScope scope)
    : source_(source), scope_(std::move(scope)) {
  for (const auto& spec : scope_.spec->metrics) {
    const auto signal =
        std::ranges::find(scope_.spec->signals, spec.name, &judge::SignalSpec::name);
    auto& metric = metrics_.emplace_back();
    metric.spec = spec;
    metric.is_ratio =
        signal != scope_.spec->signals.end() && signal->kind == judge::SignalKind::ratio;
  }
}

void MetricReader::begin_look(std::int64_t now_ms) {
  now_ms_ = now_ms;
  in_vain_ = false;
}

Result<MetricTrack> MetricReader::ask(const Metric& metric, Track track,
                                      const MetricWindow& window) const {
  const auto& spec = *scope_.spec;
  const auto& version = track == Track::canary ? scope_.canary_version : scope_.stable_version;
  MetricTrack out;
  if (!metric.spec.promql.empty()) {
    const cohort::SignalScope of{.service = spec.service,
                                 .track = track == Track::canary ? "canary" : "stable",
                                 .version = version,
                                 .window_ms = window.to_ms - window.from_ms};
    TRY_ASSIGN(const auto value, source_.value(metric.spec.promql, of, window.to_ms));
    if (value) out = {true, *value, 1};
    return out;
  }
  const auto from_ms = window.catch_up && metric.unread_ms != 0 ? metric.unread_ms : window.from_ms;
  TRY_ASSIGN(const auto counts,
             source_.ratio(cohort_selector(spec, track, version), metric.spec.part,
                           metric.spec.whole, from_ms, window.to_ms));
  return MetricTrack{counts.any_series, counts.part, counts.whole};
}

Result<MetricTrack> MetricReader::ask_safely(const Metric& metric, Track track,
                                             const MetricWindow& window) const {
  try {
    return ask(metric, track, window);
  } catch (const std::exception& e) {
    return fail(ErrorCode::internal, std::string("the metric could not be read: ") + e.what());
  }
}

void MetricReader::failed(Metric& metric, const Error& error) {
  metric.problem = error.message.empty() ? std::string(to_string(error.code)) : error.message;
  metric.wait_ms = std::clamp(2 * metric.wait_ms, kAskAgainMs, kLongestWaitMs);
  metric.ask_at_ms = now_ms_ + metric.wait_ms;
}

bool MetricReader::read_one(Metric& metric, const MetricWindow& window, MetricNumbers& numbers) {
  bool in_vain = false;
  if (may_ask(metric)) {
    metric.problem.clear();
    for (const auto track : kBothTracks) {
      if (track == Track::canary && window.stable_alone) continue;
      auto read = ask_safely(metric, track, window);
      if (!read) {
        failed(metric, read.error());
        in_vain = waited_in_vain(read.error());
        break;
      }
      (track == Track::canary ? numbers.canary : numbers.stable) = *read;
    }
    if (metric.problem.empty()) metric.wait_ms = 0;
  }
  numbers.problem = metric.problem;
  if (!numbers.problem.empty()) numbers.canary = numbers.stable = {};
  if (window.catch_up && metric.problem.empty()) metric.unread_ms = 0;
  if (window.catch_up && !metric.problem.empty() && metric.unread_ms == 0)
    metric.unread_ms = window.from_ms;
  if (metric.is_ratio && (is_no_ratio(numbers.canary) || is_no_ratio(numbers.stable))) {
    numbers.problem = metric.spec.part + " grows faster than " + metric.spec.whole +
                      ", so it cannot be a part of it";
  }
  return !in_vain;
}

std::vector<MetricNumbers> MetricReader::read(const MetricWindow& window) {
  std::vector<MetricNumbers> out;
  const auto begin = first_;
  for (std::size_t n = 0; n < metrics_.size(); ++n) {
    const auto index = (begin + n) % metrics_.size();
    auto& metric = metrics_[index];
    if (metric.spec.promql.empty() != (window.what == What::counters)) continue;
    if (in_vain_ && may_ask(metric) && window.catch_up) { // its turn comes with the next cell
      if (metric.unread_ms == 0) metric.unread_ms = window.from_ms;
      continue;
    }
    auto& numbers = out.emplace_back();
    numbers.signal = metric.spec.name;
    if (in_vain_ && may_ask(metric)) {
      numbers.problem = "it was not asked for, because another metric was waited for in vain";
      continue;
    }
    if (read_one(metric, window, numbers)) continue;
    in_vain_ = true;
    first_ = (index + 1) % metrics_.size();
  }
  return out;
}

void MetricReader::give_up_before(std::int64_t to_ms) {
  for (auto& metric : metrics_) {
    if (metric.unread_ms != 0) metric.unread_ms = to_ms;
  }
}

bool MetricReader::has_values(const CountCell& cell) const {
  return std::ranges::any_of(metrics_, [&](const Metric& metric) {
    return !metric.spec.promql.empty() &&
           std::ranges::find(cell.metrics, metric.spec.name, &MetricNumbers::signal) !=
               cell.metrics.end();
  });
}

void MetricReader::recall(const CountCell& cell) {
  if (cell.baseline) return;
  if (cell.mixed) return give_up_before(cell.to_ms);
  for (auto& metric : metrics_) {
    if (!metric.spec.promql.empty()) continue;
    const auto it = std::ranges::find(cell.metrics, metric.spec.name, &MetricNumbers::signal);
    // Counts with a problem were read, and are no ratio.
    const bool read = it != cell.metrics.end() &&
                      (it->problem.empty() || it->canary.has_data || it->stable.has_data);
    if (read) {
      metric.unread_ms = 0;
    } else if (metric.unread_ms == 0) {
      metric.unread_ms = cell.from_ms;
    }
  }
}

std::vector<MetricNumbers> MetricReader::read_window(std::int64_t from_ms, std::int64_t to_ms,
                                                     std::int64_t now_ms) {
  begin_look(now_ms);
  auto out = read({.what = What::counters, .from_ms = from_ms, .to_ms = to_ms});
  auto values = read({.what = What::expressions, .from_ms = from_ms, .to_ms = to_ms});
  std::ranges::move(values, std::back_inserter(out));
  return out;
}

std::unique_ptr<EvidenceFeed> make_metric_feed(std::unique_ptr<EvidenceFeed> cells,
                                               const cohort::MetricSource& source,
                                               MetricScope scope, const KeptPast* past) {
  return std::make_unique<MetricFeed>(std::move(cells), source, std::move(scope), past);
}

} // namespace coalmine::rollout
