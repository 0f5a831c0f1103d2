// SPDX-License-Identifier: Apache-2.0
#include "store/series/head.h"

#include <xxhash.h>

#include <algorithm>

#include "base/bytes.h"

namespace coalmine::store {

std::int64_t block_of(std::int64_t time_ms) {
  const std::int64_t rest = ((time_ms % kBlockMs) + kBlockMs) % kBlockMs;
  return time_ms - rest;
}

std::string block_key(char kind, std::int64_t block_ms) {
  std::string out(1, kind);
  ByteWriter(out).u64_ordered(static_cast<std::uint64_t>(block_ms));
  return out;
}

std::string chunk_key(SeriesId series, const ChunkRef& ref) {
  std::string out = block_key('c', block_of(ref.max_ms));
  ByteWriter w(out);
  w.u64_ordered(series.value);
  w.u64_ordered(ref.number);
  return out;
}

std::string chunk_list_key(std::int64_t block_ms, std::uint64_t number) {
  std::string out = block_key('l', block_ms);
  ByteWriter(out).u64_ordered(number);
  return out;
}

std::string encode_chunk_list(const std::vector<ChunkEntry>& entries) {
  std::string out;
  ByteWriter w(out);
  w.u8(1);
  w.varint(entries.size());
  for (const auto& [series, ref] : entries) {
    w.varint(series.value);
    w.zigzag(ref.min_ms);
    w.zigzag(ref.max_ms);
    w.varint(ref.number);
  }
  w.u64(XXH3_64bits(out.data(), out.size()));
  return out;
}

Result<std::vector<ChunkEntry>> decode_chunk_list(std::string_view bytes) {
  const auto damaged = [] { return fail(ErrorCode::data_loss, "a list of chunks is damaged"); };
  if (bytes.size() < sizeof(std::uint64_t)) return damaged();
  const auto content = bytes.substr(0, bytes.size() - sizeof(std::uint64_t));
  if (ByteReader(bytes.substr(content.size())).u64() != XXH3_64bits(content.data(), content.size()))
    return damaged();
  ByteReader r(content);
  const auto version = r.u8();
  const auto count = r.varint();
  if (version != 1 || count > r.remaining()) return damaged();
  std::vector<ChunkEntry> out(static_cast<std::size_t>(count));
  for (auto& [series, ref] : out) {
    series.value = r.varint();
    ref.min_ms = r.zigzag();
    ref.max_ms = r.zigzag();
    ref.number = r.varint();
  }
  if (!r.ok() || !r.done()) return damaged();
  return out;
}

const Head::Series* Head::find(SeriesId id) const {
  return id.value < series_.size() ? series_[id.value].get() : nullptr;
}

Head::Series& Head::at(SeriesId id) {
  if (id.value >= series_.size()) series_.resize(static_cast<std::size_t>(id.value) + 1);
  auto& slot = series_[id.value];
  if (!slot) slot = std::make_unique<Series>();
  return *slot;
}

bool Head::upsert(SeriesId id, const Sample& sample) {
  newest_ms_ = std::max(newest_ms_, time_of(sample));
  auto& run = at(id).samples;
  const std::int64_t start_ms = start_of(sample);
  const bool back = start_ms != 0 && !run.empty() && start_ms < run.last_start_ms() &&
                    time_of(sample) > run.last_ms();
  if (run.upsert(sample)) ++sample_count_;
  return !back;
}

void Head::restore(SeriesId id, OpenRun samples) {
  auto& run = at(id).samples;
  sample_count_ += samples.size();
  sample_count_ -= run.size();
  run = std::move(samples);
  if (!run.empty()) newest_ms_ = std::max(newest_ms_, run.last_ms());
}

void Head::add_chunk(SeriesId id, const ChunkRef& ref) {
  newest_ms_ = std::max(newest_ms_, ref.max_ms);
  auto& chunks = at(id).chunks;
  chunks.insert(std::ranges::upper_bound(chunks, ref.number, {}, &ChunkRef::number), ref);
}

void Head::drop_samples_before(SeriesId id, std::int64_t time_ms) {
  if (find(id) == nullptr) return;
  auto& samples = at(id).samples;
  const std::size_t before = samples.size();
  samples.drop_before(time_ms);
  sample_count_ -= before - samples.size();
}

void Head::drop_chunks_before(std::int64_t time_ms) {
  const std::int64_t block = block_of(time_ms);
  for (auto& series : series_) {
    if (series)
      std::erase_if(series->chunks,
                    [&](const ChunkRef& ref) { return block_of(ref.max_ms) < block; });
  }
}

void Head::erase(SeriesId id) {
  if (const auto* series = find(id)) {
    sample_count_ -= series->samples.size();
    series_[id.value].reset();
  }
}

std::vector<SeriesId> Head::with_samples_before(std::int64_t time_ms) const {
  std::vector<SeriesId> out;
  each([&](SeriesId id, const Series& series) {
    if (!series.samples.empty() && series.samples.first_ms() < time_ms) out.push_back(id);
  });
  return out;
}

std::optional<std::int64_t> Head::oldest_block() const {
  std::optional<std::int64_t> out;
  each([&](SeriesId, const Series& series) {
    for (const auto& ref : series.chunks) {
      const std::int64_t block = block_of(ref.max_ms);
      if (!out || block < *out) out = block;
    }
  });
  return out;
}

std::int64_t Head::oldest_ms() const {
  std::int64_t oldest = INT64_MAX;
  each([&](SeriesId, const Series& series) {
    if (!series.samples.empty()) oldest = std::min(oldest, series.samples.first_ms());
    for (const auto& ref : series.chunks) oldest = std::min(oldest, ref.min_ms);
  });
  return oldest == INT64_MAX ? 0 : oldest;
}

} // namespace coalmine::store
