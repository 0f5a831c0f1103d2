// SPDX-License-Identifier: Apache-2.0
#include "datasource/own_source.h"

#include <algorithm>
#include <string>
#include <utility>

#include "cohort/cohort_sums.h"
#include "datasource/asked_seldom.h"
#include "datasource/request_series.h"
#include "datasource/series_source.h"
#include "datasource/store_cohorts.h"

namespace coalmine::datasource {
namespace {

// What OTLP brought of a cohort.
enum class Brought {
  nothing, // or only counters without start times, which remote write may have brought
  spans,
  metrics,
};

Result<Brought> brought(const store::Store& store, const cohort::CohortSelector& cohort,
                        std::int64_t from_ms, std::int64_t to_ms) {
  const auto select = [&](std::string_view name, bool with_samples) {
    store::SelectRequest request;
    request.matchers = cohort.matchers;
    request.matchers.push_back({std::string(kMetricName), Matcher::Op::equal, std::string(name)});
    request.from_ms = from_ms;
    request.to_ms = to_ms;
    request.choose_source = false;
    request.with_samples = with_samples;
    return store.select(request);
  };
  TRY_ASSIGN(const auto known, select(kRequestsName, false));
  const auto has = [&](Source source) {
    return std::ranges::any_of(known, [&](const SeriesData& s) { return s.source == source; });
  };
  if (has(Source::histogram)) return Brought::metrics;
  if (!has(Source::sent)) return has(Source::spans) ? Brought::spans : Brought::nothing;
  // Histograms come whole by OTLP alone. Samples are read only where there are none.
  TRY_ASSIGN(const auto timed, select(kDurationName, false));
  const auto whole = [](const SeriesData& s) {
    return s.source == Source::sent && s.kind == MetricKind::histogram;
  };
  if (std::ranges::any_of(timed, whole)) return Brought::metrics;
  TRY_ASSIGN(const auto counted, select(kRequestsName, true));
  const auto started = [](const SeriesData& series) {
    return series.source == Source::sent &&
           std::ranges::any_of(series.floats, [](const FloatSample& s) { return s.start_ms != 0; });
  };
  return std::ranges::any_of(counted, started) ? Brought::metrics : Brought::nothing;
}

// The names without those that the store gives to what it derives from spans.
SeriesNames names_beside_spans() {
  SeriesNames out;
  const auto derived = [](const std::string& name) {
    const auto plain = plain_name(name);
    return plain == kRequestsName || plain == kErrorsName || plain == kDurationName;
  };
  std::erase_if(out.requests, derived);
  std::erase_if(out.errors, derived);
  std::erase_if(out.durations, derived);
  return out;
}

double requests_of(const cohort::CohortCounts& counts) {
  double out = 0;
  for (const auto& route : counts.routes) out += route.counts.requests;
  return out;
}

// Stateless but for what the series sources remember; any thread.
class OwnCohortSource final : public cohort::CohortSource {
 public:
  OwnCohortSource(const store::Store& store, const promql::Queryable& data)
      : store_(store),
        sent_(make_store_cohort_source(store)),
        written_(make_series_cohort_source(data, {})),
        beside_spans_(make_series_cohort_source(data, names_beside_spans())) {}

  Result<cohort::CohortCounts> counts(const cohort::CohortSelector& cohort, std::int64_t from_ms,
                                      std::int64_t to_ms) const override {
    TRY_ASSIGN(auto sent, sent_->counts(cohort, from_ms, to_ms));
    TRY_ASSIGN(const auto what,
               brought(store_, cohort, from_ms - cohort::kBaselineLookbackMs, to_ms));
    if (what == Brought::metrics) return sent;
    const auto& other = what == Brought::spans ? *beside_spans_ : *written_;
    TRY_ASSIGN(auto written, other.counts(cohort, from_ms, to_ms));
    return requests_of(written) > 0 ? std::move(written) : std::move(sent);
  }

  std::vector<std::string> label_values(const cohort::CohortSelector& cohort,
                                        const std::string& label, std::int64_t from_ms,
                                        std::int64_t to_ms) const override {
    auto out = sent_->label_values(cohort, label, from_ms, to_ms);
    return out.empty() ? written_->label_values(cohort, label, from_ms, to_ms) : out;
  }
  std::vector<std::string> metric_names(const cohort::CohortSelector& cohort, std::int64_t from_ms,
                                        std::int64_t to_ms) const override {
    return sent_->metric_names(cohort, from_ms, to_ms);
  }
  std::string counted_twice(const cohort::CohortSelector& cohort,
                            std::int64_t to_ms) const override {
    return twice_.get(key_of(cohort), to_ms, [&] {
      const auto what = brought(store_, cohort, to_ms - cohort::kBaselineLookbackMs, to_ms);
      if (!what || *what == Brought::metrics) return std::string(); // OTLP has no replicas
      return written_->counted_twice(cohort, to_ms);
    });
  }

 private:
  const store::Store& store_;
  const std::unique_ptr<cohort::CohortSource> sent_;
  const std::unique_ptr<cohort::CohortSource> written_;
  const std::unique_ptr<cohort::CohortSource> beside_spans_;
  const AskedSeldom twice_;
};

// The feeds of one rollout, of which one is read.
struct Ways {
  std::unique_ptr<cohort::CountFeed> sent;
  std::unique_ptr<cohort::CountFeed> written;
  std::unique_ptr<cohort::CountFeed> beside_spans;
};

// One rollout's reading position. See CountFeed.
class OwnCountFeed final : public cohort::CountFeed {
 public:
  OwnCountFeed(const store::Store& store, const promql::Queryable& data,
               cohort::CountFeedRequest request, Ways ways)
      : store_(store), data_(data), request_(std::move(request)), ways_(std::move(ways)) {}

  Status read(cohort::CountGrid& grid, std::int64_t now_ms) override {
    if (!chosen_) TRY(choose(now_ms + cohort::kFutureMs));
    return (chosen_ ? *chosen_ : *ways_.sent).read(grid, now_ms);
  }
  Status read_past(cohort::CountGrid& grid, std::int64_t until_ms) override {
    if (!chosen_) TRY(choose(until_ms));
    return (chosen_ ? *chosen_ : *ways_.sent).read_past(grid, until_ms);
  }

 private:
  Status choose(std::int64_t to_ms) {
    const auto from_ms = request_.origin_ms - cohort::kBaselineLookbackMs;
    auto most = Brought::nothing;
    for (const auto* cohort : {&request_.canary, &request_.stable}) {
      TRY_ASSIGN(const auto what, brought(store_, *cohort, from_ms, to_ms));
      most = std::max(most, what);
    }
    const bool spans = most == Brought::spans;
    if (most != Brought::metrics) {
      TRY_ASSIGN(const bool written,
                 any(spans ? names_beside_spans() : SeriesNames(), from_ms, to_ms));
      if (written) {
        chosen_ = (spans ? ways_.beside_spans : ways_.written).get();
        return {};
      }
    }
    if (most != Brought::nothing) chosen_ = ways_.sent.get();
    return {};
  }

  // True if either track has series of these names.
  Result<bool> any(const SeriesNames& names, std::int64_t from_ms, std::int64_t to_ms) const {
    for (const auto* cohort : {&request_.canary, &request_.stable}) {
      promql::Selection selection;
      selection.matchers = request_matchers(*cohort, names);
      selection.from_ms = from_ms;
      selection.to_ms = to_ms;
      TRY_ASSIGN(const auto found, data_.series(selection));
      if (!found.empty()) return true;
    }
    return false;
  }

  const store::Store& store_;
  const promql::Queryable& data_;
  const cohort::CountFeedRequest request_;
  const Ways ways_;
  cohort::CountFeed* chosen_ = nullptr;
};

class OwnCountFeedSource final : public cohort::CountFeedSource {
 public:
  OwnCountFeedSource(const store::Store& store, const promql::Queryable& data)
      : store_(store),
        data_(data),
        sent_(make_store_count_feed_source(store)),
        written_(make_series_count_feed_source(data, {})),
        beside_spans_(make_series_count_feed_source(data, names_beside_spans())) {}

  // The feeds of written series say for themselves that what is unseen began at 0.
  cohort::CountFeedTraits traits() const override { return sent_->traits(); }
  std::unique_ptr<cohort::CountFeed> open(cohort::CountFeedRequest request) const override {
    Ways ways{sent_->open(request), written_->open(request), beside_spans_->open(request)};
    return std::make_unique<OwnCountFeed>(store_, data_, std::move(request), std::move(ways));
  }

 private:
  const store::Store& store_;
  const promql::Queryable& data_;
  const std::unique_ptr<cohort::CountFeedSource> sent_;
  const std::unique_ptr<cohort::CountFeedSource> written_;
  const std::unique_ptr<cohort::CountFeedSource> beside_spans_;
};

} // namespace

std::unique_ptr<cohort::CohortSource> make_own_cohort_source(const store::Store& store,
                                                             const promql::Queryable& data) {
  return std::make_unique<OwnCohortSource>(store, data);
}

std::unique_ptr<cohort::CountFeedSource> make_own_count_feed_source(const store::Store& store,
                                                                    const promql::Queryable& data) {
  return std::make_unique<OwnCountFeedSource>(store, data);
}

} // namespace coalmine::datasource
