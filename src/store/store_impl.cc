// SPDX-License-Identifier: Apache-2.0
#include "store/store_impl.h"

#include <algorithm>
#include <shared_mutex>
#include <utility>

#include "store/loader.h"
#include "store/series/head.h"

namespace coalmine::store {

Result<std::unique_ptr<Store>> open_store(Options options, const Clock& clock, SelfMetrics& metrics,
                                          std::unique_ptr<Database> database) {
  auto store = std::make_unique<StoreImpl>(options, clock, metrics, std::move(database));
  TRY(store->load());
  return store;
}

StoreImpl::StoreImpl(const Options& options, const Clock& clock, SelfMetrics& metrics,
                     std::unique_ptr<Database> database)
    : directory_(options.directory),
      clock_(clock),
      database_(std::move(database)),
      damage_(metrics, options.directory),
      contents_(options.max_series_per_service, options.failures),
      series_({*database_, damage_}, contents_.locks, contents_.series),
      columns_({*database_, damage_}, contents_.locks, contents_.series, series_),
      spans_({*database_, damage_}, contents_.locks, contents_.spans),
      appender_({options.retention_ms, options.accept_late_ms, options.accept_future_ms,
                 options.on_arrival},
                clock, {*database_, damage_}, contents_, metrics),
      ends_(options.ended_after_intervals, clock.wall_ms(), *database_, contents_),
      sealer_(*database_, contents_.locks, contents_.series, contents_.log),
      copier_(*database_, contents_.locks, contents_.series, contents_.log, options.snapshot_bytes),
      span_upkeep_(
          {*database_, damage_}, contents_.locks, contents_.spans,
          options.span_budget_bytes > 0 ? options.span_budget_bytes : options.retention_bytes / 2),
      retention_({options.retention_ms, options.retention_bytes}, *database_, contents_,
                 appender_) {}

Status StoreImpl::load() {
  TRY(Loader(directory_, {*database_, damage_}, contents_).load());
  appender_.restore();
  return {};
}

std::vector<Presence> StoreImpl::presence() const {
  std::shared_lock lock(contents_.locks.state);
  return contents_.presence.all();
}

std::uint64_t StoreImpl::arrivals(std::string_view service, std::string_view version) const {
  std::shared_lock lock(contents_.locks.state);
  return contents_.presence.arrivals(service, version);
}

StoreStats StoreImpl::stats() const {
  StoreStats out;
  out.disk_bytes = database_->disk_bytes();
  std::shared_lock lock(contents_.locks.state);
  const auto& head = contents_.series.head;
  const auto& segments = contents_.spans.segments;
  out.series = contents_.series.index.size();
  out.head_samples = head.sample_count();
  out.oldest_ms = head.oldest_ms();
  out.newest_ms = std::max(head.newest_ms(), segments.newest_start_ms());
  if (const auto oldest = segments.oldest_received_ms();
      oldest && (out.oldest_ms == 0 || *oldest < out.oldest_ms))
    out.oldest_ms = *oldest;
  return out;
}

Status StoreImpl::maintain() {
  std::lock_guard one_at_a_time(upkeep_mutex_);
  const std::int64_t now_ms = clock_.wall_ms();
  // A failed step does not stop the others. On a full disk nothing can be sealed or merged, and old
  // data must be dropped all the more.
  Status first;
  const auto step = [&first](Status done) {
    if (first) first = std::move(done);
  };
  step(ends_.mark_silent(now_ms));
  step(sealer_.seal(now_ms));
  step(copier_.copy_if_due());
  step(span_upkeep_.merge());
  step(retention_.drop_expired(now_ms));
  step(span_upkeep_.keep_budget(block_of(now_ms)));
  step(retention_.shrink(now_ms));
  step(retention_.drop_dead(now_ms));
  appender_.refresh(now_ms);
  contents_.series.selectors.forget_unused();
  return first;
}

Status StoreImpl::snapshot() {
  std::lock_guard one_at_a_time(upkeep_mutex_);
  return copier_.copy();
}

} // namespace coalmine::store
