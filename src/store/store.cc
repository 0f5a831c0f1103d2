// SPDX-License-Identifier: Apache-2.0
#include "store/store.h"

#include "store/disk/rocks_db.h"
#include "store/store_impl.h"

namespace coalmine::store {

Result<std::unique_ptr<Store>> Store::open(Options options, const Clock& clock,
                                           SelfMetrics& metrics) {
  TRY_ASSIGN(auto database,
             open_rocks({options.directory, options.sync_interval_ms, options.disk_reserve_bytes}));
  return open_store(std::move(options), clock, metrics, std::move(database));
}

Result<std::vector<FoundSeries>> Store::find(const SelectRequest& request) const {
  SelectRequest labels_only = request;
  labels_only.with_samples = false;
  TRY_ASSIGN(const auto found, select(labels_only));
  std::vector<FoundSeries> out;
  out.reserve(found.size());
  for (const auto& data : found) out.push_back({data.id, data.labels, data.kind, data.source});
  return out;
}

Status Store::read_columns(std::span<const SeriesId>, const ColumnRequest&,
                           const VisitColumns&) const {
  return fail(ErrorCode::unimplemented, "this store does not read columns");
}

Result<std::vector<std::vector<StoredSpan>>> Store::traces(std::span<const TraceId> ids) const {
  std::vector<std::vector<StoredSpan>> out;
  for (const auto& id : ids) {
    TRY_ASSIGN(auto spans, trace(id));
    out.push_back(std::move(spans));
  }
  return out;
}

const FailureRules& Store::failures() const {
  static const FailureRules kNone;
  return kNone;
}

std::uint64_t Store::arrivals(std::string_view, std::string_view) const { return 0; }
std::uint64_t Store::series_version(std::string_view) const { return 0; }
std::optional<std::vector<NewSamples>> Store::newest(std::span<const SeriesPosition>) const {
  return std::nullopt;
}

} // namespace coalmine::store
