// SPDX-License-Identifier: Apache-2.0
#include "datasource/own_source.h"

#include <algorithm>
#include <string>
#include <utility>

#include "cohort/cohort_sums.h"
#include "datasource/request_series.h"
#include "datasource/series_source.h"
#include "datasource/store_cohorts.h"

namespace coalmine::datasource {
namespace {

// A point ahead of our clock by more is refused on receipt.
constexpr std::int64_t kFutureMs = 10 * 60'000;

// True if the store has requests of the cohort that were derived, or have a start time: remote
// write knows neither.
Result<bool> came_by_otlp(const store::Store& store, const cohort::CohortSelector& cohort,
                          std::int64_t from_ms, std::int64_t to_ms) {
  store::SelectRequest request;
  request.matchers = cohort.matchers;
  request.matchers.push_back(
      {std::string(kMetricName), Matcher::Op::equal, std::string(kRequestsName)});
  request.from_ms = from_ms;
  request.to_ms = to_ms;
  request.choose_source = false;
  TRY_ASSIGN(const auto found, store.select(request));
  return std::ranges::any_of(found, [](const SeriesData& series) {
    return series.source != Source::sent ||
           std::ranges::any_of(series.floats, [](const FloatSample& s) { return s.start_ms != 0; });
  });
}

// Stateless but for what the series source remembers; any thread.
class OwnCohortSource final : public cohort::CohortSource {
 public:
  OwnCohortSource(const store::Store& store, const promql::Queryable& data)
      : store_(store),
        sent_(make_store_cohort_source(store)),
        written_(make_series_cohort_source(data, {})) {}

  Result<cohort::CohortCounts> counts(const cohort::CohortSelector& cohort, std::int64_t from_ms,
                                      std::int64_t to_ms) const override {
    TRY_ASSIGN(auto sent, sent_->counts(cohort, from_ms, to_ms));
    // Histograms come whole by OTLP alone, which spares nearly all cohorts the questions below.
    const auto timed = [](const cohort::CohortRoute& route) { return route.counts.timed > 0; };
    if (std::ranges::any_of(sent.routes, timed)) return sent;
    TRY_ASSIGN(const bool otlp,
               came_by_otlp(store_, cohort, from_ms - cohort::kBaselineLookbackMs, to_ms));
    if (otlp) return sent;
    TRY_ASSIGN(auto written, written_->counts(cohort, from_ms, to_ms));
    return written.any_series && !written.routes.empty() ? std::move(written) : std::move(sent);
  }

 private:
  const store::Store& store_;
  const std::unique_ptr<cohort::CohortSource> sent_;
  const std::unique_ptr<cohort::CohortSource> written_;
};

// One rollout's reading position. See CountFeed.
class OwnCountFeed final : public cohort::CountFeed {
 public:
  OwnCountFeed(const store::Store& store, const promql::Queryable& data,
               cohort::CountFeedRequest request, std::unique_ptr<cohort::CountFeed> sent,
               std::unique_ptr<cohort::CountFeed> written)
      : store_(store),
        data_(data),
        request_(std::move(request)),
        sent_(std::move(sent)),
        written_(std::move(written)) {}

  Status read(cohort::CountGrid& grid, std::int64_t now_ms) override {
    if (way_ == Way::unknown) TRY(decide(now_ms));
    return way_ == Way::written ? written_->read(grid, now_ms) : sent_->read(grid, now_ms);
  }

 private:
  enum class Way { unknown, sent, written };

  Status decide(std::int64_t now_ms) {
    const auto from_ms = request_.origin_ms - cohort::kBaselineLookbackMs;
    for (const auto* cohort : {&request_.canary, &request_.stable}) {
      TRY_ASSIGN(const bool otlp, came_by_otlp(store_, *cohort, from_ms, now_ms + kFutureMs));
      if (otlp) {
        way_ = Way::sent;
        return {};
      }
    }
    const SeriesNames names;
    for (const auto* cohort : {&request_.canary, &request_.stable}) {
      promql::Selection selection;
      selection.matchers = request_matchers(*cohort, names);
      selection.from_ms = from_ms;
      selection.to_ms = now_ms + kFutureMs;
      TRY_ASSIGN(const auto found, data_.series(selection));
      if (!found.empty()) way_ = Way::written;
    }
    return {};
  }

  const store::Store& store_;
  const promql::Queryable& data_;
  const cohort::CountFeedRequest request_;
  const std::unique_ptr<cohort::CountFeed> sent_;
  const std::unique_ptr<cohort::CountFeed> written_;
  Way way_ = Way::unknown;
};

class OwnCountFeedSource final : public cohort::CountFeedSource {
 public:
  OwnCountFeedSource(const store::Store& store, const promql::Queryable& data)
      : store_(store),
        data_(data),
        sent_(make_store_count_feed_source(store)),
        written_(make_series_count_feed_source(data, {})) {}

  // The feeds of written series say for themselves that what is unseen began at 0.
  cohort::CountFeedTraits traits() const override { return sent_->traits(); }
  std::unique_ptr<cohort::CountFeed> open(cohort::CountFeedRequest request) const override {
    auto sent = sent_->open(request);
    auto written = written_->open(request);
    return std::make_unique<OwnCountFeed>(store_, data_, std::move(request), std::move(sent),
                                          std::move(written));
  }

 private:
  const store::Store& store_;
  const promql::Queryable& data_;
  const std::unique_ptr<cohort::CountFeedSource> sent_;
  const std::unique_ptr<cohort::CountFeedSource> written_;
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
