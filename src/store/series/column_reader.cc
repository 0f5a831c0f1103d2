// SPDX-License-Identifier: Apache-2.0
#include "store/series/column_reader.h"

#include <array>
#include <memory>
#include <shared_mutex>

#include "store/series/chunk_codec.h"

namespace coalmine::store {
namespace {

constexpr std::size_t kSlice = 32; // series whose samples are in memory at a time

void append_run(const SeriesData& data, HistogramPart part, SampleColumns& out) {
  if (!data.exponential.empty()) out.uniform = false;
  for (const auto& sample : data.floats) out.add(sample.time_ms, sample.value);
  for (const auto& sample : data.classic) {
    if (sample.stale) continue; // its bounds, if any, mean nothing
    const auto& value = sample.value;
    if (part == HistogramPart::buckets) out.set_bounds(value.bounds);
    if (!out.uniform) continue;
    switch (part) {
      case HistogramPart::buckets:
        out.add_buckets(sample.time_ms, value.counts, value.count);
        break;
      case HistogramPart::count: out.add(sample.time_ms, static_cast<double>(value.count)); break;
      case HistogramPart::sum: out.add(sample.time_ms, value.sum); break;
    }
  }
}

} // namespace

// The keys and head samples copied under one hold of the lock. The next slice reuses the buffers.
struct ColumnReader::Slice {
  struct One {
    SampleColumns recent;   // of the head
    std::size_t chunks = 0; // of keys, in order
    // Chunks and head follow one another in time. If not, the newer sample of a millisecond must
    // win.
    bool in_order = true;
  };
  std::array<One, kSlice> series;
  std::vector<std::string> keys;
};

void ColumnReader::plan_slice(std::span<const SeriesId> ids, const ColumnRequest& request,
                              Slice& slice) const {
  slice.keys.clear();
  std::shared_lock lock(locks_.state);
  for (std::size_t i = 0; i < ids.size(); ++i) {
    Slice::One& one = slice.series[i];
    one.recent.clear();
    one.chunks = 0;
    one.in_order = true;
    const auto* stored = state_.head.find(ids[i]);
    if (stored == nullptr) continue;
    std::int64_t newest = INT64_MIN;
    for (const auto& ref : stored->chunks) {
      if (!ref.overlaps(request.from_ms, request.to_ms)) continue;
      one.in_order = one.in_order && ref.min_ms > newest;
      newest = ref.max_ms;
      ++one.chunks;
      slice.keys.push_back(chunk_key(ids[i], ref));
    }
    if (!stored->samples.empty() && one.chunks > 0)
      one.in_order = one.in_order && stored->samples.first_ms() > newest;
    if (one.in_order)
      stored->samples.append_to(one.recent, request.from_ms, request.to_ms, request.part);
  }
}

// Reads a series whose chunks and head overlap in time. They are merged as samples first.
Status ColumnReader::read_merged(SeriesId id, const ColumnRequest& request,
                                 SampleColumns& out) const {
  TRY_ASSIGN(const auto found, series_.read_one(id, request.from_ms, request.to_ms));
  for (const auto& data : found) append_run(data, request.part, out);
  return {};
}

Status ColumnReader::read(std::span<const SeriesId> ids, const ColumnRequest& request,
                          const VisitColumns& visit) const {
  const auto slice = std::make_unique<Slice>();
  SampleColumns whole;
  ChunkColumns chunk;
  SharedTimes times(backing_.database);
  const auto add = [&](const std::string& key, const std::string& bytes) -> Status {
    TRY_ASSIGN(const auto shared, times.of(key, bytes));
    return shared ? chunk.append_to(whole, bytes, request, *shared) : Status();
  };
  for (std::size_t begin = 0; begin < ids.size(); begin += kSlice) {
    const auto some = ids.subspan(begin, std::min(kSlice, ids.size() - begin));
    plan_slice(some, request, *slice);
    const auto chunks = read_chunks(backing_, slice->keys);
    std::size_t next = 0;
    for (std::size_t i = 0; i < some.size(); ++i) {
      Slice::One& one = slice->series[i];
      const std::size_t first = next;
      next += one.chunks;
      if (one.in_order && one.chunks == 0) {
        if (!visit(begin + i, one.recent)) return {};
        continue;
      }
      whole.clear();
      if (one.in_order) {
        for (std::size_t k = first; k < next; ++k) {
          if (!chunks[k]) continue; // dropped by retention meanwhile
          if (const auto read = add(slice->keys[k], *chunks[k]); !read)
            backing_.damage.skipped("chunks", read.error().message);
        }
        whole.append(one.recent);
      } else {
        TRY(read_merged(some[i], request, whole));
      }
      if (!visit(begin + i, whole)) return {};
    }
  }
  return {};
}

} // namespace coalmine::store
