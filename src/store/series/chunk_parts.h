// Pieces shared by writing chunks, reading them, and reading them as columns. Private to
// chunk_*.cc.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"

namespace coalmine::store {

inline constexpr std::uint8_t kChunkVersion = 4;
inline constexpr std::uint8_t kFirstSharingChunk = 4;
inline constexpr std::uint8_t kFirstSummarisedChunk = 3;
inline constexpr std::uint8_t kOldestChunk = 2;
inline constexpr std::uint8_t kTimesRowVersion = 1;
inline constexpr std::uint8_t kSharesTimes = 0x10;
enum class ChunkBody : std::uint8_t { integers, doubles, classic, exponential };
struct ChunkHead {
  ChunkBody body = ChunkBody::integers;
  std::size_t samples = 0;
  bool summarised = false;
  bool shares_times = false;
};

// Differences wrap, so that every pair of numbers reads back unchanged.
inline std::int64_t minus(std::uint64_t a, std::uint64_t b) {
  return static_cast<std::int64_t>(a - b);
}
inline std::int64_t minus(std::int64_t a, std::int64_t b) {
  return minus(static_cast<std::uint64_t>(a), static_cast<std::uint64_t>(b));
}
inline std::uint64_t plus(std::uint64_t a, std::int64_t change) {
  return a + static_cast<std::uint64_t>(change);
}
inline std::int64_t plus(std::int64_t a, std::int64_t change) {
  return static_cast<std::int64_t>(static_cast<std::uint64_t>(a) +
                                   static_cast<std::uint64_t>(change));
}

inline void break_reader(ByteReader& r) { (void)r.raw(r.remaining() + 1); }

class XorReader {
 public:
  double read(ByteReader& r) {
    const auto shape = r.u8();
    const int lead = shape >> 4;
    const int trail = shape & 15;
    if (lead + trail > 8) {
      break_reader(r);
      return 0;
    }
    std::uint64_t x = 0;
    for (int octet = trail; octet < 8 - lead; ++octet) x |= std::uint64_t{r.u8()} << (8 * octet);
    before_ ^= x;
    return std::bit_cast<double>(before_);
  }

 private:
  std::uint64_t before_ = 0;
};

// A row of numbers: the first, then the steps between them.
void read_numbers(ByteReader& r, std::vector<std::int64_t>& numbers);
// first:zigzag rise:varint
std::pair<std::int64_t, std::int64_t> read_rise(ByteReader& r);
// Returns true when there is a summary; the reader then stands before its rows.
bool has_summary(ByteReader& r);
// bytes: everything that w has written so far.
void write_checksum(ByteWriter& w, std::string_view bytes);
// Fills times, which must ascend.
void read_times(ByteReader& r, std::span<std::int64_t> times);
// A chunk whose checksum holds. The reader stands behind its times. The times are either shared
// ones, one for each sample, or its own, which are read into the buffer `own`.
struct OpenedChunk {
  ChunkHead head;
  std::span<const std::int64_t> times;
};
std::optional<OpenedChunk> open_chunk(std::string_view bytes, ByteReader& r,
                                      std::span<const std::int64_t> shared,
                                      std::vector<std::int64_t>& own);
std::unexpected<Error> damaged_chunk();

} // namespace coalmine::store
