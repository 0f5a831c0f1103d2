// The embedded store: metric series, spans and exception logs in one RocksDB directory.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/ids.h"
#include "base/result.h"
#include "base/self_metrics.h"
#include "store/ingest/append_result.h"
#include "store/series/requests.h"
#include "telemetry/batch.h"
#include "telemetry/failure_rule.h"
#include "telemetry/presence.h"
#include "telemetry/sample.h"
#include "telemetry/store_facts.h"
#include "telemetry/stored_span.h"

namespace coalmine::store {

struct Options {
  std::string directory; // made if missing; locked while open
  std::int64_t retention_ms = 24LL * 3600 * 1000;
  std::uint64_t retention_bytes = 8ULL << 30; // of the directory; the oldest block is dropped first
  // The share of retention_bytes that spans may take; 0: half. Beyond it healthy spans are thinned
  // out, evenly by trace and the oldest first. Each span that is kept says how many it stands for.
  // Failing and slow traces stay until there is nothing else to drop.
  std::uint64_t span_budget_bytes = 0;
  std::int64_t accept_late_ms = 3600 * 1000; // older points are rejected, by wall clock
  std::int64_t accept_future_ms = 10 * 60 * 1000;
  // An instance has ended when it exports no metrics for this many of its export intervals, a
  // minute at least. Its series then get staleness markers, as if the application had ended them
  // itself. 0: never.
  double ended_after_intervals = 3;
  // A series beyond this is refused. The message names the label with the most values. Series that
  // have ended do not count, up to ten times as many.
  std::size_t max_series_per_service = 200'000;
  // The most that a power loss can cost. kill -9 loses nothing at any setting.
  std::int64_t sync_interval_ms = 1000;
  // A start has to replay the log since the last copy of the head. Upkeep makes a copy when that
  // log has reached this size, and half the size of the last copy.
  std::uint64_t snapshot_bytes = 16ULL << 20;
  // Below this much free space append() fails with unavailable.
  std::uint64_t disk_reserve_bytes = 32ULL << 20;
  // Which statuses fail. Counted by at arrival: another rule holds for what arrives from then on.
  FailureRules failures;
  // Called on the thread of append() for every service with telemetry in the batch, once readers
  // see it. It must be quick and must not call the store. May be empty.
  std::function<void(const std::string& service)> on_arrival;
};

// Keeps metric series, spans and exception logs of the recent past. Thread-safe throughout. What
// append() accepted survives kill -9 and is visible to the next call of any reader, on any thread.
class Store {
 public:
  // Opens the store and reads the snapshot and the tail of the log. Damaged pieces are logged,
  // counted and skipped.
  static Result<std::unique_ptr<Store>> open(Options options, const Clock& clock,
                                             SelfMetrics& metrics);
  virtual ~Store() = default;

  // unavailable: the disk refused (full, stalled), nothing was kept, and the client may send again.
  virtual Result<AppendResult> append(const Batch& batch) = 0;

  virtual Result<std::vector<SeriesData>> select(const SelectRequest& request) const = 0;
  // The series that select() finds, without samples, in the same order.
  virtual Result<std::vector<FoundSeries>> find(const SelectRequest& request) const;
  // Visits the samples of these series as columns of numbers, one series after the other in the
  // order given. A series without samples is visited too. It takes few allocations and little
  // memory, however many series there are. unimplemented: this store does not read columns.
  virtual Status read_columns(std::span<const SeriesId> ids, const ColumnRequest& request,
                              const VisitColumns& visit) const;
  // The sorted label names, or values of one label, of the series that match and have samples in
  // the range.
  virtual std::vector<std::string> label_names(const SelectRequest& request) const = 0;
  virtual std::vector<std::string> label_values(std::string_view label,
                                                const SelectRequest& request) const = 0;
  virtual std::vector<MetricMetadata> metadata() const = 0;

  // Newest first by span start.
  virtual Result<std::vector<StoredSpan>> find_spans(const SpanFilter& filter) const = 0;
  // All spans of a trace by start time; empty when unknown.
  virtual Result<std::vector<StoredSpan>> trace(const TraceId& id) const = 0;
  // Several at once, in the order of ids, for little more than one costs.
  virtual Result<std::vector<std::vector<StoredSpan>>> traces(std::span<const TraceId> ids) const;

  virtual std::vector<Presence> presence() const = 0;
  // A number that grows whenever telemetry of a service, or of one version of it, is stored. While
  // it stays the same nothing new has been stored, and a reader need not select again. version "":
  // of all. 0: unknown.
  virtual std::uint64_t arrivals(std::string_view service, std::string_view version) const;
  // Changes whenever a series of the service is added or removed. 0: unknown.
  virtual std::uint64_t series_version(std::string_view service) const;
  // The samples added to series since a reader last looked, by index in the request. For readers
  // that look every few seconds. nullopt: some may be in files; use select().
  virtual std::optional<std::vector<NewSamples>> newest(
      std::span<const SeriesPosition> positions) const;
  virtual StoreStats stats() const = 0;
  // Options::failures.
  virtual const FailureRules& failures() const;

  // Makes a consistent copy of everything acknowledged so far, while the store goes on working.
  // directory must not exist yet. Slow: everything is read, written, synced and verified.
  // unavailable: a disk refused. data_loss: the copy is damaged.
  virtual Status backup(const std::string& directory) {
    return fail(ErrorCode::unimplemented, "this store has nothing on disk to copy to " + directory);
  }

  // Upkeep: seals the head into chunks, applies retention and drops unneeded log records. Called by
  // a timer of the server, and by tests at any time.
  virtual Status maintain() = 0;
  // Copies the head into data files, so that the next start has almost no log to replay. Called
  // before an orderly shutdown.
  virtual Status snapshot() { return {}; }
};

} // namespace coalmine::store
