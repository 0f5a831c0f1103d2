// The embedded store: metric series, spans and exception logs in one RocksDB directory.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "base/clock.h"
#include "base/ids.h"
#include "base/result.h"
#include "base/self_metrics.h"
#include "telemetry/batch.h"
#include "telemetry/sample_columns.h"

namespace coalmine::store {

// Where a request/error/duration series comes from (design: one source of counts per instance,
// never added up).
enum class Source : std::uint8_t {
  sent,      // the series as the application sent it; for the three request metrics: its explicit
             // counters
  histogram, // derived from the HTTP server duration histogram
  spans,     // derived from server and consumer spans
};

// The three names that every service answers to, whatever it sends (milliseconds for the duration).
inline constexpr std::string_view kRequestsName = "http_server_request_total";
inline constexpr std::string_view kErrorsName = "http_server_request_errors_total";
inline constexpr std::string_view kDurationName =
    "http_server_request_duration"; // a classic histogram

struct FloatSample {
  std::int64_t time_ms = 0;
  std::int64_t start_ms = 0; // of the cumulative count; 0 unknown
  double value = 0;          // the NaN 0x7ff0000000000002 is a staleness marker
};
struct ClassicSample {
  std::int64_t time_ms = 0;
  std::int64_t start_ms = 0;
  bool stale = false;
  ClassicHistogram value; // cumulative over time since start_ms
};
struct ExponentialSample {
  std::int64_t time_ms = 0;
  std::int64_t start_ms = 0;
  bool stale = false;
  ExponentialHistogram value;
};

// One series with its samples in a time range, ascending, at most one a millisecond. All sums and
// histograms are cumulative here: delta points were added up on the way in. Exactly one of the
// three vectors is used, by kind.
struct SeriesData {
  SeriesId id;
  std::shared_ptr<const Labels>
      labels; // __name__ is the base name: no _bucket/_sum/_count view here
  MetricKind kind = MetricKind::gauge;
  Source source = Source::sent;
  std::string unit;
  std::vector<FloatSample> floats;
  std::vector<ClassicSample> classic;
  std::vector<ExponentialSample> exponential;
};

struct SelectRequest {
  std::vector<Matcher> matchers;
  std::int64_t from_ms = 0; // inclusive
  std::int64_t to_ms = 0;   // inclusive
  // For the three request names: true (default) leaves per instance only the best source that has
  // requests in the range, in the order sent, histogram, spans; false returns every source.
  bool choose_source = true;
  bool with_samples = true;             // false: labels only (series, labels, label values)
  bool all_series = false;              // find() also gives those without samples in the range
  std::size_t max_samples = 50'000'000; // more fails with resource_exhausted
  // Asked now and then while samples are read, on the caller's thread; true: give up with
  // deadline_exceeded. May be empty.
  std::function<bool()> give_up = nullptr;
};

// A series that a selector found.
struct FoundSeries {
  SeriesId id;
  std::shared_ptr<const Labels> labels; // as in SeriesData
  MetricKind kind = MetricKind::gauge;
  Source source = Source::sent;
};

// How far a reader has come with a series.
struct SeriesPosition {
  SeriesId id;
  std::int64_t from_ms = 0; // its next samples are at this time or later
  // What it has read at that time, so that it is not given that again: samples may still be
  // replaced.
  struct Seen {
    double value = 0; // or the sum
    std::uint64_t count = 0;
  };
  std::optional<Seen> seen = std::nullopt;
};
// What it has had since; exponential histograms are left out.
struct NewSamples {
  std::vector<FloatSample> floats;
  std::vector<ClassicSample> classic;
  bool empty() const { return floats.empty() && classic.empty(); }
};

// Where columns are read, and what of histograms.
struct ColumnRequest {
  std::int64_t from_ms = 0; // inclusive
  std::int64_t to_ms = 0;   // inclusive
  HistogramPart part = HistogramPart::buckets;
  // All of the range is one window, of which only its first and last sample, their number and what
  // falls are asked for, as of a rate: a chunk within it in which nothing falls may be given by its
  // first and last row, the others as SampleColumns::hidden.
  bool one_window = false;
};
// place: of the series in the list that was asked for. False ends the reading. Called without a
// lock held.
using VisitColumns = std::function<bool(std::size_t place, const SampleColumns& columns)>;

struct MetricMetadata {
  std::string name; // Prometheus base name
  MetricKind kind = MetricKind::gauge;
  std::string unit;
  std::string help;
};

// A span with what belongs to it, as find and trace return it.
struct StoredSpan {
  Span span;
  std::vector<LogRecord> logs; // exception logs of this span
};

struct SpanFilter {
  std::string service; // required
  std::optional<std::string> version;
  std::optional<std::string> track;
  bool errors_only = false; // status ERROR
  // Each name must be an attribute of the span (or else of its resource) whose text form (to_text)
  // is the value.
  std::vector<std::pair<std::string, std::string>> attributes;
  std::int64_t from_ms = 0; // by span start
  std::int64_t to_ms = INT64_MAX;
  std::size_t limit = 20; // spans of distinct traces
};

// First and last telemetry of one (service, track, version, instance), metrics and spans alike.
// "Canary age" comes from here.
struct Presence {
  std::string service;
  std::string track;
  std::string version;
  std::string instance;
  std::string environment;
  std::int64_t first_ms = 0;
  std::int64_t last_ms = 0;
  std::int64_t export_interval_ms = 0; // longest seen between two metric exports; 0 unknown
};

// What happened to the parts of a batch that were not kept; the receiver turns it into partial
// success.
struct AppendResult {
  std::size_t rejected_points = 0;
  std::size_t rejected_spans = 0;
  std::size_t rejected_logs = 0;
  std::string reason; // one sentence, "" when nothing was rejected
};

struct StoreStats {
  std::size_t series = 0;
  std::size_t head_samples = 0;
  std::uint64_t disk_bytes = 0;
  std::int64_t oldest_ms = 0;
  std::int64_t newest_ms = 0;
};

struct Options {
  std::string directory; // made when missing; locked while open
  std::int64_t retention_ms = 24LL * 3600 * 1000;
  std::uint64_t retention_bytes = 8ULL << 30; // of the directory; the oldest goes first
  // Of it, what spans may take (0: half). Beyond it healthy spans are thinned out, evenly by trace
  // and the oldest first, and what is kept says how many it stands for; failing and slow traces
  // stay until there is nothing else to drop.
  std::uint64_t span_budget_bytes = 0;
  std::int64_t accept_late_ms = 3600 * 1000; // older points are rejected, by wall clock
  std::int64_t accept_future_ms = 10 * 60 * 1000;
  // An instance that exports metrics and then nothing for this many of its export intervals (a
  // minute at least) has ended: its series get staleness markers, as those of an app get that says
  // so itself. 0: never.
  double ended_after_intervals = 3;
  std::size_t max_series_per_service =
      200'000;                          // more is refused, naming the label with most values
  std::int64_t sync_interval_ms = 1000; // power-loss window; kill -9 loses nothing at any setting
  // Upkeep copies what is in memory only into data files once this much log, and half of what the
  // last copy took, has come since: the log that a start has to replay.
  std::uint64_t snapshot_bytes = 16ULL << 20;
  std::uint64_t disk_reserve_bytes = 32ULL
                                     << 20; // below this much free space ingest answers unavailable
  // Called on the writer's thread for every service whose telemetry a batch has brought, once
  // readers see it. Quick, and calls nothing of the store. May be empty.
  std::function<void(const std::string& service)> on_arrival;
};

// Thread-safe throughout. What append accepted survives kill -9 and is visible to the next call of
// any reader, on any thread.
class Store {
 public:
  // Reads what an earlier process left (snapshot and tail of the log). Damaged pieces are logged,
  // counted and skipped.
  static Result<std::unique_ptr<Store>> open(Options options, const Clock& clock,
                                             SelfMetrics& metrics);
  virtual ~Store() = default;

  // unavailable: the disk refuses (full, stalled); nothing was kept and the client may send again.
  virtual Result<AppendResult> append(const Batch& batch) = 0;

  virtual Result<std::vector<SeriesData>> select(const SelectRequest& request) const = 0;
  // What select finds, without samples, in its order.
  virtual Result<std::vector<FoundSeries>> find(const SelectRequest& request) const;
  // Their samples one series after the other, in the order given, as numbers: with few allocations
  // and little memory however many they are. A series without samples is visited too. unimplemented
  // where a store has no such way.
  virtual Status read_columns(std::span<const SeriesId> ids, const ColumnRequest& request,
                              const VisitColumns& visit) const;
  // Names of labels / values of one label over the series that match and have samples in the range.
  // Sorted.
  virtual std::vector<std::string> label_names(const SelectRequest& request) const = 0;
  virtual std::vector<std::string> label_values(std::string_view label,
                                                const SelectRequest& request) const = 0;
  virtual std::vector<MetricMetadata> metadata() const = 0;

  // Newest first by span start.
  virtual Result<std::vector<StoredSpan>> find_spans(const SpanFilter& filter) const = 0;
  // All spans of a trace by start time; empty when unknown.
  virtual Result<std::vector<StoredSpan>> trace(const TraceId& id) const = 0;

  virtual std::vector<Presence> presence() const = 0;
  // How often telemetry of a service, or of one version of it, has been stored since the start: who
  // finds the number unchanged need not select again. version "": of all. 0: unknown.
  virtual std::uint64_t arrivals(std::string_view service, std::string_view version) const;
  // Another number whenever a series of the service came or went. 0: unknown.
  virtual std::uint64_t series_version(std::string_view service) const;
  // What series that find() told of have had since, by place in the request: for readers that look
  // every few seconds. nullopt: some of it may be in files; select() finds it there.
  virtual std::optional<std::vector<NewSamples>> newest(
      std::span<const SeriesPosition> positions) const;
  virtual StoreStats stats() const = 0;

  // A consistent copy of everything acknowledged so far, while the store works on; directory must
  // not exist yet. Slow: it is read, written, synced and verified. unavailable: a disk refuses;
  // data_loss: what was copied is damaged.
  virtual Status backup(const std::string& directory) {
    return fail(ErrorCode::unimplemented, "this store has nothing on disk to copy to " + directory);
  }

  // Seals the head into chunks, applies retention and drops the covered log. Called by a timer in
  // app/, by tests at will.
  virtual Status maintain() = 0;
  // Copies what is in memory only into data files, so that the next start has next to no log to
  // replay. Called before an orderly end.
  virtual Status snapshot() { return {}; }
};

} // namespace coalmine::store
