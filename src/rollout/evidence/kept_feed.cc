// SPDX-License-Identifier: Apache-2.0
#include "rollout/evidence/kept_feed.h"

#include <algorithm>
#include <cmath>
#include <deque>
#include <iterator>
#include <numeric>
#include <utility>

#include "rollout/evidence/closed_totals.h"

namespace coalmine::rollout {
namespace {

// More than any service counts in a cell, and exact.
constexpr double kMostCounted = 1e12;

double rounded_count(double value) {
  if (!(value > 0)) return 0; // NaN too
  return std::round(std::min(value, kMostCounted) / kCountUnit) * kCountUnit;
}

// Returns their sum. Counts that do not fit the bounds are dropped.
double round_buckets(const BucketBounds& bounds, std::vector<double>& counts) {
  if (bounds == nullptr || counts.size() != bounds->size() + 1) counts.clear();
  double sum = 0;
  double given = 0;
  for (auto& count : counts) {
    if (!(count > 0)) {
      count = 0;
      continue;
    }
    sum += count;
    const double up_to = rounded_count(sum);
    count = up_to - given;
    given = up_to;
  }
  return given;
}

void round_track(TrackCounts& counts) {
  for (auto* value : {&counts.requests, &counts.errors, &counts.sum_ms, &counts.warming_requests,
                      &counts.warming_errors, &counts.answered, &counts.client_errors}) {
    *value = rounded_count(*value);
  }
  counts.timed = round_buckets(counts.bounds_ms, counts.bucket_counts);
}

class KeptFeed final : public EvidenceFeed {
 public:
  KeptFeed(std::unique_ptr<CellRecord> record, FeedBehind behind)
      : record_(std::move(record)), behind_(std::move(behind)) {}

  Result<std::vector<CountCell>> read(const FeedView& view, std::int64_t now_ms) override {
    reads_in_vain_ = false;
    std::vector<CountCell> out;
    if (feed_ == nullptr) {
      const auto recalled = recall(out);
      if (!recalled && out.empty()) return std::unexpected(recalled.error());
      if (feed_ == nullptr) return out; // the next read goes on
    }
    auto fresh = feed_->read(view, now_ms);
    if (!fresh) {
      reads_in_vain_ = true;
      if (out.empty()) return fresh;
      return out; // the next read says why there are no more
    }
    for (auto& cell : *fresh) {
      round_counts(cell);
      give(cell);
    }
    if (!fresh->empty()) record_->keep(*fresh, feed_->memory());
    std::ranges::move(*fresh, std::back_inserter(out));
    return out;
  }

  std::int64_t read_until_ms() const override {
    return feed_ == nullptr ? given_until_ms_ : feed_->read_until_ms();
  }
  bool caught_up() const override {
    return feed_ != nullptr && !reads_in_vain_ && feed_->caught_up();
  }

  judge::TrackTotals totals_since(std::int64_t from_ms) const override {
    auto out = totals_.since(from_ms, ClosedTotals::Cells::comparable);
    if (feed_ == nullptr) return out;
    const auto more = feed_->totals_since(std::max(from_ms, given_until_ms_));
    out.canary_requests += more.canary_requests;
    out.canary_errors += more.canary_errors;
    out.stable_requests += more.stable_requests;
    out.stable_errors += more.stable_errors;
    out.minutes += more.minutes;
    return out;
  }
  double requests_since(Track track, std::int64_t from_ms) const override {
    const auto given = totals_.since(from_ms, ClosedTotals::Cells::all);
    const double waiting =
        feed_ == nullptr ? 0 : feed_->requests_since(track, std::max(from_ms, given_until_ms_));
    return (track == Track::canary ? given.canary_requests : given.stable_requests) + waiting;
  }
  double awaited_since(std::int64_t from_ms) const override {
    return feed_ == nullptr ? 0 : feed_->awaited_since(from_ms);
  }
  bool counts_sampled() const override { return counts_sampled_; }
  FeedProgress progress(Track track) const override {
    return feed_ == nullptr ? FeedProgress() : feed_->progress(track);
  }
  TrackInstances instances(Track track, std::int64_t grace_ms) const override {
    return feed_ == nullptr ? TrackInstances() : feed_->instances(track, grace_ms);
  }
  FeedMemory memory() const override { return feed_ == nullptr ? FeedMemory() : feed_->memory(); }

 private:
  // Gives out kept cells. When none are left, the feed behind them is made.
  Status recall(std::vector<CountCell>& out) {
    while (out.size() < kMostRecalled) {
      TRY_ASSIGN(auto page, record_->next());
      for (auto& cell : page.cells) {
        give(cell);
        newest_.push_back(cell);
        if (newest_.size() > kNewestKept) newest_.pop_front();
        out.push_back(std::move(cell));
      }
      if (!page.is_last) continue;
      std::shared_ptr<KeptPast> past;
      if (!newest_.empty()) {
        past = std::make_shared<KeptPast>();
        past->newest.assign(newest_.begin(), newest_.end());
        past->memory = std::move(page.memory);
      }
      newest_.clear();
      feed_ = behind_(std::move(past));
      return {};
    }
    return {};
  }

  void give(const CountCell& cell) {
    totals_.add(cell);
    counts_sampled_ = !cell.total.sampled().empty();
    given_until_ms_ = cell.to_ms;
  }

  const std::unique_ptr<CellRecord> record_;
  const FeedBehind behind_;
  std::unique_ptr<EvidenceFeed> feed_; // null: kept cells are being given out
  std::deque<CountCell> newest_;
  ClosedTotals totals_;
  std::int64_t given_until_ms_ = 0;
  bool counts_sampled_ = false; // in the newest cell given out
  bool reads_in_vain_ = false;
};

} // namespace

void round_counts(CountCell& cell) {
  round_track(cell.total.canary);
  round_track(cell.total.stable);
  for (auto& row : cell.routes) {
    round_track(row.canary);
    round_track(row.stable);
    for (auto& part : row.parts) {
      part.requests = rounded_count(part.requests);
      part.errors = rounded_count(part.errors);
    }
  }
  for (auto& one : cell.instances) {
    one.requests = rounded_count(one.requests);
    one.errors = rounded_count(one.errors);
    (void)round_buckets(cell.total.of(one.track).bounds_ms, one.bucket_counts);
  }
}

std::unique_ptr<EvidenceFeed> make_kept_feed(std::unique_ptr<CellRecord> record,
                                             FeedBehind behind) {
  return std::make_unique<KeptFeed>(std::move(record), std::move(behind));
}

} // namespace coalmine::rollout
