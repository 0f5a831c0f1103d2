// The store's parts put together. Private to this room and its tests.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/fair_shared_mutex.h"
#include "store/disk/rocks_db.h"
#include "store/ingest/ingest.h"
#include "store/ingest/presence_book.h"
#include "store/ingest/stage.h"
#include "store/series/head.h"
#include "store/series/selector_cache.h"
#include "store/series/series_index.h"
#include "store/series/shared_times.h"
#include "store/spans/segment_list.h"
#include "store/store.h"

namespace coalmine::store {

inline constexpr std::uint64_t kSchemaVersion = 5;
// Samples this old and older are sealed, block by block; younger ones may still be joined by late
// ones.
inline constexpr std::int64_t kSealAgeMs = 5 * 60 * 1000;

// With a database of the caller's choice: the way in for tests that make writes fail.
Result<std::unique_ptr<Store>> open_store(Options options, const Clock& clock, SelfMetrics& metrics,
                                          std::unique_ptr<Database> database);

// Threads: append() and maintain() are writers and take turns under write_mutex_. What readers see
// (index_, head_, segments_, presence_) changes only under write_mutex_ and state_mutex_ both, so
// that a writer may read it without state_mutex_. Nothing waits for the disk under state_mutex_.
class StoreImpl final : public Store, private StoredSamples {
 public:
  StoreImpl(Options options, const Clock& clock, SelfMetrics& metrics,
            std::unique_ptr<Database> database);

  Status load();

  Result<AppendResult> append(const Batch& batch) override;
  Result<std::vector<SeriesData>> select(const SelectRequest& request) const override;
  Result<std::vector<FoundSeries>> find(const SelectRequest& request) const override;
  Status read_columns(std::span<const SeriesId> ids, const ColumnRequest& request,
                      const VisitColumns& visit) const override;
  std::vector<std::string> label_names(const SelectRequest& request) const override;
  std::vector<std::string> label_values(std::string_view label,
                                        const SelectRequest& request) const override;
  std::vector<MetricMetadata> metadata() const override;
  Result<std::vector<StoredSpan>> find_spans(const SpanFilter& filter) const override;
  Result<std::vector<StoredSpan>> trace(const TraceId& id) const override;
  std::vector<Presence> presence() const override;
  std::uint64_t arrivals(std::string_view service, std::string_view version) const override;
  std::uint64_t series_version(std::string_view service) const override;
  std::optional<std::vector<NewSamples>> newest(
      std::span<const SeriesPosition> positions) const override;
  StoreStats stats() const override;
  Status backup(const std::string& directory) override { return database_->copy_to(directory); }
  Status maintain() override;
  Status snapshot() override;

 private:
  // load
  Status check_schema();
  Status load_meta();
  Status load_series();
  Status load_chunks();
  Status move_slices(WriteSet& set) const;
  Status load_slices();
  Status load_segments();
  Status replay_log();
  void replay_record(std::uint64_t number, std::string_view bytes);
  void remember_recent_spans();
  void damaged(std::string_view what, const std::string& why, double count = 1) const;

  // append
  struct Draft;
  void take_points(const Batch& batch, std::int64_t now_ms, Draft& draft);
  void take_spans(const Batch& batch, std::int64_t now_ms, Draft& draft);
  WriteSet to_writes(Draft& draft);
  void publish(Draft& draft);
  void tell_two_senders(SeriesId series, Draft& draft);

  // StoredSamples
  SampleRun read(SeriesId id, std::int64_t from_ms, std::int64_t to_ms) const override;
  std::optional<Sample> last_value(SeriesId id) const override;
  bool in_head(SeriesId id, const Sample& sample) const override;

  // select
  struct Picked;
  struct ColumnSlice;
  // Calls visit with each series of the request, holding state_mutex_.
  template <typename Visit>
  Status pick(const SelectRequest& request, Visit visit) const;
  bool has_samples(SeriesId id, std::int64_t from_ms, std::int64_t to_ms) const;
  Source choose(const SourceChoice& choice, const SelectRequest& request) const;
  void plan_slice(std::span<const SeriesId> ids, const ColumnRequest& request,
                  ColumnSlice& slice) const;
  Status read_merged(SeriesId id, const ColumnRequest& request, SampleColumns& out) const;
  Status fill(std::vector<Picked>& picked, const SelectRequest& request,
              std::vector<SeriesData>& out) const;
  SampleRun decode(const std::string& key, const std::string& bytes, SharedTimes& times) const;

  // spans
  Result<SpanSegment> load_segment(const SegmentRef& ref) const;
  Result<std::vector<SpanSegment>> segments_with(const std::set<std::uint32_t>& traces,
                                                 std::int64_t from_ms, std::int64_t to_ms) const;
  template <typename Read>
  auto at_rest(Read read) const -> decltype(read());
  Result<std::vector<StoredSpan>> find_spans_once(const SpanFilter& filter) const;
  Result<std::vector<StoredSpan>> trace_once(const TraceId& id) const;

  // maintain
  Status end_silent_instances(std::int64_t now_ms);
  Status seal(std::int64_t now_ms);
  Status seal_slice(const SeriesId* begin, const SeriesId* end, std::int64_t cutoff_ms);
  Status finish_seal(std::uint64_t seal_record, std::int64_t cutoff_ms);
  Status take_snapshot();
  Status copy_head();
  Status copy_slice(std::uint64_t slice, std::uint64_t& bytes);
  Status apply_retention(std::int64_t now_ms);
  Status drop_older(std::int64_t time_ms, bool reclaim);
  Status shrink(std::int64_t now_ms);
  // spans: small segments into large ones, and what the budget asks for
  Status merge_segments();
  Status merge_run(const std::vector<SegmentRef>& run);
  Status keep_span_budget(std::int64_t now_ms);
  Status thin(const SegmentRef& ref);
  Status replace_segments(const std::vector<SegmentRef>& old, const SpanSegment& segment,
                          std::uint8_t thinned);
  Status drop_dead_series(std::int64_t now_ms);

  const Options options_;
  const Clock& clock_;
  const std::unique_ptr<Database> database_;
  Counter& damaged_total_;
  Counter& samples_total_;
  Counter& spans_total_;
  Counter& rejected_total_;
  Counter& refused_writes_total_;
  Counter& two_senders_total_;
  const std::int64_t opened_ms_; // before it nobody could be heard

  std::mutex maintain_mutex_; // one maintain() at a time; taken before the others
  std::mutex write_mutex_;    // taken before state_mutex_
  // Writers only.
  Ingest ingest_;
  RecentSpans recent_spans_;
  std::uint64_t next_record_ = 1;
  std::uint64_t next_chunk_ = 1;
  std::uint64_t next_segment_ = 1;
  std::uint64_t seal_record_ =
      0; // records below this number have their samples before sealed_before_ms_ in chunks
  std::int64_t sealed_before_ms_ = 0;
  std::deque<std::pair<std::uint64_t, std::int64_t>> log_records_; // number, newest sample
  std::vector<std::uint64_t> slice_records_; // by slice: records below this number are in its copy
  std::unordered_map<std::uint64_t, std::int64_t> two_senders_; // series id: when it was told
  std::uint64_t log_bytes_ = 0;      // of the records since the last snapshot
  std::uint64_t snapshot_bytes_ = 0; // what that took
  bool sealed_since_copy_ = true;    // the copy of the head has samples that are in chunks too

  mutable FairSharedMutex state_mutex_;
  mutable SelectorCache selectors_; // of index_; synchronised by itself, read under state_mutex_
  SeriesIndex index_;
  Head head_;
  SegmentList segments_;
  std::atomic<std::uint64_t> merges_{0}; // how often segments_ lost segments to a merge
  PresenceBook presence_;
  using ByVersion = std::map<std::string, std::uint64_t, std::less<>>; // "": of all
  std::map<std::string, ByVersion, std::less<>> arrivals_;             // by service
};

// A series that a selector picked, as it was then.
struct StoreImpl::Picked {
  SeriesId id;
  std::shared_ptr<const Labels> labels;
  MetricKind kind = MetricKind::gauge;
  Source source = Source::sent;
  std::string unit;
};

} // namespace coalmine::store
