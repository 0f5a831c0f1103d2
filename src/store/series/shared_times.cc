// SPDX-License-Identifier: Apache-2.0
#include "store/series/shared_times.h"

#include "base/bytes.h"

namespace coalmine::store {
namespace {

// One query remembers this many rows, a quarter of a megabyte. More is not needed, because series
// of one process are stored side by side.
constexpr std::size_t kRemembered = 128;
// Bytes that a row needs besides its times, together with the number in the chunk that names it.
constexpr std::size_t kRowBytes = 24;
constexpr std::size_t kNameBytes = 4;

bool worth_sharing(std::size_t times, std::size_t chunks) {
  return chunks * times > kRowBytes + times + chunks * kNameBytes;
}

} // namespace

std::string times_key(std::string_view chunk_key, std::uint64_t number) {
  std::string out(chunk_key.substr(0, 1 + sizeof(std::uint64_t)));
  out.front() = 't';
  ByteWriter(out).u64_ordered(number);
  return out;
}

void put_chunks(const std::vector<SealedChunk>& chunks, WriteSet& writes) {
  struct Sharers {
    std::uint64_t number = 0; // of the first
    std::size_t count = 0;
    bool written = false;
  };
  // Equal times belong to the same block, so the block is not part of the key.
  std::unordered_map<std::string_view, Sharers> by_times;
  for (const auto& sealed : chunks) {
    Sharers& sharers = by_times[sealed.chunk.times()];
    if (sharers.count++ == 0) sharers.number = sealed.entry.ref.number;
  }
  for (const auto& sealed : chunks) {
    const auto times = sealed.chunk.times();
    Sharers& sharers = by_times.at(times);
    std::string key = chunk_key(sealed.entry.series, sealed.entry.ref);
    if (!worth_sharing(times.size(), sharers.count)) {
      writes.put(Family::chunks, std::move(key), sealed.chunk.bytes);
      continue;
    }
    if (!sharers.written)
      writes.put(Family::chunks, times_key(key, sharers.number), encode_times_row(times));
    sharers.written = true;
    writes.put(Family::chunks, std::move(key), chunk_with_times_at(sealed.chunk, sharers.number));
  }
}

Result<std::optional<std::span<const std::int64_t>>> SharedTimes::of(const std::string& chunk_key,
                                                                     std::string_view chunk) {
  const auto number = times_row_of(chunk);
  if (!number) return std::span<const std::int64_t>();
  std::string key = times_key(chunk_key, *number);
  if (const auto known = rows_.find(key); known != rows_.end())
    return std::span<const std::int64_t>(known->second);
  TRY_ASSIGN(const auto row, database_.get(Family::chunks, key));
  if (!row) {
    // A times row is dropped together with the chunks that need it.
    TRY_ASSIGN(const auto still, database_.get(Family::chunks, chunk_key));
    if (!still) return std::nullopt;
    return fail(ErrorCode::data_loss, "the times of a chunk are lost");
  }
  TRY_ASSIGN(auto times, decode_times_row(*row));
  if (rows_.size() == kRemembered) rows_.clear();
  return std::span<const std::int64_t>(
      rows_.emplace(std::move(key), std::move(times)).first->second);
}

} // namespace coalmine::store
