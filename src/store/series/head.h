// The head: samples that are not in chunks yet, and the places of each series' chunks.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "store/series/open_run.h"

namespace coalmine::store {

// The place of one chunk. When two chunks have a sample at the same millisecond, the one with the
// higher number wins.
struct ChunkRef {
  std::int64_t min_ms = 0;
  std::int64_t max_ms = 0;
  std::uint64_t number = 0;
  bool overlaps(std::int64_t from_ms, std::int64_t to_ms) const {
    return max_ms >= from_ms && min_ms <= to_ms;
  }
};

// Chunks are kept and dropped by blocks of this length. A chunk belongs to the block of its newest
// sample.
inline constexpr std::int64_t kBlockMs = 30 * 60 * 1000;
std::int64_t block_of(std::int64_t time_ms);

struct ChunkEntry {
  SeriesId series;
  ChunkRef ref;
};

// The chunks family holds three kinds of row, each under its block. All numbers in keys are u64
// big-endian. The third kind is in shared_times.h.
//
// chunk row = "c" block_ms series number -> a chunk (chunk_codec.h)
// list row  = "l" block_ms number        -> which chunks were written together, so that a start
//                                           need not read them all
// list      = %x01 count:varint *(series:varint min_ms:zigzag max_ms:zigzag number:varint)
//             checksum:u64
std::string chunk_key(SeriesId series, const ChunkRef& ref);
std::string chunk_list_key(std::int64_t block_ms, std::uint64_t number);
// The first possible key of a block's rows of the given kind ('c', 'l' or 't').
std::string block_key(char kind, std::int64_t block_ms);
std::string encode_chunk_list(const std::vector<ChunkEntry>& entries);
Result<std::vector<ChunkEntry>> decode_chunk_list(std::string_view bytes);

// Not synchronised: SeriesState names its guard. At the same millisecond, samples in the head win
// over chunks.
class Head {
 public:
  struct Series {
    OpenRun samples;
    std::vector<ChunkRef> chunks; // by number
  };

  const Series* find(SeriesId id) const;
  // False: the sample starts earlier than the one before it, so two senders write the series.
  bool upsert(SeriesId id, const Sample& sample);
  // Replaces the samples of the series.
  void restore(SeriesId id, OpenRun samples);
  void add_chunk(SeriesId id, const ChunkRef& ref);
  // Called after the samples were written as chunks.
  void drop_samples_before(SeriesId id, std::int64_t time_ms);
  // Forgets chunks of blocks before the one of time_ms.
  void drop_chunks_before(std::int64_t time_ms);
  void erase(SeriesId id);

  // Series with a sample before time_ms in the head, in order.
  std::vector<SeriesId> with_samples_before(std::int64_t time_ms) const;
  // One more than the highest id that has samples or chunks.
  std::uint64_t end() const { return series_.size(); }
  std::size_t sample_count() const { return sample_count_; }
  // The oldest block that has a chunk.
  std::optional<std::int64_t> oldest_block() const;
  // The oldest and newest sample, chunks included; 0 when there is none.
  std::int64_t oldest_ms() const;
  std::int64_t newest_ms() const { return newest_ms_; }

 private:
  Series& at(SeriesId id);
  template <typename F>
  void each(F&& visit) const {
    for (std::size_t i = 0; i < series_.size(); ++i) {
      if (series_[i]) visit(SeriesId{i}, *series_[i]);
    }
  }

  std::vector<std::unique_ptr<Series>> series_; // by id: ids are given out in order
  std::size_t sample_count_ = 0;
  std::int64_t newest_ms_ = 0;
};

} // namespace coalmine::store
