// Puts the store's parts together. Private to this room and its tests.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "store/disk/damage_log.h"
#include "store/disk/rocks_db.h"
#include "store/ingest/appender.h"
#include "store/ingest/contents.h"
#include "store/ingest/instance_ends.h"
#include "store/retention.h"
#include "store/series/column_reader.h"
#include "store/series/head_copier.h"
#include "store/series/sealer.h"
#include "store/series/series_reader.h"
#include "store/spans/span_reader.h"
#include "store/spans/span_upkeep.h"
#include "store/store.h"

namespace coalmine::store {

// Opens a store on the given database. Tests use it to make writes fail.
Result<std::unique_ptr<Store>> open_store(Options options, const Clock& clock, SelfMetrics& metrics,
                                          std::unique_ptr<Database> database);

// Its parts lock contents_ by themselves.
class StoreImpl final : public Store {
 public:
  StoreImpl(const Options& options, const Clock& clock, SelfMetrics& metrics,
            std::unique_ptr<Database> database);

  // Before any other call.
  Status load();

  Result<AppendResult> append(const Batch& batch) override { return appender_.append(batch); }
  Result<std::vector<SeriesData>> select(const SelectRequest& request) const override {
    return series_.select(request);
  }
  Result<std::vector<FoundSeries>> find(const SelectRequest& request) const override {
    return series_.find(request);
  }
  Status read_columns(std::span<const SeriesId> ids, const ColumnRequest& request,
                      const VisitColumns& visit) const override {
    return columns_.read(ids, request, visit);
  }
  std::vector<std::string> label_names(const SelectRequest& request) const override {
    return series_.label_names(request);
  }
  std::vector<std::string> label_values(std::string_view label,
                                        const SelectRequest& request) const override {
    return series_.label_values(label, request);
  }
  std::vector<MetricMetadata> metadata() const override { return series_.metadata(); }
  Result<std::vector<StoredSpan>> find_spans(const SpanFilter& filter) const override {
    return spans_.find(filter);
  }
  Result<std::vector<StoredSpan>> trace(const TraceId& id) const override {
    return spans_.trace(id);
  }
  Result<std::vector<std::vector<StoredSpan>>> traces(std::span<const TraceId> ids) const override {
    return spans_.traces(ids);
  }
  std::vector<Presence> presence() const override;
  std::uint64_t arrivals(std::string_view service, std::string_view version) const override;
  std::uint64_t series_version(std::string_view service) const override {
    return series_.version_of(service);
  }
  std::optional<std::vector<NewSamples>> newest(
      std::span<const SeriesPosition> positions) const override {
    return series_.newest(positions);
  }
  StoreStats stats() const override;
  // How many facts about instances and versions the writer remembers.
  std::size_t facts() const { return appender_.facts(); }
  const FailureRules& failures() const override { return contents_.spans.failures; }
  Status backup(const std::string& directory) override { return database_->copy_to(directory); }
  Status maintain() override;
  Status snapshot() override;

 private:
  // Const after construction, or synchronised by themselves.
  const std::string directory_;
  const Clock& clock_;
  const std::unique_ptr<Database> database_;
  const DamageLog damage_;
  mutable Contents contents_; // names its guards itself
  const SeriesReader series_;
  const ColumnReader columns_;
  const SpanReader spans_;
  Appender appender_;

  std::mutex upkeep_mutex_; // taken before the locks of contents_
  // Guarded by upkeep_mutex_: one upkeep at a time.
  InstanceEnds ends_;
  Sealer sealer_;
  HeadCopier copier_;
  SpanUpkeep span_upkeep_;
  Retention retention_;
};

} // namespace coalmine::store
