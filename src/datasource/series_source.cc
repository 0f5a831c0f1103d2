// SPDX-License-Identifier: Apache-2.0
#include "datasource/series_source.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "base/guarded.h"
#include "cohort/cohort_sums.h"
#include "datasource/asked_seldom.h"
#include "datasource/label_spelling.h"
#include "datasource/replicas.h"
#include "datasource/request_series.h"

namespace coalmine::datasource {
namespace {

using cohort::CohortCounts;
using cohort::CohortFamilies;
using cohort::CohortSelector;
using cohort::kBaselineLookbackMs;

// How far back the begin of a cohort is searched. For older cohorts the answer is "at least this
// old".
constexpr std::int64_t kOldestMs = 60 * 60'000;
// The time range of the question whether a cohort ever had data.
constexpr std::int64_t kEverMs = 24LL * 60 * 60'000;
constexpr std::size_t kMaxKnownCohorts = 1'000;

Result<std::vector<promql::Series>> read_series(const promql::Queryable& data,
                                                const LabelSpelling& spelling,
                                                const std::vector<Matcher>& matchers,
                                                std::int64_t from_ms, std::int64_t to_ms) {
  std::vector<promql::Series> out;
  for (auto& spelled : spelling.of(matchers, to_ms)) {
    promql::Selection selection;
    selection.matchers = std::move(spelled);
    selection.from_ms = from_ms;
    selection.to_ms = to_ms;
    TRY_ASSIGN(auto series, data.select(selection));
    out.insert(out.end(), std::make_move_iterator(series.begin()),
               std::make_move_iterator(series.end()));
  }
  return out;
}

CohortFamilies sorted_families(std::vector<promql::Series> series, const SeriesNames& names,
                               const FailureRule& failures, SparseTotals* totals = nullptr) {
  auto out = request_families(std::move(series), names, failures, totals);
  for (auto* family : out.all()) {
    std::ranges::sort(*family, [](const SeriesData& a, const SeriesData& b) {
      return *a.labels != *b.labels ? *a.labels < *b.labels : a.id < b.id;
    });
  }
  return out;
}

// See CohortSource. Remembers only when each cohort began.
class SeriesCohortSource final : public cohort::CohortSource {
 public:
  SeriesCohortSource(const promql::Queryable& data, SeriesNames names)
      : data_(data), names_(std::move(names)), spelling_(data, names_) {}

  Result<CohortCounts> counts(const CohortSelector& cohort, std::int64_t from_ms,
                              std::int64_t to_ms) const override {
    const cohort::CohortWindow window{
        .from_ms = from_ms, .to_ms = to_ms, .unseen_instances_begin_at_zero = true};
    const auto read_from = from_ms - kBaselineLookbackMs;
    TRY_ASSIGN(auto families, read(cohort, read_from, to_ms));
    choose_sources(families);
    CohortCounts out;
    const auto firsts = find_instances(families, window, out);
    add_up(families, window, firsts, out);
    for (const auto& [instance, ms] : firsts) {
      if (out.first_ms == 0 || ms < out.first_ms) out.first_ms = ms;
    }
    out.any_series = !firsts.empty();
    if (out.any_series) {
      TRY_ASSIGN(out.first_ms, first_ever(cohort, out.first_ms, read_from));
    } else {
      TRY_ASSIGN(out.any_series, ever_seen(cohort, read_from));
    }
    return out;
  }

  std::string counted_twice(const CohortSelector& cohort, std::int64_t to_ms) const override {
    return twice_.get(key_of(cohort), to_ms, [&] { return ask_counted_twice(cohort, to_ms); });
  }

  std::vector<std::string> label_values(const CohortSelector& cohort, const std::string& label,
                                        std::int64_t from_ms, std::int64_t to_ms) const override {
    promql::Selection selection;
    selection.matchers = request_matchers(cohort, names_);
    selection.from_ms = from_ms;
    selection.to_ms = to_ms;
    return data_.label_values(label == "service_name" ? names_.service_label : label, selection)
        .value_or(std::vector<std::string>());
  }

  std::vector<std::string> metric_names(const CohortSelector& cohort, std::int64_t from_ms,
                                        std::int64_t to_ms) const override {
    promql::Selection selection;
    selection.matchers = cohort_matchers(cohort, names_);
    selection.from_ms = from_ms;
    selection.to_ms = to_ms;
    return data_.label_values(kMetricName, selection).value_or(std::vector<std::string>());
  }

 private:
  // What cannot be read is not said to be counted twice.
  std::string ask_counted_twice(const CohortSelector& cohort, std::int64_t to_ms) const {
    auto series = read_series(data_, spelling_, request_matchers(cohort, names_),
                              to_ms - kBaselineLookbackMs, to_ms);
    if (!series) return "";
    for (auto& one : *series) one.labels = with_plain_names(one.labels);
    const auto merged =
        merge_replicas(std::move(*series), names_.replica_labels, names_.instance_labels);
    std::vector<std::string> apart = {"__name__",    "le",       "vmrange",
                                      "quantile",    "method",   "http_request_method",
                                      "http_method", "span_name"};
    for (const auto* names : {&names_.instance_labels, &names_.route_labels, &names_.status_labels,
                              &names_.replica_labels})
      apart.insert(apart.end(), names->begin(), names->end());
    const auto found = find_run_together(merged, apart);
    if (!found) return "";
    return fmt::format(
        "series that differ only in {} ({}) count the same at the same time, so requests may count "
        "{} times; if {} tells collecting servers apart, call it replica or name it in "
        "names.replica "
        "of the store",
        found->label, fmt::join(found->values, ", "), found->values.size(), found->label);
  }

  Result<CohortFamilies> read(const CohortSelector& cohort, std::int64_t from_ms,
                              std::int64_t to_ms) const {
    TRY_ASSIGN(auto series,
               read_series(data_, spelling_, request_matchers(cohort, names_), from_ms, to_ms));
    return sorted_families(std::move(series), names_, cohort.failures);
  }

  // Steps back from the first sample read while there is an older one. The step doubles each time.
  Result<std::int64_t> first_ever(const CohortSelector& cohort, std::int64_t first_ms,
                                  std::int64_t read_from) const {
    const auto key = key_of(cohort);
    const auto known = began_.with([&](auto& began) {
      const auto it = began.find(key);
      return it == began.end() ? INT64_MAX : it->second;
    });
    if (known <= first_ms) return known;
    auto first = first_ms;
    for (std::int64_t step = 5 * 60'000;
         first - step / 2 < read_from && first_ms - first < kOldestMs; step *= 2) {
      TRY_ASSIGN(const auto families, read(cohort, first - step, first - 1));
      auto earlier = first;
      for (const auto& series : families.requests) {
        if (!series.floats.empty()) earlier = std::min(earlier, series.floats.front().time_ms);
      }
      if (earlier == first) break;
      first = earlier;
    }
    began_.with([&](auto& began) {
      if (began.size() >= kMaxKnownCohorts) began.clear();
      began[key] = first;
    });
    return first;
  }

  Result<bool> ever_seen(const CohortSelector& cohort, std::int64_t until_ms) const {
    for (auto& spelled : spelling_.of(request_matchers(cohort, names_), until_ms)) {
      promql::Selection selection;
      selection.matchers = std::move(spelled);
      selection.from_ms = until_ms - kEverMs;
      selection.to_ms = until_ms;
      TRY_ASSIGN(const auto series, data_.series(selection));
      if (!series.empty()) return true;
    }
    return false;
  }

  const promql::Queryable& data_;
  const SeriesNames names_;
  const LabelSpelling spelling_;
  mutable Guarded<std::map<std::string, std::int64_t>> began_;
  const AskedSeldom twice_;
};

// One rollout's reading position. See CountFeed.
class SeriesCountFeed final : public cohort::CountFeed {
 public:
  SeriesCountFeed(const promql::Queryable& data, const SeriesNames& names,
                  std::shared_ptr<const LabelSpelling> spelling, cohort::CountFeedRequest request)
      : data_(data), names_(names), spelling_(std::move(spelling)), request_(std::move(request)) {}

  Status read(cohort::CountGrid& grid, std::int64_t now_ms) override {
    return read_past(grid, now_ms + cohort::kFutureMs);
  }
  Status read_past(cohort::CountGrid& grid, std::int64_t until_ms) override {
    const auto from_ms = begun_ ? grid.needed_from_ms() : request_.origin_ms - kBaselineLookbackMs;
    // Both tracks are read before either is added, so that an outage between the reads adds
    // nothing.
    TRY_ASSIGN(auto canary, select(request_.canary, from_ms, until_ms));
    TRY_ASSIGN(auto stable, select(request_.stable, from_ms, until_ms));
    give(grid, Track::canary,
         sorted_families(std::move(canary), names_, request_.canary.failures, &totals_[0]));
    give(grid, Track::stable,
         sorted_families(std::move(stable), names_, request_.stable.failures, &totals_[1]));
    begun_ = true;
    return {};
  }

 private:
  Result<std::vector<promql::Series>> select(const CohortSelector& cohort, std::int64_t from_ms,
                                             std::int64_t until_ms) const {
    return read_series(data_, *spelling_, request_matchers(cohort, names_), from_ms, until_ms);
  }

  static void give(cohort::CountGrid& grid, Track track, const CohortFamilies& families) {
    const auto add = [&](const std::vector<SeriesData>& family, cohort::Measure measure) {
      for (const auto& data : family) {
        cohort::CountSeries series;
        series.id = data.id.value * 2 + static_cast<std::uint64_t>(track);
        series.track = track;
        series.measure = measure;
        series.source = data.source;
        series.instance = std::string(data.labels->get("instance"));
        if (const auto version = data.labels->get("service_version"); !version.empty())
          series.instance += fmt::format("@{}", version);
        series.route = std::string(data.labels->get("http_route"));
        if (measure == cohort::Measure::requests)
          series.answer = cohort::answer_of(data, families.failures);
        series.unseen_begins_at_zero = true;
        series.floats = data.floats;
        series.classic = data.classic;
        series.exponential = data.exponential;
        // Times are the scraper's. One clock for all needs no correction.
        grid.add(series);
      }
    };
    add(families.requests, cohort::Measure::requests);
    add(families.errors, cohort::Measure::bad);
    add(families.client_errors, cohort::Measure::client_errors);
    add(families.durations, cohort::Measure::duration);
  }

  const promql::Queryable& data_;
  const SeriesNames names_;
  const std::shared_ptr<const LabelSpelling> spelling_;
  const cohort::CountFeedRequest request_;
  std::array<SparseTotals, 2> totals_; // canary, stable
  bool begun_ = false;
};

class SeriesCountFeedSource final : public cohort::CountFeedSource {
 public:
  SeriesCountFeedSource(const promql::Queryable& data, SeriesNames names)
      : data_(data),
        names_(std::move(names)),
        spelling_(std::make_shared<const LabelSpelling>(data, names_)) {}
  cohort::CountFeedTraits traits() const override {
    return {.unseen_instances_begin_at_zero = true};
  }
  std::unique_ptr<cohort::CountFeed> open(cohort::CountFeedRequest request) const override {
    return std::make_unique<SeriesCountFeed>(data_, names_, spelling_, std::move(request));
  }

 private:
  const promql::Queryable& data_;
  const SeriesNames names_;
  const std::shared_ptr<const LabelSpelling> spelling_;
};

class SeriesMetricSource final : public cohort::MetricSource {
 public:
  SeriesMetricSource(const promql::Queryable& data, const promql::ExpressionSource& expressions,
                     SeriesNames names)
      : data_(data), expressions_(expressions), names_(std::move(names)), spelling_(data, names_) {}

  Result<cohort::RatioCounts> ratio(const CohortSelector& cohort, const std::string& part,
                                    const std::string& whole, std::int64_t from_ms,
                                    std::int64_t to_ms) const override {
    // Selected by equality, one after the other, because parts of histograms (x_sum, x_count) have
    // no stored names that a regular expression could match.
    std::vector<promql::Series> series;
    for (const auto& name : {whole, part}) {
      auto matchers = cohort.matchers;
      for (auto& matcher : matchers) {
        if (matcher.name == "service_name") matcher.name = names_.service_label;
      }
      matchers.push_back({std::string(kMetricName), Matcher::Op::equal, name});
      TRY_ASSIGN(auto found,
                 read_series(data_, spelling_, matchers, from_ms - kBaselineLookbackMs, to_ms));
      series.insert(series.end(), std::make_move_iterator(found.begin()),
                    std::make_move_iterator(found.end()));
    }
    const auto names = ratio_names(whole, part, names_);
    auto families = request_families(std::move(series), names, {});
    CohortCounts counts;
    const cohort::CohortWindow window{
        .from_ms = from_ms, .to_ms = to_ms, .unseen_instances_begin_at_zero = true};
    const auto firsts = find_instances(families, window, counts);
    add_up(families, window, firsts, counts);
    cohort::RatioCounts out;
    out.any_series = !families.requests.empty();
    for (const auto& route : counts.routes) {
      out.whole += route.counts.requests;
      out.part += route.counts.errors;
    }
    return out;
  }

  Result<std::optional<double>> value(std::string_view promql, const cohort::SignalScope& scope,
                                      std::int64_t time_ms) const override {
    return cohort::read_expression(expressions_, promql, scope, time_ms);
  }

 private:
  const promql::Queryable& data_;
  const promql::ExpressionSource& expressions_;
  const SeriesNames names_;
  const LabelSpelling spelling_;
};

} // namespace

std::string key_of(const CohortSelector& cohort) {
  std::string out;
  for (const auto& m : cohort.matchers)
    out += fmt::format("{}\x01{}\x01{}\x02", m.name, static_cast<int>(m.op), m.value);
  return out;
}

std::unique_ptr<cohort::MetricSource> make_series_metric_source(
    const promql::Queryable& data, const promql::ExpressionSource& expressions, SeriesNames names) {
  return std::make_unique<SeriesMetricSource>(data, expressions, std::move(names));
}

std::unique_ptr<cohort::CohortSource> make_series_cohort_source(const promql::Queryable& data,
                                                                SeriesNames names) {
  return std::make_unique<SeriesCohortSource>(data, std::move(names));
}

std::unique_ptr<cohort::CountFeedSource> make_series_count_feed_source(
    const promql::Queryable& data, SeriesNames names) {
  return std::make_unique<SeriesCountFeedSource>(data, std::move(names));
}

} // namespace coalmine::datasource
