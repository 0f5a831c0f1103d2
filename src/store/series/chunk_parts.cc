// SPDX-License-Identifier: Apache-2.0
#include "store/series/chunk_parts.h"

#include <xxhash.h>

#include "store/series/chunk_codec.h"
#include "telemetry/packed_column.h"

namespace coalmine::store {

void read_numbers(ByteReader& r, std::vector<std::int64_t>& numbers) {
  numbers.front() = r.zigzag();
  read_column(r, std::span(numbers).subspan(1));
  for (std::size_t i = 1; i < numbers.size(); ++i) numbers[i] = plus(numbers[i - 1], numbers[i]);
}

std::pair<std::int64_t, std::int64_t> read_rise(ByteReader& r) {
  const auto first = r.zigzag();
  return {first, plus(first, static_cast<std::int64_t>(r.varint()))};
}

bool has_summary(ByteReader& r) {
  const auto kept = r.u8();
  if (kept > 1) break_reader(r);
  return kept == 1;
}

void read_times(ByteReader& r, std::span<std::int64_t> times) {
  std::int64_t time = r.zigzag();
  times.front() = time;
  if (times.size() < 2) return;
  std::int64_t step = r.zigzag();
  // Each change is read into the place of the time that is computed from it.
  read_column(r, times.subspan(2));
  for (std::size_t i = 1; i < times.size(); ++i) {
    if (i > 1) step = plus(step, times[i]);
    time = plus(time, step);
    times[i] = time;
    if (time <= times[i - 1]) return break_reader(r);
  }
}

void write_checksum(ByteWriter& w, std::string_view bytes) {
  w.u32(static_cast<std::uint32_t>(XXH3_64bits(bytes.data(), bytes.size())));
}

namespace {

// The content before a trailing checksum; nullopt when the checksum does not fit.
std::optional<std::string_view> without_checksum(std::string_view bytes) {
  if (bytes.size() < sizeof(std::uint32_t)) return std::nullopt;
  const auto content = bytes.substr(0, bytes.size() - sizeof(std::uint32_t));
  const auto sum = ByteReader(bytes.substr(content.size())).u32();
  if (sum != static_cast<std::uint32_t>(XXH3_64bits(content.data(), content.size())))
    return std::nullopt;
  return content;
}

std::optional<ChunkHead> read_head(ByteReader& r) {
  const auto version = r.u8();
  const auto kind = r.u8();
  const auto count = r.varint();
  const bool shares = version >= kFirstSharingChunk && (kind & kSharesTimes) != 0;
  const auto body = shares ? kind - kSharesTimes : kind;
  if (version < kOldestChunk || version > kChunkVersion || body > 3 || count == 0 ||
      count > kMaxChunkSamples)
    return std::nullopt;
  return ChunkHead{static_cast<ChunkBody>(body), static_cast<std::size_t>(count),
                   version >= kFirstSummarisedChunk, shares};
}

} // namespace

std::optional<OpenedChunk> open_chunk(std::string_view bytes, ByteReader& r,
                                      std::span<const std::int64_t> shared,
                                      std::vector<std::int64_t>& own) {
  const auto content = without_checksum(bytes);
  if (!content) return std::nullopt;
  r = ByteReader(*content);
  const auto head = read_head(r);
  if (!head) return std::nullopt;
  if (head->shares_times) {
    (void)r.varint();
    if (!r.ok() || shared.size() != head->samples) return std::nullopt;
    return OpenedChunk{*head, shared};
  }
  own.resize(head->samples);
  read_times(r, own);
  if (!r.ok()) return std::nullopt;
  return OpenedChunk{*head, own};
}

std::optional<std::uint64_t> times_row_of(std::string_view bytes) {
  ByteReader r(bytes);
  const auto head = read_head(r);
  if (!head || !head->shares_times) return std::nullopt;
  return r.varint();
}

std::string encode_times_row(std::string_view times) {
  std::string out;
  ByteWriter w(out);
  w.u8(kTimesRowVersion);
  out += times;
  write_checksum(w, out);
  return out;
}

Result<std::vector<std::int64_t>> decode_times_row(std::string_view bytes) {
  const auto damaged = [] {
    return fail(ErrorCode::data_loss, "times that chunks share are damaged");
  };
  const auto content = without_checksum(bytes);
  if (!content) return damaged();
  ByteReader r(*content);
  const auto version = r.u8();
  const auto count = r.varint();
  if (version != kTimesRowVersion || count == 0 || count > kMaxChunkSamples) return damaged();
  std::vector<std::int64_t> times(static_cast<std::size_t>(count));
  read_times(r, times);
  if (!r.ok() || !r.done()) return damaged();
  return times;
}

std::unexpected<Error> damaged_chunk() {
  return fail(ErrorCode::data_loss, "a chunk of samples is damaged");
}

} // namespace coalmine::store
