// SPDX-License-Identifier: Apache-2.0
#include "store/series/sealer.h"

#include <algorithm>
#include <map>
#include <mutex>
#include <string>

#include "store/disk/meta_rows.h"
#include "store/series/shared_times.h"

namespace coalmine::store {
namespace {

// Series sealed under one hold of the write lock.
constexpr std::size_t kSealSlice = 512;

} // namespace

// Whole blocks are sealed, so that each block of a series is one chunk. Sealing may stop at any
// point, because a sample may be in a chunk and in the log at once.
Status Sealer::seal(std::int64_t now_ms) {
  const std::int64_t cutoff_ms = block_of(now_ms - kSealAgeMs);
  std::vector<SeriesId> ids;
  std::uint64_t seal_record = 0;
  {
    std::lock_guard lock(locks_.write);
    if (cutoff_ms <= log_.seal().before_ms) return {};
    seal_record = log_.next();
    ids = state_.head.with_samples_before(cutoff_ms);
  }
  for (std::size_t begin = 0; begin < ids.size(); begin += kSealSlice) {
    TRY(seal_slice(ids.data() + begin, ids.data() + std::min(ids.size(), begin + kSealSlice),
                   cutoff_ms));
  }
  return finish_seal({seal_record, cutoff_ms});
}

Status Sealer::seal_slice(const SeriesId* begin, const SeriesId* end, std::int64_t cutoff_ms) {
  std::lock_guard lock(locks_.write);
  std::vector<SealedChunk> sealed;
  std::map<std::int64_t, std::vector<ChunkEntry>> by_block;
  const std::uint64_t first_number = state_.next_chunk;
  for (const auto* id = begin; id != end; ++id) {
    const auto* series = state_.head.find(*id);
    if (series == nullptr) continue;
    // A run is cut at blocks, so that late samples of an older block do not stretch a chunk over
    // several.
    for (SampleRun rest = series->samples.slice(INT64_MIN, cutoff_ms - 1); !rest.empty();) {
      const std::int64_t block = block_of(rest.first_ms());
      for (auto& chunk : encode_chunks(rest.slice(block, block + kBlockMs - 1))) {
        const ChunkEntry entry{*id, {chunk.min_ms, chunk.max_ms, state_.next_chunk++}};
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
  if (auto written = database_.write(writes); !written) {
    state_.next_chunk = first_number;
    return written;
  }
  std::unique_lock state(locks_.state);
  for (const auto& [block, entries] : by_block) {
    for (const auto& entry : entries) state_.head.add_chunk(entry.series, entry.ref);
  }
  for (const auto* id = begin; id != end; ++id) state_.head.drop_samples_before(*id, cutoff_ms);
  return {};
}

Status Sealer::finish_seal(Seal seal) {
  std::lock_guard lock(locks_.write);
  const auto needed_from = log_.needed_from(seal);
  WriteSet writes;
  writes.put(Family::meta, std::string(kSealKey),
             number_row(seal.record, static_cast<std::uint64_t>(seal.before_ms)));
  if (needed_from) writes.erase_range(Family::log, "", number_key(*needed_from));
  TRY(database_.write(writes));
  log_.set_seal(seal);
  if (needed_from) log_.drop_below(*needed_from);
  return {};
}

} // namespace coalmine::store
