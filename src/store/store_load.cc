// Start: what an earlier process left is read back, and the tail of the log replayed.
// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include "base/log.h"
#include "store/disk/meta_rows.h"
#include "store/series/head_snapshot.h"
#include "store/store_impl.h"

namespace coalmine::store {
namespace {

// Spans this far back are remembered for telling repeated requests.
constexpr std::size_t kRecentSegments = 256;
constexpr std::size_t kRecentSpanLimit = 100'000;
// Ids are given out one by one and the head is indexed by them: a larger one is a damaged key.
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

StoreImpl::StoreImpl(Options options, const Clock& clock, SelfMetrics& metrics,
                     std::unique_ptr<Database> database)
    : options_(std::move(options)),
      clock_(clock),
      database_(std::move(database)),
      damaged_total_(
          metrics.counter("coalmine_store_damaged_total",
                          "Pieces of stored data that could not be read and were skipped.")),
      samples_total_(metrics.counter("coalmine_store_samples_total",
                                     "Samples stored, derived ones included.")),
      spans_total_(metrics.counter("coalmine_store_spans_total", "Spans stored.")),
      rejected_total_(metrics.counter("coalmine_store_rejected_total",
                                      "Points, spans and log records that were not accepted.")),
      refused_writes_total_(metrics.counter("coalmine_store_refused_writes_total",
                                            "Writes that the disk refused; clients send again.")),
      two_senders_total_(metrics.counter("coalmine_store_two_senders_total",
                                         "Series found to be written by two senders at once.")),
      opened_ms_(clock.wall_ms()),
      index_(options_.max_series_per_service) {}

void StoreImpl::damaged(std::string_view what, const std::string& why, double count) const {
  damaged_total_.add(count);
  log_error("damaged data skipped",
            {{"what", std::string(what)}, {"why", why}, {"directory", options_.directory}});
}

Status StoreImpl::load() {
  if (const auto files = database_->damaged(); files > 0)
    damaged("files", "see the lines above", static_cast<double>(files));
  TRY(check_schema());
  TRY(load_meta());
  TRY(load_series());
  TRY(load_chunks());
  TRY(load_slices());
  TRY(load_segments());
  TRY(replay_log());
  remember_recent_spans();
  index_.for_each([this](const SeriesInfo& info) { ingest_.restore(info); });
  return {};
}

Status StoreImpl::check_schema() {
  TRY_ASSIGN(const auto row, database_->get(Family::meta, kSchemaKey));
  if (!row) {
    WriteSet set;
    set.put(Family::meta, std::string(kSchemaKey), number_row(kSchemaVersion));
    return database_->write(set);
  }
  ByteReader r(*row);
  const auto version = r.u64();
  if (r.ok() && version == kSchemaVersion) return {};
  if (r.ok() && version >= 1 && version < kSchemaVersion) {
    // What is there is read as it is; what is written from now on an older coalmine could not read.
    WriteSet set;
    if (version == 3) TRY(move_slices(set));
    set.put(Family::meta, std::string(kSchemaKey), number_row(kSchemaVersion));
    return database_->write(set);
  }
  return fail(ErrorCode::failed_precondition,
              fmt::format("the data directory {} has schema {}, this coalmine reads up to {}: it "
                          "was written by a newer one. Start that one "
                          "again or choose another directory",
                          options_.directory, r.ok() ? fmt::format("{}", version) : "unknown",
                          kSchemaVersion));
}

// Schema 3 had the copy of the head among the chunks.
Status StoreImpl::move_slices(WriteSet& set) const {
  constexpr std::string_view kBegin = "h";
  constexpr std::string_view kEnd = "i";
  TRY(database_->scan(Family::chunks, kBegin, kEnd, [&](auto key, auto value) {
    set.put(Family::head, std::string(key.substr(kBegin.size())), std::string(value));
    return true;
  }));
  set.erase_range(Family::chunks, std::string(kBegin), std::string(kEnd));
  return {};
}

Status StoreImpl::load_meta() {
  TRY_ASSIGN(const auto seal_row, database_->get(Family::meta, kSealKey));
  if (const std::string seal = seal_row.value_or(std::string()); !seal.empty()) {
    ByteReader r(seal);
    seal_record_ = r.u64();
    sealed_before_ms_ = static_cast<std::int64_t>(r.u64());
    next_record_ = std::max<std::uint64_t>(1, seal_record_);
  }
  TRY_ASSIGN(const auto next, database_->get(Family::meta, kNextSeriesKey));
  if (next) index_.reserve_ids_below(ByteReader(*next).u64());
  const auto status =
      database_->scan(Family::meta, kPresencePrefix, kPresenceEnd, [&](auto key, auto value) {
        if (auto row = decode_presence(value)) {
          presence_.set(std::string(key.substr(kPresencePrefix.size())), std::move(*row));
        } else {
          damaged("presence", row.error().message);
        }
        return true;
      });
  if (!status) damaged("presence", status.error().message);
  return {};
}

Status StoreImpl::load_series() {
  std::map<MetricDescription, DescriptionRef>
      descriptions; // each once in memory, however many rows tell it
  const auto status = database_->scan(Family::series, "", "", [&](auto key, auto value) {
    const SeriesId id{ByteReader(key).u64_ordered()};
    if (auto info = decode_series(id, value); info && id.value != 0 && id.value <= kMaxSeriesId) {
      info->metric = descriptions.try_emplace(*info->metric, info->metric).first->second;
      index_.restore(std::move(*info));
    } else {
      damaged("series", fmt::format("the row of series {} cannot be read", id.value));
    }
    return true;
  });
  if (!status) damaged("series", status.error().message);
  return {};
}

Status StoreImpl::load_chunks() {
  const auto status = database_->scan(Family::chunks, "l", "m", [&](auto, auto value) {
    const auto entries = decode_chunk_list(value);
    if (!entries) {
      damaged("chunks", entries.error().message);
      return true;
    }
    for (const auto& [series, ref] : *entries) {
      next_chunk_ = std::max(next_chunk_, ref.number + 1);
      if (index_.get(series) != nullptr) head_.add_chunk(series, ref);
    }
    return true;
  });
  if (!status) damaged("chunks", status.error().message);
  return {};
}

Status StoreImpl::load_slices() {
  const auto status = database_->scan(Family::head, "", "", [&](auto key, auto value) {
    const std::uint64_t slice = ByteReader(key).u64_ordered();
    auto copy = decode_head_slice(value);
    if (!copy || slice > kMaxSeriesId / kSliceSeries) {
      damaged("snapshot", fmt::format("slice {}: {}", slice,
                                      copy ? "its key is damaged" : copy.error().message));
      return true;
    }
    if (slice >= slice_records_.size()) slice_records_.resize(static_cast<std::size_t>(slice) + 1);
    slice_records_[static_cast<std::size_t>(slice)] = copy->record;
    next_record_ = std::max(next_record_, copy->record);
    snapshot_bytes_ += value.size();
    std::size_t orphans = 0;
    for (auto& [series, run] : copy->runs) {
      const SeriesInfo* info = index_.get(series);
      if (info == nullptr) continue;                                       // it has gone since
      if (copy->record < seal_record_) run.drop_before(sealed_before_ms_); // in a chunk
      if (run.empty()) continue;
      if (run.kind() == index_of_kind(info->kind)) {
        head_.restore(series, std::move(run));
      } else {
        ++orphans;
      }
    }
    if (orphans > 0)
      damaged("snapshot", fmt::format("slice {} has {} series of another kind", slice, orphans));
    return true;
  });
  if (!status) damaged("snapshot", status.error().message);
  return {};
}

Status StoreImpl::load_segments() {
  const auto status = database_->scan(Family::spans, "s", "t", [&](auto key, auto value) {
    const auto ref = parse_segment_key(key);
    const auto summary = decode_summary(value);
    if (!ref || !summary) {
      damaged("spans", "the summary of a segment cannot be read");
      return true;
    }
    next_segment_ = std::max(next_segment_, ref->number + 1);
    segments_.add(*ref, *summary);
    return true;
  });
  if (!status) damaged("spans", status.error().message);
  return {};
}

Status StoreImpl::replay_log() {
  std::uint64_t expected = 0;
  const auto status = database_->scan(Family::log, "", "", [&](auto key, auto value) {
    const std::uint64_t number = ByteReader(key).u64_ordered();
    if (expected != 0 && number > expected) {
      damaged("log", fmt::format("records {} to {} are missing", expected, number - 1),
              static_cast<double>(number - expected));
    }
    expected = number + 1;
    next_record_ = std::max(next_record_, number + 1);
    replay_record(number, value);
    return true;
  });
  if (!status) damaged("log", status.error().message);
  return {};
}

void StoreImpl::replay_record(std::uint64_t number, std::string_view bytes) {
  auto samples = decode_record(bytes);
  if (!samples) {
    damaged("log", fmt::format("record {}: {}", number, samples.error().message));
    return;
  }
  log_bytes_ += bytes.size();
  std::int64_t newest = INT64_MIN;
  std::size_t orphans = 0;
  for (const auto& [series, sample] : *samples) {
    const std::int64_t time_ms = time_of(sample);
    newest = std::max(newest, time_ms);
    if (number < seal_record_ && time_ms < sealed_before_ms_) continue; // in a chunk
    const auto slice = static_cast<std::size_t>(series.value / kSliceSeries);
    if (slice < slice_records_.size() && number < slice_records_[slice])
      continue; // in the copy of the head
    const SeriesInfo* info = index_.get(series);
    if (info == nullptr || index_of_kind(info->kind) != sample.index()) {
      ++orphans;
      continue;
    }
    head_.upsert(series, sample);
  }
  if (orphans > 0)
    damaged("log", fmt::format("record {} has {} samples of unknown series", number, orphans));
  log_records_.emplace_back(number, newest);
}

void StoreImpl::remember_recent_spans() {
  std::size_t spans = 0;
  for (const auto& ref : segments_.newest(kRecentSegments)) {
    if (spans > kRecentSpanLimit) break;
    const auto segment = load_segment(ref);
    if (!segment) continue;
    spans += segment->spans.rows.size();
    for (const auto& row : segment->spans.rows)
      recent_spans_.insert(span_hash(row.trace_id, row.span_id));
    for (const auto& log : segment->logs) recent_spans_.insert(log_hash(log));
  }
}

} // namespace coalmine::store
