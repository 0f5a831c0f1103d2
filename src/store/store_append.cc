// One append: drafted, written in one piece, then published.
// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <set>

#include "base/log.h"
#include "base/rfc3339.h"
#include "store/disk/meta_rows.h"
#include "store/store_impl.h"

namespace coalmine::store {
namespace {

std::int64_t to_ms(std::uint64_t ns) { return static_cast<std::int64_t>(ns / 1'000'000); }

} // namespace

struct StoreImpl::Draft {
  Draft(StoreImpl& store, const PresenceBook& book)
      : stage(store.index_, store.state_mutex_, static_cast<const StoredSamples&>(store)),
        presence(book) {}

  Stage stage;
  PresenceBook::Draft presence;
  std::map<std::string, PresenceRow> presence_rows;
  const SpanTable* spans = nullptr; // the batch's own, or kept_spans
  SpanTable kept_spans;
  std::vector<LogRecord> logs;
  SegmentSummary summary;
  SegmentRef segment_ref;
  std::vector<std::uint64_t> hashes; // of the segment's spans and logs
  boost::unordered_flat_set<std::uint64_t> in_batch;
  AppendResult result;
  std::uint64_t record = 0; // 0: none
  std::size_t record_bytes = 0;
  std::int64_t newest_sample_ms = INT64_MIN;

  bool has_segment() const { return !spans->empty() || !logs.empty(); }
};

Result<AppendResult> StoreImpl::append(const Batch& batch) {
  std::lock_guard lock(write_mutex_);
  const std::int64_t now_ms = clock_.wall_ms();
  Draft draft(*this, presence_);
  take_points(batch, now_ms, draft);
  take_spans(batch, now_ms, draft);
  ingest_.flush(draft.stage);
  const WriteSet writes = to_writes(draft);
  if (!writes.empty()) {
    if (auto written = database_->write(writes); !written) {
      // The memory of totals ran ahead of the disk. It is read back from what is stored when next
      // needed.
      ingest_.forget();
      refused_writes_total_.add();
      return std::unexpected(std::move(written).error());
    }
  }
  publish(draft);
  rejected_total_.add(static_cast<double>(
      draft.result.rejected_points + draft.result.rejected_spans + draft.result.rejected_logs));
  return std::move(draft.result);
}

void StoreImpl::take_points(const Batch& batch, std::int64_t now_ms, Draft& draft) {
  const AcceptWindow window{now_ms - options_.accept_late_ms, now_ms + options_.accept_future_ms};
  Rejections rejections;
  ingest_.points(draft.stage, batch.points, window, rejections);
  draft.result.rejected_points = rejections.points;
  draft.result.reason = std::move(rejections.reason);
  for (const auto& point : batch.points) {
    const std::int64_t time_ms = to_ms(point.time_ns);
    if (!point.series || !point.series->resource || time_ms < window.from_ms ||
        time_ms > window.to_ms)
      continue;
    draft.presence.see_point(*point.series->resource, time_ms);
  }
}

void StoreImpl::take_spans(const Batch& batch, std::int64_t now_ms, Draft& draft) {
  const std::int64_t from_ms = now_ms - options_.retention_ms;
  const std::int64_t to_ms_limit = now_ms + options_.accept_future_ms;
  const auto refuse = [&](std::string_view what, std::int64_t time_ms) {
    if (!draft.result.reason.empty()) return;
    draft.result.reason =
        fmt::format("a {} is dated {}, outside of what is kept, {} to {}: check the sender's clock",
                    what, rfc3339(time_ms), rfc3339(from_ms), rfc3339(to_ms_limit));
  };
  const auto fresh = [&](std::uint64_t hash) {
    if (recent_spans_.contains(hash) || !draft.in_batch.insert(hash).second) return false;
    draft.hashes.push_back(hash);
    return true;
  };
  SpanTableBuilder builder;
  for (const auto& span : batch.spans) builder.add(span);
  if (!batch.spans.empty()) {
    SpanTableBuilder::Import import(batch.span_table, builder);
    for (std::size_t i = 0; i < batch.span_table.rows.size(); ++i) import.add(i);
  }
  const SpanTable own = builder.take();
  const SpanTable& all = batch.spans.empty() ? batch.span_table : own;
  std::vector<bool> kept(all.rows.size());
  std::vector<std::pair<std::int64_t, std::int64_t>> seen(all.resources.size(),
                                                          {INT64_MAX, INT64_MIN});
  std::size_t count = 0;
  for (std::size_t i = 0; i < all.rows.size(); ++i) {
    const auto& row = all.rows[i];
    const std::int64_t start_ms = to_ms(row.start_ns);
    if (std::max(start_ms, to_ms(row.end_ns)) < from_ms || start_ms > to_ms_limit) {
      ++draft.result.rejected_spans;
      refuse("span", start_ms);
    } else if (fresh(span_hash(row.trace_id, row.span_id))) {
      kept[i] = true;
      ++count;
      auto& [first, last] = seen[row.resource];
      first = std::min(first, start_ms);
      last = std::max({last, start_ms, std::min(to_ms(row.end_ns), to_ms_limit)});
    }
  }
  for (std::size_t i = 0; i < seen.size(); ++i) {
    if (seen[i].second != INT64_MIN)
      draft.presence.see_span(*all.resources[i], seen[i].first, seen[i].second);
  }
  if (count == all.rows.size() && batch.spans.empty()) {
    draft.spans = &batch.span_table;
  } else {
    SpanTableBuilder some;
    SpanTableBuilder::Import import(all, some);
    for (std::size_t i = 0; i < kept.size(); ++i) {
      if (kept[i]) import.add(i);
    }
    draft.kept_spans = some.take();
    draft.spans = &draft.kept_spans;
  }
  const std::int64_t received_ms = batch.received_ms > 0 ? batch.received_ms : now_ms;
  for (const auto& log : batch.logs) {
    LogRecord copy = log;
    if (copy.time_ns == 0) copy.time_ns = static_cast<std::uint64_t>(received_ms) * 1'000'000;
    const std::int64_t time_ms = to_ms(copy.time_ns);
    if (time_ms < from_ms || time_ms > to_ms_limit) {
      ++draft.result.rejected_logs;
      refuse("log record", time_ms);
    } else if (fresh(log_hash(copy))) {
      draft.logs.push_back(std::move(copy));
    }
  }
  ingest_.spans(draft.stage, *draft.spans, received_ms);
  draft.segment_ref.received_ms = received_ms;
}

WriteSet StoreImpl::to_writes(Draft& draft) {
  WriteSet out;
  for (const auto* info : draft.stage.rows())
    out.put(Family::series, number_key(info->id.value), encode_series(*info));
  if (!draft.stage.samples().empty()) {
    draft.record = next_record_;
    for (const auto& staged : draft.stage.samples())
      draft.newest_sample_ms = std::max(draft.newest_sample_ms, time_of(staged.sample));
    auto bytes = encode_record(draft.stage.samples());
    draft.record_bytes = bytes.size();
    out.put(Family::log, number_key(draft.record), std::move(bytes));
  }
  if (draft.has_segment()) {
    draft.summary = summarise(*draft.spans, draft.logs);
    draft.segment_ref.number = next_segment_;
    auto bytes = encode_segment(*draft.spans, draft.logs, SegmentPacking::quick);
    draft.summary.bytes = bytes.size();
    out.put(Family::spans, segment_key('s', draft.segment_ref), encode_summary(draft.summary));
    out.put(Family::spans, segment_key('d', draft.segment_ref), std::move(bytes));
  }
  draft.presence_rows = draft.presence.finish();
  for (const auto& [key, row] : draft.presence_rows)
    out.put(Family::meta, std::string(kPresencePrefix) + key, encode_presence(row));
  return out;
}

void StoreImpl::publish(Draft& draft) {
  for (auto* info : draft.stage.rows()) info->stored = true;
  ingest_.commit();
  for (const auto hash : draft.hashes) recent_spans_.insert(hash);
  spans_total_.add(static_cast<double>(draft.spans->rows.size()));
  samples_total_.add(static_cast<double>(draft.stage.samples().size()));

  std::optional<SeriesId> two_senders;
  std::unique_lock lock(state_mutex_);
  if (draft.record != 0) {
    ++next_record_;
    log_bytes_ += draft.record_bytes;
    log_records_.emplace_back(draft.record, draft.newest_sample_ms);
    for (const auto& [series, sample] : draft.stage.samples()) {
      if (!head_.upsert(series, sample)) two_senders = series;
    }
  }
  if (draft.has_segment()) {
    ++next_segment_;
    segments_.add(draft.segment_ref, draft.summary);
  }
  std::set<std::pair<std::string, std::string>> arrived; // service and version; "": all versions
  for (const auto& [key, row] : draft.presence_rows) {
    arrived.emplace(row.presence.service, "");
    arrived.emplace(row.presence.service, row.presence.version);
  }
  for (const auto& [service, version] : arrived) ++arrivals_[service][version];
  for (auto& [key, row] : draft.presence_rows) presence_.set(key, std::move(row));
  lock.unlock();
  for (const auto& [service, version] : arrived) {
    if (options_.on_arrival && version.empty()) options_.on_arrival(service);
  }
  if (two_senders) tell_two_senders(*two_senders, draft);
}

// A process that starts again begins to count later, never earlier: who goes back in time is
// somebody else.
void StoreImpl::tell_two_senders(SeriesId series, Draft& draft) {
  constexpr std::int64_t kTellAgainMs = 10 * 60 * 1000;
  const SeriesInfo* info = index_.get(series);
  if (info == nullptr || info->source != Source::sent) return;
  const std::int64_t now_ms = clock_.wall_ms();
  const auto [told, first] = two_senders_.try_emplace(series.value, now_ms);
  if (!first && now_ms - told->second < kTellAgainMs) return;
  told->second = now_ms;
  two_senders_total_.add();
  const auto why = fmt::format(
      "two senders write the series {}, so its counts mean nothing: give each process a "
      "service.instance.id of its own",
      to_text(*info->labels));
  log_warn("two senders write one series", {{"why", why}});
  if (draft.result.reason.empty()) draft.result.reason = why;
}

} // namespace coalmine::store
