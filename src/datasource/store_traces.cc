// SPDX-License-Identifier: Apache-2.0
#include "datasource/store_traces.h"

namespace coalmine::datasource {
namespace {

class StoreTraceSource final : public trace::TraceSource {
 public:
  explicit StoreTraceSource(const store::Store& store) : store_(store) {}

  Result<std::vector<StoredSpan>> find_spans(const SpanFilter& filter) const override {
    return store_.find_spans(filter);
  }
  Result<std::vector<StoredSpan>> trace(const TraceId& id) const override {
    return store_.trace(id);
  }
  Result<std::vector<std::vector<StoredSpan>>> traces(std::span<const TraceId> ids) const override {
    return store_.traces(ids);
  }
  const FailureRules& failures() const override { return store_.failures(); }

 private:
  const store::Store& store_;
};

} // namespace

std::unique_ptr<trace::TraceSource> make_store_trace_source(const store::Store& store) {
  return std::make_unique<StoreTraceSource>(store);
}

} // namespace coalmine::datasource
