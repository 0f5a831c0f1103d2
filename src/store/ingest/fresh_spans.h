// The spans and exception logs of one batch that are worth storing.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/unordered/unordered_flat_set.hpp>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "store/ingest/append_result.h"
#include "store/ingest/presence_book.h"
#include "store/spans/segment_list.h"
#include "telemetry/batch.h"
#include "telemetry/span_table.h"

namespace coalmine::store {

// Wall-clock window outside of which spans and logs are rejected.
struct SpanWindow {
  std::int64_t from_ms = 0;
  std::int64_t to_ms = 0;
};

// One per append, on the stack of the writer. The batch must outlive it.
class FreshSpans {
 public:
  FreshSpans(const RecentSpans& recent, SpanWindow window) : recent_(recent), window_(window) {}

  // Leaves out spans dated outside of the window and repeated ones. A span's start or end that
  // cannot be costs that value alone: the span gets the time of the other one.
  void take_spans(const Batch& batch, PresenceBook::Draft& presence, AppendResult& result);
  // received_ms: the time of logs that have none.
  void take_logs(const Batch& batch, std::int64_t received_ms, AppendResult& result);

  bool empty() const { return spans_->empty() && logs_.empty(); }
  const SpanTable& spans() const { return *spans_; }
  const std::vector<LogRecord>& logs() const { return logs_; }
  // The rows of spans() whose duration is unknown, ascending.
  const std::vector<std::uint32_t>& untimed() const { return untimed_; }
  // Hashes of the spans and logs, to be remembered once they are stored.
  const std::vector<std::uint64_t>& hashes() const { return hashes_; }

 private:
  struct Times {
    std::uint64_t start_ns = 0;
    std::uint64_t end_ns = 0;
    bool mended = false;
  };
  // nullopt: neither time can be.
  std::optional<Times> times_of(const SpanTable::Row& row) const;
  bool can_be(std::uint64_t ns) const;
  // True when the hash is seen for the first time.
  bool is_fresh(std::uint64_t hash);
  void refuse(std::string_view what, std::int64_t time_ms, AppendResult& result) const;
  std::size_t sift(const SpanTable& all, std::vector<std::optional<Times>>& kept,
                   PresenceBook::Draft& presence, AppendResult& result);

  const RecentSpans& recent_;
  const SpanWindow window_;
  SpanTable own_;
  const SpanTable* spans_ = &own_; // or the batch's table, when all spans are kept
  std::vector<std::uint32_t> untimed_;
  std::vector<LogRecord> logs_;
  std::vector<std::uint64_t> hashes_;
  boost::unordered_flat_set<std::uint64_t> in_batch_;
};

} // namespace coalmine::store
