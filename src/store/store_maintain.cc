// Upkeep: old samples into chunks, the covered log away, retention by time and size, dead series.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <mutex>

#include "base/log.h"
#include "store/disk/meta_rows.h"
#include "store/series/head_snapshot.h"
#include "store/series/shared_times.h"
#include "store/store_impl.h"

namespace coalmine::store {
namespace {

// Series sealed under one hold of the write lock.
constexpr std::size_t kSealSlice = 512;
// Bytes on disk that nothing needs any more and that are worth rewriting what is beside them.
constexpr std::uint64_t kWorthRewriting = 1 << 20;

} // namespace

Status StoreImpl::maintain() {
  std::lock_guard one_at_a_time(maintain_mutex_);
  const std::int64_t now_ms = clock_.wall_ms();
  // Each does what it can: on a full disk nothing can be sealed or merged, and dropping what is old
  // is all the more needed.
  Status first;
  const auto step = [&first](Status done) {
    if (first) first = std::move(done);
  };
  step(end_silent_instances(now_ms));
  step(seal(now_ms));
  step(take_snapshot());
  step(merge_segments());
  step(apply_retention(now_ms));
  step(keep_span_budget(now_ms));
  step(shrink(now_ms));
  step(drop_dead_series(now_ms));
  return first;
}

// Pushed telemetry has no scrape that fails: without markers an instance that is gone goes on being
// counted by instant queries for as long as they look back.
Status StoreImpl::end_silent_instances(std::int64_t now_ms) {
  constexpr std::int64_t kLeastMs = 60'000;
  if (options_.ended_after_intervals <= 0) return {};
  std::lock_guard lock(write_mutex_);
  std::map<std::string, std::int64_t> silent; // by instance_key: their last export
  for (const auto& [key, row] : presence_.rows()) {
    const auto patience = std::max(
        kLeastMs, static_cast<std::int64_t>(options_.ended_after_intervals *
                                            static_cast<double>(row.presence.export_interval_ms)));
    if (row.presence.export_interval_ms == 0 ||
        now_ms - std::max(row.last_export_ms, opened_ms_) <= patience)
      continue;
    silent.emplace(instance_key(row.presence), row.last_export_ms);
  }
  if (silent.empty()) return {};
  std::vector<StagedSample> markers;
  index_.for_each([&](const SeriesInfo& info) {
    const auto* series = head_.find(info.id);
    if (series == nullptr || series->samples.empty() || series->samples.ends_stale()) return;
    const auto at = silent.find(instance_key(*info.labels));
    if (at == silent.end() || series->samples.last_ms() >= now_ms) return;
    markers.push_back({info.id, stale_marker(info.kind, now_ms, series->samples.last_start_ms())});
  });
  if (markers.empty()) return {};
  auto bytes = encode_record(markers);
  const std::size_t size = bytes.size();
  WriteSet writes;
  writes.put(Family::log, number_key(next_record_), std::move(bytes));
  TRY(database_->write(writes));
  std::unique_lock state(state_mutex_);
  log_records_.emplace_back(next_record_++, now_ms);
  log_bytes_ += size;
  for (const auto& [series, sample] : markers) (void)head_.upsert(series, sample);
  return {};
}

// Sealing goes by whole blocks, so that a block of a series is one chunk. It may be cut short at
// any point: a sample that is in a chunk and in the log too is the same sample twice.
Status StoreImpl::seal(std::int64_t now_ms) {
  const std::int64_t cutoff_ms = block_of(now_ms - kSealAgeMs);
  std::vector<SeriesId> ids;
  std::uint64_t seal_record = 0;
  {
    std::lock_guard lock(write_mutex_);
    if (cutoff_ms <= sealed_before_ms_) return {};
    seal_record = next_record_;
    ids = head_.with_samples_before(cutoff_ms);
  }
  for (std::size_t begin = 0; begin < ids.size(); begin += kSealSlice) {
    TRY(seal_slice(ids.data() + begin, ids.data() + std::min(ids.size(), begin + kSealSlice),
                   cutoff_ms));
  }
  return finish_seal(seal_record, cutoff_ms);
}

Status StoreImpl::seal_slice(const SeriesId* begin, const SeriesId* end, std::int64_t cutoff_ms) {
  std::lock_guard lock(write_mutex_);
  std::vector<SealedChunk> sealed;
  std::map<std::int64_t, std::vector<ChunkEntry>> by_block;
  const std::uint64_t first_number = next_chunk_;
  for (const auto* id = begin; id != end; ++id) {
    const auto* series = head_.find(*id);
    if (series == nullptr) continue;
    // A run is cut at blocks, so that late samples of an older block do not stretch a chunk over
    // several.
    for (SampleRun rest = series->samples.slice(INT64_MIN, cutoff_ms - 1); !rest.empty();) {
      const std::int64_t block = block_of(rest.first_ms());
      for (auto& chunk : encode_chunks(rest.slice(block, block + kBlockMs - 1))) {
        const ChunkEntry entry{*id, {chunk.min_ms, chunk.max_ms, next_chunk_++}};
        by_block[block].push_back(entry);
        sealed.push_back({entry, std::move(chunk)});
      }
      rest.drop_before(block + kBlockMs);
    }
  }
  if (sealed.empty()) return {};
  WriteSet writes;
  put_chunks(sealed, writes);
  for (const auto& [block, entries] : by_block) {
    writes.put(Family::chunks, chunk_list_key(block, entries.front().ref.number),
               encode_chunk_list(entries));
  }
  if (auto written = database_->write(writes); !written) {
    next_chunk_ = first_number;
    return written;
  }
  std::unique_lock state(state_mutex_);
  for (const auto& [block, entries] : by_block) {
    for (const auto& entry : entries) head_.add_chunk(entry.series, entry.ref);
  }
  for (const auto* id = begin; id != end; ++id) head_.drop_samples_before(*id, cutoff_ms);
  return {};
}

Status StoreImpl::finish_seal(std::uint64_t seal_record, std::int64_t cutoff_ms) {
  std::lock_guard lock(write_mutex_);
  std::size_t covered = 0;
  while (covered < log_records_.size() && log_records_[covered].first < seal_record &&
         log_records_[covered].second < cutoff_ms)
    ++covered;
  WriteSet writes;
  writes.put(Family::meta, std::string(kSealKey),
             number_row(seal_record, static_cast<std::uint64_t>(cutoff_ms)));
  if (covered > 0)
    writes.erase_range(Family::log, "", number_key(log_records_[covered - 1].first + 1));
  TRY(database_->write(writes));
  seal_record_ = seal_record;
  sealed_before_ms_ = cutoff_ms;
  sealed_since_copy_ = true;
  log_records_.erase(log_records_.begin(),
                     log_records_.begin() + static_cast<std::ptrdiff_t>(covered));
  return {};
}

Status StoreImpl::take_snapshot() {
  {
    std::lock_guard lock(write_mutex_);
    const bool log_is_long = log_bytes_ >= std::max(options_.snapshot_bytes, snapshot_bytes_ / 2);
    const bool kept_twice = sealed_since_copy_ && snapshot_bytes_ >= kWorthRewriting;
    if (!log_is_long && !kept_twice) return {};
  }
  return copy_head();
}

Status StoreImpl::snapshot() {
  std::lock_guard one_at_a_time(maintain_mutex_);
  return copy_head();
}

// Slice by slice, each with the number of the first record that is not in it, so that writers wait
// for one slice at most. When all are there, no record from before the first of them is needed any
// more.
Status StoreImpl::copy_head() {
  std::uint64_t begin = 0;
  std::uint64_t log_bytes = 0;
  std::uint64_t slices = 0;
  {
    std::lock_guard lock(write_mutex_);
    begin = next_record_;
    log_bytes = log_bytes_;
    slices = (head_.end() + kSliceSeries - 1) / kSliceSeries;
  }
  std::uint64_t bytes = 0;
  for (std::uint64_t slice = 0; slice < slices; ++slice) TRY(copy_slice(slice, bytes));
  std::uint64_t replaced = 0;
  {
    std::lock_guard lock(write_mutex_);
    std::size_t covered = 0;
    while (covered < log_records_.size() && log_records_[covered].first < begin) ++covered;
    if (covered > 0) {
      WriteSet writes;
      writes.erase_range(Family::log, "", number_key(begin));
      TRY(database_->write(writes));
      log_records_.erase(log_records_.begin(),
                         log_records_.begin() + static_cast<std::ptrdiff_t>(covered));
    }
    log_bytes_ -= log_bytes;
    replaced = snapshot_bytes_;
    snapshot_bytes_ = bytes;
    sealed_since_copy_ = false;
  }
  // What was just written is in RocksDB's own log too, which a start replays as well.
  TRY(database_->flush());
  if (replaced >= kWorthRewriting) TRY(database_->compact(Family::head));
  if (log_bytes >= kWorthRewriting) TRY(database_->compact(Family::log));
  return {};
}

Status StoreImpl::copy_slice(std::uint64_t slice, std::uint64_t& bytes) {
  std::lock_guard lock(write_mutex_);
  std::vector<std::pair<SeriesId, const OpenRun*>> runs;
  for (std::uint64_t id = slice * kSliceSeries; id < (slice + 1) * kSliceSeries; ++id) {
    const auto* series = head_.find(SeriesId{id});
    if (series != nullptr && !series->samples.empty())
      runs.emplace_back(SeriesId{id}, &series->samples);
  }
  const auto at = static_cast<std::size_t>(slice);
  if (at >= slice_records_.size()) slice_records_.resize(at + 1);
  if (runs.empty() && slice_records_[at] == 0)
    return {}; // there is no older copy that could come back
  WriteSet writes;
  writes.put(Family::head, number_key(slice), encode_head_slice(next_record_, runs));
  bytes += writes.ops().front().value.size();
  TRY(database_->write(writes));
  slice_records_[at] = next_record_;
  return {};
}

Status StoreImpl::apply_retention(std::int64_t now_ms) {
  return drop_older(now_ms - options_.retention_ms, false);
}

Status StoreImpl::drop_older(std::int64_t time_ms, bool reclaim) {
  const std::int64_t block = block_of(time_ms);
  WriteSet writes;
  {
    std::lock_guard lock(write_mutex_);
    const auto oldest_block = head_.oldest_block();
    const auto oldest_segment = segments_.oldest_received_ms();
    const bool chunks = oldest_block && *oldest_block < block;
    const bool spans = oldest_segment && *oldest_segment < time_ms;
    const auto stale = head_.with_samples_before(time_ms);
    if (chunks) {
      for (const char kind : {'c', 'l', 't'})
        writes.erase_range(Family::chunks, std::string(1, kind), block_key(kind, block));
    }
    if (spans) {
      for (const char kind : {'s', 'd'})
        writes.erase_range(Family::spans, std::string(1, kind), segment_bound(kind, time_ms));
    }
    if (!writes.empty()) TRY(database_->write(writes));
    std::unique_lock state(state_mutex_);
    if (chunks) head_.drop_chunks_before(time_ms);
    if (spans) segments_.drop_before(time_ms);
    for (const auto id : stale) head_.drop_samples_before(id, time_ms);
  }
  if (!reclaim) return {};
  for (const auto& op : writes.ops()) TRY(database_->reclaim(op.family, op.key, op.value));
  return {};
}

// The oldest block goes first, of chunks and spans alike, until the directory fits or there is
// nothing left that may go.
Status StoreImpl::shrink(std::int64_t now_ms) {
  // Half of it may be log files whose content is in data files, or could be.
  if (database_->disk_bytes() > options_.retention_bytes) TRY(database_->flush());
  while (database_->disk_bytes() > options_.retention_bytes) {
    std::optional<std::int64_t> oldest;
    {
      std::lock_guard lock(write_mutex_);
      oldest = head_.oldest_block();
      if (const auto segment = segments_.oldest_received_ms();
          segment && (!oldest || *segment < *oldest))
        oldest = block_of(*segment);
    }
    // The present block stays: a store that is too small for it has to be made larger.
    if (!oldest || *oldest + kBlockMs > block_of(now_ms)) break;
    log_info("retention by size drops the oldest telemetry",
             {{"before_ms", std::to_string(*oldest + kBlockMs)}});
    TRY(drop_older(*oldest + kBlockMs, true));
  }
  return {};
}

Status StoreImpl::drop_dead_series(std::int64_t now_ms) {
  std::lock_guard lock(write_mutex_);
  std::vector<SeriesId> dead;
  index_.for_each([&](const SeriesInfo& info) {
    const auto* series = head_.find(info.id);
    if (series == nullptr || (series->samples.empty() && series->chunks.empty()))
      dead.push_back(info.id);
  });
  const auto gone = presence_.older_than(now_ms - options_.retention_ms);
  if (dead.empty() && gone.empty()) return {};
  WriteSet writes;
  for (const auto id : dead) writes.erase(Family::series, number_key(id.value));
  for (const auto& key : gone) writes.erase(Family::meta, std::string(kPresencePrefix) + key);
  writes.put(Family::meta, std::string(kNextSeriesKey), number_row(index_.next_id().value));
  TRY(database_->write(writes));
  if (!dead.empty()) ingest_.forget(); // it holds pointers into the index
  std::unique_lock state(state_mutex_);
  index_.remove(dead);
  for (const auto id : dead) head_.erase(id);
  for (const auto& key : gone) presence_.erase(key);
  return {};
}

} // namespace coalmine::store
