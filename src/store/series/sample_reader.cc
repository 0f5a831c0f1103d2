// SPDX-License-Identifier: Apache-2.0
#include "store/series/sample_reader.h"

#include <algorithm>
#include <functional>
#include <utility>

#include "store/series/chunk_codec.h"

namespace coalmine::store {

std::vector<std::optional<std::string>> read_chunks(const Backing& backing,
                                                    const std::vector<std::string>& keys) {
  if (keys.empty()) return {};
  const auto before = backing.database.damaged();
  auto out = backing.database.get_many(Family::chunks, keys);
  if (const auto more = backing.database.damaged() - before; more > 0) {
    backing.damage.skipped("chunks", "blocks of the data files cannot be read",
                           static_cast<double>(more));
  }
  return out;
}

SampleRun SampleReader::decode(const std::string& key, const std::string& bytes,
                               SharedTimes& times) const {
  const auto read = [&]() -> Result<SampleRun> {
    TRY_ASSIGN(const auto shared, times.of(key, bytes));
    return shared ? decode_chunk(bytes, *shared) : SampleRun();
  };
  auto run = read();
  if (run) return std::move(*run);
  backing_.damage.skipped("chunks", run.error().message);
  return {};
}

SampleRun SampleReader::read(SeriesId id, std::int64_t from_ms, std::int64_t to_ms) const {
  SampleRun out;
  const auto* series = state_.head.find(id);
  if (series == nullptr) return out;
  SharedTimes times(backing_.database);
  for (const auto& ref : series->chunks) {
    if (!ref.overlaps(from_ms, to_ms)) continue;
    const auto key = chunk_key(id, ref);
    const auto bytes = backing_.database.get(Family::chunks, key);
    if (!bytes) {
      backing_.damage.skipped("chunks", bytes.error().message);
    } else if (*bytes) {
      out.overlay(decode(key, **bytes, times).slice(from_ms, to_ms));
    }
  }
  out.overlay(series->samples.slice(from_ms, to_ms));
  return out;
}

std::optional<Sample> SampleReader::last_value(SeriesId id) const {
  const auto* series = state_.head.find(id);
  if (series == nullptr) return std::nullopt;
  const auto newest_of = [](const SampleRun& run) -> std::optional<Sample> {
    const auto newest = [](const auto& samples) -> std::optional<Sample> {
      for (auto it = samples.rbegin(); it != samples.rend(); ++it) {
        if (const Sample sample = *it; !is_stale(sample)) return sample;
      }
      return std::nullopt;
    };
    if (!run.floats.empty()) return newest(run.floats);
    if (!run.classic.empty()) return newest(run.classic);
    return newest(run.exponential);
  };
  auto best = series->samples.last_value();
  // A late chunk may be older than the one before it, so the last chunk is not always the newest.
  auto refs = series->chunks;
  std::ranges::stable_sort(refs, std::greater{}, &ChunkRef::max_ms);
  for (const auto& ref : refs) {
    if (best && time_of(*best) >= ref.max_ms) break;
    const auto found = newest_of(read(id, ref.min_ms, ref.max_ms));
    if (found && (!best || time_of(*found) > time_of(*best))) best = found;
  }
  return best;
}

bool SampleReader::in_head(SeriesId id, const Sample& sample) const {
  const auto* series = state_.head.find(id);
  return series != nullptr && series->samples.contains(sample);
}

std::optional<Sample> SampleReader::in_head(SeriesId id, std::int64_t time_ms) const {
  const auto* series = state_.head.find(id);
  if (series == nullptr) return std::nullopt;
  const auto run = series->samples.slice(time_ms, time_ms);
  return run.empty() ? std::nullopt : std::optional(run.last());
}

bool SampleReader::has_samples(SeriesId id, std::int64_t from_ms, std::int64_t to_ms) const {
  const auto* series = state_.head.find(id);
  if (series == nullptr || from_ms > to_ms) return false;
  if (series->samples.any(from_ms, to_ms)) return true;
  const auto within = [&](std::int64_t time_ms) { return time_ms >= from_ms && time_ms <= to_ms; };
  bool unsure = false;
  for (const auto& ref : series->chunks) {
    if (within(ref.min_ms) || within(ref.max_ms)) return true;
    unsure = unsure || ref.overlaps(from_ms, to_ms);
  }
  return unsure && !read(id, from_ms, to_ms).empty();
}

} // namespace coalmine::store
