// SPDX-License-Identifier: Apache-2.0
#include "datasource/store_cohorts.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>
#include <set>
#include <tuple>

#include "cohort/cohort_sums.h"
#include "promql/syntax/series_matcher.h"
#include "telemetry/durations.h"

namespace coalmine::datasource {
namespace {

// The last number of an ascending run, or null.
template <typename Sample>
const Sample* last_number(const std::vector<Sample>& samples) {
  const auto it = std::find_if(samples.rbegin(), samples.rend(),
                               [](const Sample& s) { return !cohort::is_stale(s); });
  return it == samples.rend() ? nullptr : &*it;
}

// "" unless the cohort is of one service.
std::string_view service_named_by(const cohort::CohortSelector& cohort) {
  const auto names = [](const Matcher& m) {
    return m.name == "service_name" && m.op == Matcher::Op::equal;
  };
  const auto it = std::ranges::find_if(cohort.matchers, names);
  return it == cohort.matchers.end() ? std::string_view() : std::string_view(it->value);
}

// Reads the embedded store. Stateless; any thread.
class StoreCohortSource final : public cohort::CohortSource {
 public:
  explicit StoreCohortSource(const store::Store& store) : store_(store) {}
  Result<cohort::CohortCounts> counts(const cohort::CohortSelector& cohort, std::int64_t from_ms,
                                      std::int64_t to_ms) const override;
  std::vector<std::string> label_values(const cohort::CohortSelector& cohort,
                                        const std::string& label, std::int64_t from_ms,
                                        std::int64_t to_ms) const override;
  std::vector<std::string> metric_names(const cohort::CohortSelector& cohort, std::int64_t from_ms,
                                        std::int64_t to_ms) const override {
    store::SelectRequest request;
    request.matchers = cohort.matchers;
    request.from_ms = from_ms;
    request.to_ms = to_ms;
    request.choose_source = false;
    return store_.label_values(kMetricName, request);
  }

 private:
  Result<std::vector<SeriesData>> select(const cohort::CohortSelector& cohort,
                                         std::string_view name,
                                         const cohort::CohortWindow& window) const;
  // The requests by all other sources of instances that spans tell of.
  Result<std::vector<SeriesData>> witnesses(const cohort::CohortSelector& cohort,
                                            const cohort::CohortWindow& window,
                                            const std::vector<SeriesData>& counted) const;
  Status extend_back(const cohort::CohortSelector& cohort, const cohort::CohortWindow& window,
                     std::vector<SeriesData>& all) const;
  Status find_first(const cohort::CohortSelector& cohort, bool any_in_range,
                    cohort::CohortCounts& out) const;

  const store::Store& store_;
};

Result<std::vector<SeriesData>> StoreCohortSource::select(
    const cohort::CohortSelector& cohort, std::string_view name,
    const cohort::CohortWindow& window) const {
  store::SelectRequest request;
  request.matchers = cohort.matchers;
  request.matchers.push_back({std::string(kMetricName), Matcher::Op::equal, std::string(name)});
  request.from_ms = window.from_ms - cohort::kBaselineLookbackMs;
  request.to_ms = window.to_ms;
  request.exact_durations = true;
  TRY_ASSIGN(auto out, store_.select(request));
  for (auto& data : out) to_durations(data.exponential, seconds_per_unit(data));
  // Sums of fractions depend on the order, so the order must not depend on the store.
  std::ranges::sort(out, [](const SeriesData& a, const SeriesData& b) {
    return *a.labels != *b.labels ? *a.labels < *b.labels : a.id < b.id;
  });
  return out;
}

Result<std::vector<SeriesData>> StoreCohortSource::witnesses(
    const cohort::CohortSelector& cohort, const cohort::CohortWindow& window,
    const std::vector<SeriesData>& counted) const {
  store::SelectRequest request;
  request.matchers = cohort.matchers;
  request.matchers.push_back(
      {std::string(kMetricName), Matcher::Op::equal, std::string(kRequestsName)});
  request.from_ms = window.from_ms - cohort::kBaselineLookbackMs;
  request.to_ms = window.to_ms;
  request.choose_source = false;
  request.with_samples = false;
  TRY_ASSIGN(auto out, store_.select(request));
  const bool any_spans =
      std::ranges::any_of(out, [](const SeriesData& s) { return s.source == Source::spans; });
  if (!any_spans || out.size() == counted.size()) return std::vector<SeriesData>();
  request.with_samples = true;
  TRY_ASSIGN(out, store_.select(request));
  std::set<SeriesId> known;
  for (const auto& series : counted) known.insert(series.id);
  std::erase_if(out, [&](const SeriesData& series) { return known.contains(series.id); });
  return out;
}

// Series derived from spans and delta points have samples only when something happened, so the last
// sample may be hours old. Puts it in front of the samples of series that have none before the
// window. There are usually no such series, and then this costs one look into the index.
Status StoreCohortSource::extend_back(const cohort::CohortSelector& cohort,
                                      const cohort::CohortWindow& window,
                                      std::vector<SeriesData>& all) const {
  const auto lacking = [&](const SeriesData& s) {
    return cohort::lacks_baseline(s.floats, window) || cohort::lacks_baseline(s.classic, window) ||
           cohort::lacks_baseline(s.exponential, window);
  };
  if (std::ranges::none_of(all, lacking)) return {};
  store::SelectRequest request;
  request.matchers = cohort.matchers;
  request.matchers.push_back({std::string(kMetricName), Matcher::Op::equal,
                              std::string(all.front().labels->metric_name())});
  request.from_ms = 0;
  request.to_ms = window.from_ms - cohort::kBaselineLookbackMs - 1;
  request.choose_source = false;
  request.exact_durations = true;
  request.with_samples = false;
  TRY_ASSIGN(const auto known, store_.select(request));
  std::set<SeriesId> older;
  for (const auto& s : known) older.insert(s.id);
  request.with_samples = true;
  for (auto& series : all) {
    if (!older.contains(series.id) || !lacking(series)) continue;
    request.matchers.clear();
    for (const auto [name, value] : *series.labels)
      request.matchers.push_back({std::string(name), Matcher::Op::equal, std::string(value)});
    TRY_ASSIGN(auto past, store_.select(request));
    const auto it = std::ranges::find(past, series.id, &SeriesData::id);
    if (it == past.end()) continue;
    to_durations(it->exponential, seconds_per_unit(*it));
    if (const auto* sample = last_number(it->floats))
      series.floats.insert(series.floats.begin(), *sample);
    if (const auto* sample = last_number(it->classic))
      series.classic.insert(series.classic.begin(), *sample);
    if (const auto* sample = last_number(it->exponential))
      series.exponential.insert(series.exponential.begin(), *sample);
  }
  return {};
}

// The labels that a Presence has.
constexpr std::array<std::string_view, 6> kPresenceLabels = {
    "service_name", "deployment_track",       "service_version",
    "instance",     "deployment_environment", "deployment_environment_name"};

Labels labels_of(const Presence& p) {
  return Labels::of({{"service_name", p.service},
                     {"deployment_track", p.track},
                     {"service_version", p.version},
                     {"instance", p.instance},
                     {"deployment_environment", p.environment},
                     {"deployment_environment_name", p.environment}});
}

// Sets first_ms and any_series. A selector by labels that a Presence lacks is answered from the
// series it selects.
Status StoreCohortSource::find_first(const cohort::CohortSelector& cohort, bool any_in_range,
                                     cohort::CohortCounts& out) const {
  std::vector<Matcher> known;
  for (const auto& matcher : cohort.matchers) {
    if (std::ranges::find(kPresenceLabels, matcher.name) != kPresenceLabels.end())
      known.push_back(matcher);
  }
  using Identity = std::array<std::string, 4>;
  std::optional<std::set<Identity>> only;
  if (known.size() != cohort.matchers.size()) {
    store::SelectRequest request;
    request.matchers = cohort.matchers;
    request.matchers.push_back(
        {std::string(kMetricName), Matcher::Op::equal, std::string(kRequestsName)});
    request.to_ms = INT64_MAX;
    request.choose_source = false;
    request.with_samples = false;
    TRY_ASSIGN(const auto series, store_.select(request));
    only.emplace();
    for (const auto& s : series) {
      const auto get = [&](std::string_view name) { return std::string(s.labels->get(name)); };
      only->insert(
          {get("service_name"), get("deployment_track"), get("service_version"), get("instance")});
    }
  }
  out.any_series = any_in_range || (only && !only->empty());
  const promql::SeriesMatcher matcher(known);
  for (const auto& p : store_.presence()) {
    if (only && !only->contains({p.service, p.track, p.version, p.instance})) continue;
    if (!matcher.matches(labels_of(p))) continue;
    out.any_series = true;
    if (p.first_ms != 0 && (out.first_ms == 0 || p.first_ms < out.first_ms))
      out.first_ms = p.first_ms;
  }
  return {};
}

Result<cohort::CohortCounts> StoreCohortSource::counts(const cohort::CohortSelector& cohort,
                                                       std::int64_t from_ms,
                                                       std::int64_t to_ms) const {
  for (const auto& matcher : cohort.matchers) {
    if (const auto problem = promql::check_matcher(matcher)) {
      return fail(ErrorCode::invalid_argument, fmt::format("cohort selector {}=\"{}\": {}",
                                                           matcher.name, matcher.value, *problem));
    }
  }
  const cohort::CohortWindow window{from_ms, to_ms};
  cohort::CohortFamilies families;
  families.failures = store_.failures().of(service_named_by(cohort));
  TRY_ASSIGN(families.requests, select(cohort, kRequestsName, window));
  TRY_ASSIGN(families.errors, select(cohort, kErrorsName, window));
  TRY_ASSIGN(families.client_errors, select(cohort, kClientErrorsName, window));
  TRY_ASSIGN(families.durations, select(cohort, kDurationName, window));

  TRY_ASSIGN(families.tail_sampled, select(cohort, kTailSampledName, window));
  TRY_ASSIGN(families.witnesses, witnesses(cohort, window, families.requests));

  cohort::CohortCounts out;
  const auto first_ms = cohort::find_instances(families, window, out);
  for (auto* family : families.all()) TRY(extend_back(cohort, window, *family));

  cohort::add_up(families, window, first_ms, out);
  TRY(find_first(cohort, !first_ms.empty(), out));
  for (const auto& [instance, ms] : first_ms) {
    if (out.first_ms == 0 || ms < out.first_ms) out.first_ms = ms;
  }
  return out;
}

std::vector<std::string> StoreCohortSource::label_values(const cohort::CohortSelector& cohort,
                                                         const std::string& label,
                                                         std::int64_t from_ms,
                                                         std::int64_t to_ms) const {
  store::SelectRequest request;
  request.matchers = cohort.matchers;
  request.matchers.push_back(
      {std::string(kMetricName), Matcher::Op::equal, std::string(kRequestsName)});
  request.from_ms = from_ms;
  request.to_ms = to_ms;
  request.choose_source = false;
  return store_.label_values(label, request);
}

} // namespace

double seconds_per_unit(const SeriesData& data) {
  if (data.source != Source::sent) return 0;
  return data.unit == "s" ? 1 : 1e-3;
}

void to_durations(std::vector<ExponentialSample>& samples, double seconds_per_unit) {
  if (seconds_per_unit <= 0) return;
  for (auto& sample : samples) sample.value = durations_in_seconds(sample.value, seconds_per_unit);
}

std::unique_ptr<cohort::CohortSource> make_store_cohort_source(const store::Store& store) {
  return std::make_unique<StoreCohortSource>(store);
}

} // namespace coalmine::datasource
