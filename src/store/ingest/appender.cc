// SPDX-License-Identifier: Apache-2.0
#include "store/ingest/appender.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "base/log.h"
#include "store/disk/meta_rows.h"
#include "store/ingest/fresh_spans.h"
#include "store/ingest/target_info.h"
#include "store/series/record_codec.h"
#include "store/spans/span_reader.h"

namespace coalmine::store {
namespace {

// After a start, the spans of this many newest segments are remembered, so that a repeated request
// is noticed.
constexpr std::size_t kRecentSegments = 256;
constexpr std::size_t kRecentSpanLimit = 100'000;
constexpr std::int64_t kReportAgainMs = 10 * 60 * 1000; // two senders of one series
constexpr std::int64_t kRefreshMs = 3600 * 1000;

} // namespace

struct Appender::Draft {
  Draft(Appender& appender, SpanWindow window, std::int64_t now_ms)
      : stage(appender.contents_.series.index, appender.contents_.locks.state, appender.stored_),
        presence(appender.contents_.presence, now_ms),
        spans(appender.recent_spans_, window) {}

  Stage stage;
  PresenceBook::Draft presence;
  std::map<std::string, PresenceRow> presence_rows;
  FreshSpans spans;
  SegmentSummary summary; // of the segment made of the spans
  SegmentRef segment_ref;
  AppendResult result;
  std::size_t record_bytes = 0;
  std::int64_t newest_sample_ms = INT64_MIN;
};

Appender::Appender(AppendOptions options, const Clock& clock, Backing backing, Contents& contents,
                   SelfMetrics& metrics)
    : options_(std::move(options)),
      clock_(clock),
      backing_(backing),
      contents_(contents),
      stored_(backing, contents.series),
      samples_total_(metrics.counter("coalmine_store_samples_total",
                                     "Samples stored, derived ones included.")),
      spans_total_(metrics.counter("coalmine_store_spans_total", "Spans stored.")),
      rejected_total_(metrics.counter("coalmine_store_rejected_total",
                                      "Points, spans and log records that were not accepted.")),
      refused_writes_total_(metrics.counter("coalmine_store_refused_writes_total",
                                            "Writes that the disk refused; clients send again.")),
      two_senders_total_(metrics.counter("coalmine_store_two_senders_total",
                                         "Series found to be written by two senders at once.")),
      ingest_(contents.spans.failures) {}

void Appender::restore() {
  std::size_t spans = 0;
  for (const auto& ref : contents_.spans.segments.newest(kRecentSegments)) {
    if (spans > kRecentSpanLimit) break;
    const auto segment = load_segment(backing_.database, ref);
    if (!segment) continue;
    spans += segment->spans.rows.size();
    std::vector<std::uint64_t> senders;
    for (const auto& resource : segment->spans.resources)
      senders.push_back(resource_hash(*resource));
    for (const auto& row : segment->spans.rows)
      recent_spans_.insert(span_hash(row, senders[row.resource]));
    for (const auto& log : segment->logs) recent_spans_.insert(log_hash(log));
  }
  contents_.series.index.for_each([this](const SeriesInfo& info) { ingest_.restore(info); });
}

Result<AppendResult> Appender::append(const Batch& batch) {
  std::lock_guard lock(contents_.locks.write);
  const std::int64_t now_ms = clock_.wall_ms();
  Draft draft(*this, {now_ms - options_.retention_ms, now_ms + options_.accept_future_ms}, now_ms);
  take_points(batch, now_ms, draft);
  take_spans(batch, now_ms, draft);
  ingest_.flush(draft.stage);
  const WriteSet writes = to_writes(draft);
  if (!writes.empty()) {
    if (auto written = backing_.database.write(writes); !written) {
      // The totals in memory are ahead of the disk. They are read back from the stored samples when
      // next needed.
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

void Appender::take_points(const Batch& batch, std::int64_t now_ms, Draft& draft) {
  const AcceptWindow window{now_ms - options_.accept_late_ms, now_ms + options_.accept_future_ms};
  Rejections rejections;
  ingest_.points(draft.stage, batch.points, window, rejections);
  draft.result.rejected_points = rejections.points;
  draft.result.reason = std::move(rejections.reason);
  TargetInfo resources;
  for (const auto& point : batch.points) {
    const std::int64_t time_ms = ns_to_ms(point.time_ns);
    if (!point.series || !point.series->resource || time_ms < window.from_ms ||
        time_ms > window.to_ms)
      continue;
    draft.presence.see_point(*point.series->resource, time_ms);
    if (batch.tell_resources) resources.see(*point.series->resource, time_ms);
  }
  resources.put(draft.stage);
}

void Appender::take_spans(const Batch& batch, std::int64_t now_ms, Draft& draft) {
  const std::int64_t received_ms = batch.received_ms > 0 ? batch.received_ms : now_ms;
  draft.spans.take_spans(batch, draft.presence, draft.result);
  draft.spans.take_logs(batch, received_ms, draft.result);
  ingest_.spans(draft.stage, draft.spans, received_ms);
  draft.segment_ref.received_ms = received_ms;
}

WriteSet Appender::to_writes(Draft& draft) {
  WriteSet out;
  for (const auto* info : draft.stage.rows())
    out.put(Family::series, number_key(info->id.value), encode_series(*info));
  if (!draft.stage.samples().empty()) {
    for (const auto& staged : draft.stage.samples())
      draft.newest_sample_ms = std::max(draft.newest_sample_ms, time_of(staged.sample));
    auto bytes = encode_record(draft.stage.samples());
    draft.record_bytes = bytes.size();
    out.put(Family::log, number_key(contents_.log.next()), std::move(bytes));
  }
  if (!draft.spans.empty()) {
    draft.summary = summarise(draft.spans.spans(), draft.spans.logs(), contents_.spans.failures);
    draft.segment_ref.number = contents_.spans.next_segment;
    auto bytes = encode_segment(draft.spans.spans(), draft.spans.logs(), SegmentPacking::quick);
    draft.summary.bytes = bytes.size();
    out.put(Family::spans, segment_key('s', draft.segment_ref), encode_summary(draft.summary));
    out.put(Family::spans, segment_key('d', draft.segment_ref), std::move(bytes));
  }
  draft.presence_rows = draft.presence.finish();
  for (const auto& [key, row] : draft.presence_rows)
    out.put(Family::meta, std::string(kPresencePrefix) + key, encode_presence(row));
  return out;
}

void Appender::publish(Draft& draft) {
  for (auto* info : draft.stage.rows()) info->stored = true;
  ingest_.commit();
  for (const auto hash : draft.spans.hashes()) recent_spans_.insert(hash);
  spans_total_.add(static_cast<double>(draft.spans.spans().rows.size()));
  samples_total_.add(static_cast<double>(draft.stage.samples().size()));
  if (!draft.stage.samples().empty()) contents_.log.add(draft.record_bytes, draft.newest_sample_ms);

  std::optional<SeriesId> two_senders;
  std::unique_lock lock(contents_.locks.state);
  for (const auto& [series, sample] : draft.stage.samples()) {
    if (!contents_.series.head.upsert(series, sample)) two_senders = series;
  }
  if (!draft.spans.empty()) {
    ++contents_.spans.next_segment;
    contents_.spans.segments.add(draft.segment_ref, draft.summary);
  }
  std::set<std::pair<std::string, std::string>> arrived; // service and version; "": all versions
  for (const auto& [key, row] : draft.presence_rows) {
    arrived.emplace(row.presence.service, "");
    arrived.emplace(row.presence.service, row.presence.version);
  }
  for (const auto& [service, version] : arrived) contents_.presence.count_arrival(service, version);
  for (auto& [key, row] : draft.presence_rows) contents_.presence.set(key, std::move(row));
  lock.unlock();
  for (const auto& [service, version] : arrived) {
    if (options_.on_arrival && version.empty()) options_.on_arrival(service);
  }
  if (two_senders) report_two_senders(*two_senders, draft);
}

std::size_t Appender::facts() const {
  std::lock_guard lock(contents_.locks.write);
  return ingest_.facts();
}

void Appender::refresh(std::int64_t now_ms) {
  std::lock_guard lock(contents_.locks.write);
  if (refreshed_ms_ == 0) refreshed_ms_ = now_ms; // the first hour begins
  if (now_ms - refreshed_ms_ < kRefreshMs) return;
  refreshed_ms_ = now_ms;
  ingest_.forget();
  std::erase_if(two_senders_,
                [&](const auto& report) { return now_ms - report.second >= kReportAgainMs; });
}

// A restarted process begins to count later, never earlier. So a start time that goes back shows a
// second process that writes the same series.
void Appender::report_two_senders(SeriesId series, Draft& draft) {
  const SeriesInfo* info = contents_.series.index.get(series);
  if (info == nullptr || info->source != Source::sent) return;
  const std::int64_t now_ms = clock_.wall_ms();
  const auto [reported, first] = two_senders_.try_emplace(series.value, now_ms);
  if (!first && now_ms - reported->second < kReportAgainMs) return;
  reported->second = now_ms;
  two_senders_total_.add();
  const auto why = fmt::format(
      "two senders write the series {}, so its counts mean nothing: give each process a "
      "service.instance.id of its own",
      to_text(*info->labels));
  log_warn("two senders write one series", {{"why", why}});
  if (draft.result.reason.empty()) draft.result.reason = why;
}

} // namespace coalmine::store
