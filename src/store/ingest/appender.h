// Appends a batch: it is drafted, written atomically, and then made visible.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <unordered_map>

#include "base/clock.h"
#include "base/result.h"
#include "base/self_metrics.h"
#include "store/disk/damage_log.h"
#include "store/disk/rocks_db.h"
#include "store/ingest/append_result.h"
#include "store/ingest/contents.h"
#include "store/ingest/ingest.h"
#include "store/series/sample_reader.h"
#include "store/spans/segment_list.h"
#include "telemetry/batch.h"

namespace coalmine::store {

// The members mean the same as those of store::Options.
struct AppendOptions {
  std::int64_t retention_ms = 0;
  std::int64_t accept_late_ms = 0;
  std::int64_t accept_future_ms = 0;
  std::function<void(const std::string& service)> on_arrival;
};

// append() may be called on any thread: it takes Locks::write, and Locks::state to publish. The
// constructor's arguments must outlive the appender.
class Appender {
 public:
  Appender(AppendOptions options, const Clock& clock, Backing backing, Contents& contents,
           SelfMetrics& metrics);

  // unavailable: the disk refused, nothing was kept, and the client may send again.
  Result<AppendResult> append(const Batch& batch);

  // Called once the contents are loaded and before the first append.
  void restore();
  // Drops all pointers to series. Called under Locks::write, before series are removed.
  void forget() { ingest_.forget(); }
  // Then, once they are removed: forgets what is known of instances whose series are all gone.
  // before_ms: that have counted no request since.
  void forget_ended(std::int64_t before_ms) {
    ingest_.forget_ended(contents_.series.index, before_ms);
  }
  // What is known of instances and versions. Takes Locks::write.
  std::size_t facts() const;
  // Once an hour: forgets everything that can be read from the store again, so that what came and
  // went is held no longer than that. Takes Locks::write.
  void refresh(std::int64_t now_ms);

 private:
  struct Draft;
  void take_points(const Batch& batch, std::int64_t now_ms, Draft& draft);
  void take_spans(const Batch& batch, std::int64_t now_ms, Draft& draft);
  WriteSet to_writes(Draft& draft);
  void publish(Draft& draft);
  void report_two_senders(SeriesId series, Draft& draft);

  // Const after construction, or synchronised by itself.
  const AppendOptions options_;
  const Clock& clock_;
  const Backing backing_;
  Contents& contents_;
  const SampleReader stored_;
  Counter& samples_total_;
  Counter& spans_total_;
  Counter& rejected_total_;
  Counter& refused_writes_total_;
  Counter& two_senders_total_;

  // Guarded by Locks::write.
  Ingest ingest_;
  RecentSpans recent_spans_;
  // Series id to the time of the last report.
  std::unordered_map<std::uint64_t, std::int64_t> two_senders_;
  std::int64_t refreshed_ms_ = 0;
};

} // namespace coalmine::store
