// SPDX-License-Identifier: Apache-2.0
#include "store/ingest/fresh_spans.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/rfc3339.h"
#include "store/spans/span_segment.h"

namespace coalmine::store {
bool FreshSpans::is_fresh(std::uint64_t hash) {
  if (recent_.contains(hash) || !in_batch_.insert(hash).second) return false;
  hashes_.push_back(hash);
  return true;
}

void FreshSpans::refuse(std::string_view what, std::int64_t time_ms, AppendResult& result) const {
  if (!result.reason.empty()) return;
  result.reason = fmt::format(
      "a {} is dated {}, outside the time that is kept, {} to {}: check the sender's clock", what,
      rfc3339(time_ms), rfc3339(window_.from_ms), rfc3339(window_.to_ms));
}

bool FreshSpans::can_be(std::uint64_t ns) const {
  const std::int64_t ms = ns_to_ms(ns);
  return ms >= window_.from_ms && ms <= window_.to_ms;
}

std::optional<FreshSpans::Times> FreshSpans::times_of(const SpanTable::Row& row) const {
  const bool end = can_be(row.end_ns);
  if (can_be(row.start_ns) && (!end || row.start_ns <= row.end_ns))
    return Times{row.start_ns, end ? row.end_ns : row.start_ns, !end};
  if (end) return Times{row.end_ns, row.end_ns, true};
  return std::nullopt;
}

// Sets the times of the spans to keep and returns their number.
std::size_t FreshSpans::sift(const SpanTable& all, std::vector<std::optional<Times>>& kept,
                             PresenceBook::Draft& presence, AppendResult& result) {
  std::vector<std::pair<std::int64_t, std::int64_t>> seen(all.resources.size(),
                                                          {INT64_MAX, INT64_MIN});
  std::vector<std::uint64_t> senders;
  for (const auto& resource : all.resources) senders.push_back(resource_hash(*resource));
  std::size_t count = 0;
  for (std::size_t i = 0; i < all.rows.size(); ++i) {
    const auto& row = all.rows[i];
    const auto times = times_of(row);
    if (!times) {
      ++result.rejected_spans;
      refuse("span", ns_to_ms(row.start_ns), result);
    } else if (is_fresh(span_hash(row, senders[row.resource]))) {
      kept[i] = times;
      ++count;
      auto& [first, last] = seen[row.resource];
      first = std::min(first, ns_to_ms(times->start_ns));
      last = std::max(last, ns_to_ms(times->end_ns));
    }
  }
  for (std::size_t i = 0; i < seen.size(); ++i) {
    if (seen[i].second != INT64_MIN)
      presence.see_span(*all.resources[i], seen[i].first, seen[i].second);
  }
  return count;
}

void FreshSpans::take_spans(const Batch& batch, PresenceBook::Draft& presence,
                            AppendResult& result) {
  const SpanTable& all = batch.spans;
  std::vector<std::optional<Times>> kept(all.rows.size());
  const std::size_t count = sift(all, kept, presence, result);
  const auto mended = [](const std::optional<Times>& times) { return times && times->mended; };
  if (count == all.rows.size() && std::ranges::none_of(kept, mended)) {
    spans_ = &all;
    return;
  }
  SpanTableBuilder some;
  SpanTableBuilder::Import import(all, some);
  for (std::size_t i = 0; i < kept.size(); ++i) {
    if (!kept[i]) continue;
    import.add(i);
    auto& rows = some.table().rows;
    rows.back().start_ns = kept[i]->start_ns;
    rows.back().end_ns = kept[i]->end_ns;
    if (kept[i]->mended) untimed_.push_back(static_cast<std::uint32_t>(rows.size() - 1));
  }
  own_ = some.take();
}

void FreshSpans::take_logs(const Batch& batch, std::int64_t received_ms, AppendResult& result) {
  for (const auto& log : batch.logs) {
    LogRecord copy = log;
    if (copy.time_ns == 0) copy.time_ns = static_cast<std::uint64_t>(received_ms) * 1'000'000;
    const std::int64_t time_ms = ns_to_ms(copy.time_ns);
    if (time_ms < window_.from_ms || time_ms > window_.to_ms) {
      ++result.rejected_logs;
      refuse("log record", time_ms, result);
    } else if (is_fresh(log_hash(copy))) {
      logs_.push_back(std::move(copy));
    }
  }
}

} // namespace coalmine::store
