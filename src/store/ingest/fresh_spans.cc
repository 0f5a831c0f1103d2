// SPDX-License-Identifier: Apache-2.0
#include "store/ingest/fresh_spans.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/rfc3339.h"
#include "store/spans/span_segment.h"

namespace coalmine::store {
namespace {

std::int64_t to_ms(std::uint64_t ns) { return static_cast<std::int64_t>(ns / 1'000'000); }

} // namespace

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

// Marks the spans to keep and returns their number.
std::size_t FreshSpans::sift(const SpanTable& all, std::vector<bool>& kept,
                             PresenceBook::Draft& presence, AppendResult& result) {
  std::vector<std::pair<std::int64_t, std::int64_t>> seen(all.resources.size(),
                                                          {INT64_MAX, INT64_MIN});
  std::vector<std::uint64_t> senders;
  for (const auto& resource : all.resources) senders.push_back(resource_hash(*resource));
  std::size_t count = 0;
  for (std::size_t i = 0; i < all.rows.size(); ++i) {
    const auto& row = all.rows[i];
    const std::int64_t start_ms = to_ms(row.start_ns);
    const std::int64_t end_ms = to_ms(row.end_ns);
    if (std::max(start_ms, end_ms) < window_.from_ms || start_ms > window_.to_ms) {
      ++result.rejected_spans;
      refuse("span", start_ms, result);
    } else if (is_fresh(span_hash(row, senders[row.resource]))) {
      kept[i] = true;
      ++count;
      auto& [first, last] = seen[row.resource];
      first = std::min(first, start_ms);
      last = std::max({last, start_ms, std::min(end_ms, window_.to_ms)});
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
  std::vector<bool> kept(all.rows.size());
  const std::size_t count = sift(all, kept, presence, result);
  if (count == all.rows.size()) {
    spans_ = &all;
    return;
  }
  SpanTableBuilder some;
  SpanTableBuilder::Import import(all, some);
  for (std::size_t i = 0; i < kept.size(); ++i) {
    if (kept[i]) import.add(i);
  }
  own_ = some.take();
}

void FreshSpans::take_logs(const Batch& batch, std::int64_t received_ms, AppendResult& result) {
  for (const auto& log : batch.logs) {
    LogRecord copy = log;
    if (copy.time_ns == 0) copy.time_ns = static_cast<std::uint64_t>(received_ms) * 1'000'000;
    const std::int64_t time_ms = to_ms(copy.time_ns);
    if (time_ms < window_.from_ms || time_ms > window_.to_ms) {
      ++result.rejected_logs;
      refuse("log record", time_ms, result);
    } else if (is_fresh(log_hash(copy))) {
      logs_.push_back(std::move(copy));
    }
  }
}

} // namespace coalmine::store
