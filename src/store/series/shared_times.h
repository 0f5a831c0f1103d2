// Times that chunks share: written once, looked up when a chunk is read.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "store/disk/rocks_db.h"
#include "store/series/chunk_codec.h"
#include "store/series/head.h"

namespace coalmine::store {

// times row = "t" block_ms number -> a row of times (chunk_codec.h)
//             number: of the first chunk that needs it
std::string times_key(std::string_view chunk_key, std::uint64_t number);

// A chunk to be written together with others. One export writes all series of a process at the same
// times, which are then stored once.
struct SealedChunk {
  ChunkEntry entry;
  EncodedChunk chunk;
};
void put_chunks(const std::vector<SealedChunk>& chunks, WriteSet& writes);

// Reads times rows and caches them for its lifetime. Not synchronised; one per query.
class SharedTimes {
 public:
  explicit SharedTimes(const Database& database) : database_(database) {}

  // The shared times of the chunk at this key, valid until the next call. Empty: the chunk has its
  // own times. nullopt: retention removed the chunk since it was read. data_loss: the times are
  // lost or damaged.
  Result<std::optional<std::span<const std::int64_t>>> of(const std::string& chunk_key,
                                                          std::string_view chunk);

 private:
  const Database& database_;
  std::unordered_map<std::string, std::vector<std::int64_t>> rows_; // by key
};

} // namespace coalmine::store
