// A Store of plain vectors for the tests of this room. It selects as described in store.h, without
// choosing sources.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <map>
#include <set>

#include "promql/syntax/series_matcher.h"
#include "store/store.h"
#include "telemetry/outcome.h"

namespace coalmine::datasource {

class FakeStore final : public store::Store {
 public:
  std::vector<SeriesData> series;
  std::vector<Presence> present;
  std::vector<StoredSpan> spans;
  FailureRules rules;
  std::optional<Error> broken; // every reader fails with it
  mutable std::vector<store::SelectRequest> requests;

  Result<store::AppendResult> append(const Batch&) override { return store::AppendResult{}; }

  Result<std::vector<SeriesData>> select(const store::SelectRequest& request) const override {
    requests.push_back(request);
    if (broken) return std::unexpected(*broken);
    const promql::SeriesMatcher matcher(request.matchers);
    std::vector<SeriesData> out;
    if (request.sources == store::SelectRequest::Sources::incomplete)
      return out; // all are complete
    for (const auto& s : series) {
      if (!matcher.matches(*s.labels)) continue;
      auto copy = s;
      const auto outside = [&](const auto& sample) {
        return sample.time_ms < request.from_ms || sample.time_ms > request.to_ms;
      };
      std::erase_if(copy.floats, outside);
      std::erase_if(copy.classic, outside);
      std::erase_if(copy.exponential, outside);
      if (!copy.exponential.empty() && copy.source != Source::sent && !request.exact_durations)
        continue;
      if (copy.floats.empty() && copy.classic.empty() && copy.exponential.empty()) continue;
      if (!request.with_samples) {
        copy.floats.clear();
        copy.classic.clear();
        copy.exponential.clear();
      }
      out.push_back(std::move(copy));
    }
    return out;
  }
  std::vector<std::string> label_names(const store::SelectRequest&) const override { return {}; }
  std::vector<std::string> label_values(std::string_view,
                                        const store::SelectRequest&) const override {
    return {};
  }
  std::vector<MetricMetadata> metadata() const override { return {}; }

  Result<std::vector<StoredSpan>> find_spans(const SpanFilter& filter) const override {
    if (broken) return std::unexpected(*broken);
    auto sorted = spans;
    std::ranges::stable_sort(sorted, std::ranges::greater{},
                             [](const StoredSpan& s) { return s.span.start_ns; });
    std::vector<StoredSpan> out;
    std::set<TraceId> traces;
    for (auto& s : sorted) {
      const auto& r = *s.span.resource;
      const auto start_ms = static_cast<std::int64_t>(s.span.start_ns / 1'000'000);
      const bool fits = r.service == filter.service &&
                        (!filter.version || r.version == *filter.version) &&
                        (!filter.track || r.track == *filter.track) &&
                        (!filter.errors_only || is_failed(s.span, rules)) &&
                        start_ms >= filter.from_ms && start_ms <= filter.to_ms;
      if (!fits || out.size() >= filter.limit || !traces.insert(s.span.trace_id).second) continue;
      out.push_back(std::move(s));
    }
    return out;
  }
  Result<std::vector<StoredSpan>> trace(const TraceId& id) const override {
    if (broken) return std::unexpected(*broken);
    std::vector<StoredSpan> out;
    for (const auto& s : spans) {
      if (s.span.trace_id == id) out.push_back(s);
    }
    std::ranges::stable_sort(out, {}, [](const StoredSpan& s) { return s.span.start_ns; });
    return out;
  }
  std::vector<Presence> presence() const override { return present; }
  StoreStats stats() const override { return {}; }
  const FailureRules& failures() const override { return rules; }
  Status maintain() override { return {}; }
};

} // namespace coalmine::datasource
