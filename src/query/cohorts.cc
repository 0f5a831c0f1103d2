// SPDX-License-Identifier: Apache-2.0
#include "query/cohorts.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <optional>
#include <set>
#include <tuple>

#include "query/series_matcher.h"

namespace coalmine::query {
namespace {

using store::ClassicSample;
using store::FloatSample;
using store::SeriesData;

// How far before the window the sample is looked for that counting begins at. Exporters send every 60 s unless told otherwise,
// some every 5 minutes; behind a longer gap a series is taken as new, and its start time decides.
constexpr std::int64_t kBaselineLookbackMs = 10 * 60 * 1000;
// A process that started this long before the window, and of which nothing was seen before it, is a new process to it. As long as the
// look-back: a release's pods start minutes before its rollout is, their first export may be outstanding for one interval (60 s unless
// told otherwise, 5 minutes in places), and everything they have done belongs to this release. An older one that is seen for the first
// time has a past that nobody saw.
constexpr std::int64_t kNewProcessMs = kBaselineLookbackMs;
// Points of one export carry times that differ by less.
constexpr std::int64_t kSameExportMs = 100;

struct Window {
  std::int64_t from_ms; // exclusive
  std::int64_t to_ms;   // inclusive
};

// What is added up over one series. Both kinds of samples are walked by the same rules.
bool is_stale(const FloatSample& s) { return std::isnan(s.value); }
bool is_stale(const ClassicSample& s) { return s.stale; }

struct FloatSum {
  double total = 0;
  static bool fell(const FloatSample& before, const FloatSample& now) { return now.value < before.value; }
  void add_all(const FloatSample& now) { total += now.value; }
  void add_growth(const FloatSample& before, const FloatSample& now) { total += now.value - before.value; }
};

bool same_bounds(const BucketBounds& a, const BucketBounds& b) { return a == b || (a && b && *a == *b); }

struct ClassicSum {
  ClassicHistogram total;
  // Other bounds are another histogram: nothing can be subtracted.
  static bool fell(const ClassicSample& before, const ClassicSample& now) {
    const auto& a = before.value;
    const auto& b = now.value;
    if (b.count < a.count || !same_bounds(a.bounds, b.bounds) || a.counts.size() != b.counts.size()) return true;
    for (std::size_t i = 0; i < a.counts.size(); ++i) {
      if (b.counts[i] < a.counts[i]) return true;
    }
    return false;
  }
  void add_all(const ClassicSample& now) { merge(now.value); }
  void add_growth(const ClassicSample& before, const ClassicSample& now) {
    ClassicHistogram growth = now.value;
    for (std::size_t i = 0; i < growth.counts.size(); ++i) growth.counts[i] -= before.value.counts[i];
    growth.count -= before.value.count;
    growth.sum -= before.value.sum;
    merge(growth);
  }
  // A histogram of count and sum alone says nothing about the distribution, and would poison it.
  void merge(const ClassicHistogram& part) {
    if (part.bounds && !part.bounds->empty() && part.counts.size() == part.bounds->size() + 1) coalmine::add(total, part);
  }
};

// Whether the whole first value of a series falls into the window. It does when the process is new, or when its instance exported
// shortly before without this series: a cumulative exporter repeats every series, so all of it came since (the first error of a
// route). Otherwise it has an unknown past, and is where counting begins. (Series that are sent only when they change are no
// exception: their last sample, however old, was put in front by extend_back.)
template <typename Sample>
bool is_new_process(const Sample& first, const Window& window) {
  const bool start_known = first.start_ms != 0 && first.start_ms < first.time_ms;
  return start_known && first.start_ms >= window.from_ms - kNewProcessMs;
}

template <typename Sample>
bool first_counts(const Sample& first, const Window& window, std::int64_t instance_first_ms) {
  if (first.time_ms <= window.from_ms) return false;
  if (is_new_process(first, window)) return true;
  return instance_first_ms + kSameExportMs < first.time_ms;
}

// samples: ascending, from kBaselineLookbackMs before the window to its end.
template <typename Sample, typename Sum>
void add_up(const std::vector<Sample>& samples, const Window& window, std::int64_t instance_first_ms, Sum& sum) {
  const Sample* before = nullptr;
  for (const auto& now : samples) {
    if (is_stale(now)) continue;
    if (now.time_ms > window.from_ms) {
      if (before == nullptr) {
        if (first_counts(now, window, instance_first_ms)) sum.add_all(now);
      } else if ((before->start_ms != 0 && now.start_ms > before->start_ms) || Sum::fell(*before, now)) {
        sum.add_all(now); // another process, or a count that began again
      } else {
        sum.add_growth(*before, now);
      }
    }
    before = &now;
  }
}

// Which process a series is of. Sources export at different moments, so each is a process of its own here.
using InstanceKey = std::tuple<std::string, std::string, std::string, std::string, store::Source>;

InstanceKey instance_of(const SeriesData& series) {
  const auto get = [&](std::string_view name) { return std::string(series.labels->get(name)); };
  return {get("service_name"), get("deployment_track"), get("service_version"), get("instance"), series.source};
}

struct SampleSpan {
  std::int64_t first_ms = 0; // 0: none
  std::int64_t last_ms = 0;
};

SampleSpan span_of(const SeriesData& series) {
  SampleSpan out;
  const auto see = [&](const auto& samples) {
    for (const auto& s : samples) {
      if (is_stale(s)) continue;
      if (out.first_ms == 0) out.first_ms = s.time_ms;
      out.last_ms = s.time_ms;
    }
  };
  see(series.floats);
  see(series.classic);
  return out;
}

// The last number of an ascending run, or null.
template <typename Sample>
const Sample* last_number(const std::vector<Sample>& samples) {
  const auto it = std::find_if(samples.rbegin(), samples.rend(), [](const Sample& s) { return !is_stale(s); });
  return it == samples.rend() ? nullptr : &*it;
}

// True when the first number lies in the window and its past is not told by its start time.
template <typename Sample>
bool lacks_baseline(const std::vector<Sample>& samples, const Window& window) {
  const auto it = std::find_if(samples.begin(), samples.end(), [](const Sample& s) { return !is_stale(s); });
  return it != samples.end() && it->time_ms > window.from_ms && !is_new_process(*it, window);
}

// Reads the embedded store. Stateless; any thread.
class StoreCohortSource final : public CohortSource {
 public:
  explicit StoreCohortSource(const store::Store& store) : store_(store) {}
  Result<CohortCounts> counts(const CohortSelector& cohort, std::int64_t from_ms, std::int64_t to_ms) const override;

 private:
  Result<std::vector<SeriesData>> select(const CohortSelector& cohort, std::string_view name, const Window& window) const;
  Status extend_back(const CohortSelector& cohort, const Window& window, std::vector<SeriesData>& all) const;
  Status find_first(const CohortSelector& cohort, bool any_in_range, CohortCounts& out) const;

  const store::Store& store_;
};

Result<std::vector<SeriesData>> StoreCohortSource::select(const CohortSelector& cohort, std::string_view name,
                                                          const Window& window) const {
  store::SelectRequest request;
  request.matchers = cohort.matchers;
  request.matchers.push_back({std::string(kMetricName), Matcher::Op::equal, std::string(name)});
  request.from_ms = window.from_ms - kBaselineLookbackMs;
  request.to_ms = window.to_ms;
  TRY_ASSIGN(auto out, store_.select(request));
  // Histograms with different bounds are merged in the order they come; the order must not be the store's.
  std::ranges::sort(
      out, [](const SeriesData& a, const SeriesData& b) { return *a.labels != *b.labels ? *a.labels < *b.labels : a.id < b.id; });
  return out;
}

// Series derived from spans and delta points have samples only when something happened, so the last one may be hours old. Puts it
// in front of the samples of those series that have none before the window. Mostly there are none such: one look into the index.
Status StoreCohortSource::extend_back(const CohortSelector& cohort, const Window& window, std::vector<SeriesData>& all) const {
  const auto lacking = [&](const SeriesData& s) { return lacks_baseline(s.floats, window) || lacks_baseline(s.classic, window); };
  if (std::ranges::none_of(all, lacking)) return {};
  store::SelectRequest request;
  request.matchers = cohort.matchers;
  request.matchers.push_back({std::string(kMetricName), Matcher::Op::equal, std::string(all.front().labels->metric_name())});
  request.from_ms = 0;
  request.to_ms = window.from_ms - kBaselineLookbackMs - 1;
  request.choose_source = false;
  request.with_samples = false;
  TRY_ASSIGN(const auto known, store_.select(request));
  std::set<SeriesId> older;
  for (const auto& s : known) older.insert(s.id);
  request.with_samples = true;
  for (auto& series : all) {
    if (!older.contains(series.id) || !lacking(series)) continue;
    request.matchers.clear();
    for (const auto& [name, value] : *series.labels) request.matchers.push_back({name, Matcher::Op::equal, value});
    TRY_ASSIGN(const auto past, store_.select(request));
    const auto it = std::ranges::find(past, series.id, &SeriesData::id);
    if (it == past.end()) continue;
    if (const auto* sample = last_number(it->floats)) series.floats.insert(series.floats.begin(), *sample);
    if (const auto* sample = last_number(it->classic)) series.classic.insert(series.classic.begin(), *sample);
  }
  return {};
}

// Labels that a Presence can answer for.
constexpr std::array<std::string_view, 6> kPresenceLabels = {
    "service_name", "deployment_track", "service_version", "instance", "deployment_environment", "deployment_environment_name"};

Labels labels_of(const store::Presence& p) {
  return Labels::of({{"service_name", p.service},
                     {"deployment_track", p.track},
                     {"service_version", p.version},
                     {"instance", p.instance},
                     {"deployment_environment", p.environment},
                     {"deployment_environment_name", p.environment}});
}

// first_ms and any_series. A selector by labels that a Presence lacks (role, track …) is answered through the series it selects.
Status StoreCohortSource::find_first(const CohortSelector& cohort, bool any_in_range, CohortCounts& out) const {
  std::vector<Matcher> known;
  for (const auto& matcher : cohort.matchers) {
    if (std::ranges::find(kPresenceLabels, matcher.name) != kPresenceLabels.end()) known.push_back(matcher);
  }
  using Identity = std::array<std::string, 4>;
  std::optional<std::set<Identity>> only;
  if (known.size() != cohort.matchers.size()) {
    store::SelectRequest request;
    request.matchers = cohort.matchers;
    request.matchers.push_back({std::string(kMetricName), Matcher::Op::equal, std::string(store::kRequestsName)});
    request.to_ms = INT64_MAX;
    request.choose_source = false;
    request.with_samples = false;
    TRY_ASSIGN(const auto series, store_.select(request));
    only.emplace();
    for (const auto& s : series) {
      const auto get = [&](std::string_view name) { return std::string(s.labels->get(name)); };
      only->insert({get("service_name"), get("deployment_track"), get("service_version"), get("instance")});
    }
  }
  out.any_series = any_in_range || (only && !only->empty());
  const SeriesMatcher matcher(known);
  for (const auto& p : store_.presence()) {
    if (only && !only->contains({p.service, p.track, p.version, p.instance})) continue;
    if (!matcher.matches(labels_of(p))) continue;
    out.any_series = true;
    if (p.first_ms != 0 && (out.first_ms == 0 || p.first_ms < out.first_ms)) out.first_ms = p.first_ms;
  }
  return {};
}

struct RouteSums {
  FloatSum requests;
  FloatSum errors;
  ClassicSum duration;
};

// The three families of one cohort, each series with its samples from before the window to its end.
struct Families {
  std::vector<SeriesData> requests;
  std::vector<SeriesData> errors;
  std::vector<SeriesData> durations;
  auto all() { return std::array{&requests, &errors, &durations}; }
};

// Who reported and when: instances, last_ms, and the first sample near the window of every process.
std::map<InstanceKey, std::int64_t> find_instances(Families& families, const Window& window, CohortCounts& out) {
  std::map<InstanceKey, std::int64_t> first_ms;
  std::set<std::string> instances;
  for (const auto* family : families.all()) {
    for (const auto& series : *family) {
      const auto seen = span_of(series);
      if (seen.first_ms == 0) continue;
      const auto [it, added] = first_ms.emplace(instance_of(series), seen.first_ms);
      it->second = std::min(it->second, seen.first_ms);
      if (seen.last_ms <= window.from_ms) continue;
      out.last_ms = std::max(out.last_ms, seen.last_ms);
      instances.emplace(series.labels->get("instance"));
    }
  }
  out.instances.assign(instances.begin(), instances.end());
  return first_ms;
}

Result<CohortCounts> StoreCohortSource::counts(const CohortSelector& cohort, std::int64_t from_ms, std::int64_t to_ms) const {
  for (const auto& matcher : cohort.matchers) {
    if (const auto problem = check_matcher(matcher)) {
      return fail(ErrorCode::invalid_argument,
                  fmt::format("cohort selector {}=\"{}\": {}", matcher.name, matcher.value, *problem));
    }
  }
  const Window window{from_ms, to_ms};
  Families families;
  TRY_ASSIGN(families.requests, select(cohort, store::kRequestsName, window));
  TRY_ASSIGN(families.errors, select(cohort, store::kErrorsName, window));
  TRY_ASSIGN(families.durations, select(cohort, store::kDurationName, window));

  CohortCounts out;
  const auto first_ms = find_instances(families, window, out);
  for (auto* family : families.all()) TRY(extend_back(cohort, window, *family));

  std::map<std::string, RouteSums, std::less<>> routes;
  const auto add_family = [&](const std::vector<SeriesData>& family, auto samples, auto sum) {
    for (const auto& series : family) {
      const auto known = first_ms.find(instance_of(series));
      if (known == first_ms.end()) continue; // stale markers only
      add_up(series.*samples, window, known->second, routes[std::string(series.labels->get("http_route"))].*sum);
    }
  };
  add_family(families.requests, &SeriesData::floats, &RouteSums::requests);
  add_family(families.errors, &SeriesData::floats, &RouteSums::errors);
  add_family(families.durations, &SeriesData::classic, &RouteSums::duration);
  for (auto& [route, sums] : routes) {
    if (sums.requests.total <= 0 && sums.errors.total <= 0 && sums.duration.total.count == 0) continue;
    out.routes.push_back({route, sums.requests.total, sums.errors.total, std::move(sums.duration.total)});
  }
  std::ranges::stable_sort(out.routes, std::ranges::greater{}, &RouteCounts::requests);

  TRY(find_first(cohort, !first_ms.empty(), out));
  for (const auto& [instance, ms] : first_ms) {
    if (out.first_ms == 0 || ms < out.first_ms) out.first_ms = ms;
  }
  return out;
}

} // namespace

std::unique_ptr<CohortSource> make_store_cohort_source(const store::Store& store) {
  return std::make_unique<StoreCohortSource>(store);
}

} // namespace coalmine::query
