// SPDX-License-Identifier: Apache-2.0
#include "store/loader.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <utility>

#include "store/disk/meta_rows.h"
#include "store/series/head_snapshot.h"
#include "store/series/record_codec.h"

namespace coalmine::store {
namespace {

// Ids are consecutive and index the head. So a larger id means a damaged key.
constexpr std::uint64_t kMaxSeriesId = 1ULL << 32;

std::size_t index_of_kind(MetricKind kind) {
  switch (kind) {
    case MetricKind::histogram: return 1;
    case MetricKind::exponential: return 2;
    case MetricKind::counter:
    case MetricKind::gauge: break;
  }
  return 0;
}

} // namespace

Status Loader::load() {
  if (const auto files = backing_.database.damaged(); files > 0)
    backing_.damage.skipped("files", "see the lines above", static_cast<double>(files));
  TRY(check_schema());
  TRY(load_meta());
  TRY(load_series());
  TRY(load_chunks());
  TRY(load_slices());
  TRY(load_segments());
  TRY(replay_log());
  return {};
}

Status Loader::check_schema() {
  TRY_ASSIGN(const auto row, backing_.database.get(Family::meta, kSchemaKey));
  if (!row) {
    WriteSet set;
    set.put(Family::meta, std::string(kSchemaKey), number_row(kSchemaVersion));
    return backing_.database.write(set);
  }
  ByteReader r(*row);
  const auto version = r.u64();
  if (r.ok() && version == kSchemaVersion) return {};
  if (r.ok() && version >= 1 && version < kSchemaVersion) {
    // Stored rows are read unchanged. Rows written from now on could not be read by an older
    // coalmine, so the version is raised.
    WriteSet set;
    if (version == 3) TRY(move_slices(set));
    set.put(Family::meta, std::string(kSchemaKey), number_row(kSchemaVersion));
    return backing_.database.write(set);
  }
  return fail(
      ErrorCode::failed_precondition,
      fmt::format("the data directory {} has schema {}, this coalmine reads up to {}: it "
                  "was written by a newer one. Start that one "
                  "again or choose another directory",
                  directory_, r.ok() ? fmt::format("{}", version) : "unknown", kSchemaVersion));
}

// Schema 3 had the copy of the head among the chunks.
Status Loader::move_slices(WriteSet& set) const {
  constexpr std::string_view kBegin = "h";
  constexpr std::string_view kEnd = "i";
  TRY(backing_.database.scan(Family::chunks, kBegin, kEnd, [&](auto key, auto value) {
    set.put(Family::head, std::string(key.substr(kBegin.size())), std::string(value));
    return true;
  }));
  set.erase_range(Family::chunks, std::string(kBegin), std::string(kEnd));
  return {};
}

Status Loader::load_meta() {
  TRY_ASSIGN(const auto seal_row, backing_.database.get(Family::meta, kSealKey));
  if (const std::string seal = seal_row.value_or(std::string()); !seal.empty()) {
    ByteReader r(seal);
    const auto record = r.u64();
    contents_.log.set_seal({record, static_cast<std::int64_t>(r.u64())});
    contents_.log.reserve_below(record);
  }
  TRY_ASSIGN(const auto next, backing_.database.get(Family::meta, kNextSeriesKey));
  if (next) contents_.series.index.reserve_ids_below(ByteReader(*next).u64());
  const auto status = backing_.database.scan(
      Family::meta, kPresencePrefix, kPresenceEnd, [&](auto key, auto value) {
        if (auto row = decode_presence(value)) {
          contents_.presence.set(std::string(key.substr(kPresencePrefix.size())), std::move(*row));
        } else {
          backing_.damage.skipped("presence", row.error().message);
        }
        return true;
      });
  if (!status) backing_.damage.skipped("presence", status.error().message);
  return {};
}

Status Loader::load_series() {
  // Each description is in memory once, however many rows have it.
  std::map<MetricDescription, DescriptionRef> descriptions;
  const auto status = backing_.database.scan(Family::series, "", "", [&](auto key, auto value) {
    const SeriesId id{ByteReader(key).u64_ordered()};
    if (auto info = decode_series(id, value); info && id.value != 0 && id.value <= kMaxSeriesId) {
      info->metric = descriptions.try_emplace(*info->metric, info->metric).first->second;
      contents_.series.index.restore(std::move(*info));
    } else {
      backing_.damage.skipped("series",
                              fmt::format("the row of series {} cannot be read", id.value));
    }
    return true;
  });
  if (!status) backing_.damage.skipped("series", status.error().message);
  return {};
}

Status Loader::load_chunks() {
  const auto status = backing_.database.scan(Family::chunks, "l", "m", [&](auto, auto value) {
    const auto entries = decode_chunk_list(value);
    if (!entries) {
      backing_.damage.skipped("chunks", entries.error().message);
      return true;
    }
    for (const auto& [series, ref] : *entries) {
      contents_.series.next_chunk = std::max(contents_.series.next_chunk, ref.number + 1);
      if (contents_.series.index.get(series) != nullptr)
        contents_.series.head.add_chunk(series, ref);
    }
    return true;
  });
  if (!status) backing_.damage.skipped("chunks", status.error().message);
  return {};
}

Status Loader::load_slices() {
  const Seal seal = contents_.log.seal();
  const auto status = backing_.database.scan(Family::head, "", "", [&](auto key, auto value) {
    const std::uint64_t slice = ByteReader(key).u64_ordered();
    auto copy = decode_head_slice(value);
    if (!copy || slice > kMaxSeriesId / kSliceSeries) {
      backing_.damage.skipped(
          "snapshot",
          fmt::format("slice {}: {}", slice, copy ? "its key is damaged" : copy.error().message));
      return true;
    }
    contents_.log.restore_slice(slice, copy->record, value.size());
    std::size_t orphans = 0;
    for (auto& [series, run] : copy->runs) {
      const SeriesInfo* info = contents_.series.index.get(series);
      if (info == nullptr) continue; // the series was removed since
      if (copy->record < seal.record) run.drop_before(seal.before_ms); // in a chunk
      if (run.empty()) continue;
      if (run.kind() == index_of_kind(info->kind)) {
        contents_.series.head.restore(series, std::move(run));
      } else {
        ++orphans;
      }
    }
    if (orphans > 0)
      backing_.damage.skipped(
          "snapshot", fmt::format("slice {} has {} series of another kind", slice, orphans));
    return true;
  });
  if (!status) backing_.damage.skipped("snapshot", status.error().message);
  return {};
}

Status Loader::load_segments() {
  const auto status = backing_.database.scan(Family::spans, "s", "t", [&](auto key, auto value) {
    const auto ref = parse_segment_key(key);
    const auto summary = decode_summary(value);
    if (!ref || !summary) {
      backing_.damage.skipped("spans", "the summary of a segment cannot be read");
      return true;
    }
    contents_.spans.next_segment = std::max(contents_.spans.next_segment, ref->number + 1);
    contents_.spans.segments.add(*ref, *summary);
    return true;
  });
  if (!status) backing_.damage.skipped("spans", status.error().message);
  return {};
}

Status Loader::replay_log() {
  std::uint64_t expected = 0;
  const auto status = backing_.database.scan(Family::log, "", "", [&](auto key, auto value) {
    const std::uint64_t number = ByteReader(key).u64_ordered();
    if (expected != 0 && number > expected) {
      backing_.damage.skipped("log",
                              fmt::format("records {} to {} are missing", expected, number - 1),
                              static_cast<double>(number - expected));
    }
    expected = number + 1;
    contents_.log.reserve_below(number + 1);
    replay_record(number, value);
    return true;
  });
  if (!status) backing_.damage.skipped("log", status.error().message);
  return {};
}

void Loader::replay_record(std::uint64_t number, std::string_view bytes) {
  auto samples = decode_record(bytes);
  if (!samples) {
    backing_.damage.skipped("log", fmt::format("record {}: {}", number, samples.error().message));
    return;
  }
  std::int64_t newest = INT64_MIN;
  std::size_t orphans = 0;
  for (const auto& [series, sample] : *samples) {
    const std::int64_t time_ms = time_of(sample);
    newest = std::max(newest, time_ms);
    if (contents_.log.is_sealed(number, time_ms)) continue; // in a chunk
    if (number < contents_.log.slice_record(series.value / kSliceSeries))
      continue; // in the copy of the head
    const SeriesInfo* info = contents_.series.index.get(series);
    if (info == nullptr || index_of_kind(info->kind) != sample.index()) {
      ++orphans;
      continue;
    }
    contents_.series.head.upsert(series, sample);
  }
  if (orphans > 0)
    backing_.damage.skipped(
        "log", fmt::format("record {} has {} samples of unknown series", number, orphans));
  contents_.log.restore(number, bytes.size(), newest);
}

} // namespace coalmine::store
