// SPDX-License-Identifier: Apache-2.0
#include "cohort/cohort_sums.h"

#include <set>
#include <utility>

#include "cohort/count_line.h"

namespace coalmine::cohort {
namespace {

// The sums over one series. The same rules apply to both kinds of samples.
struct FloatSum {
  double total = 0;
  static bool fell(const FloatSample& before, const FloatSample& now) {
    return now.value < before.value;
  }
  void add_all(const FloatSample& now) { total += now.value; }
  void add_growth(const FloatSample& before, const FloatSample& now) {
    total += now.value - before.value;
  }
};

struct ClassicSum {
  ClassicHistogram total;
  // Histograms with different bounds cannot be subtracted.
  static bool fell(const ClassicSample& before, const ClassicSample& now) {
    const auto& a = before.value;
    const auto& b = now.value;
    if (b.count < a.count || !same_bounds(a.bounds, b.bounds) || a.counts.size() != b.counts.size())
      return true;
    for (std::size_t i = 0; i < a.counts.size(); ++i) {
      if (b.counts[i] < a.counts[i]) return true;
    }
    return false;
  }
  void add_all(const ClassicSample& now) { merge(now.value); }
  void add_growth(const ClassicSample& before, const ClassicSample& now) {
    ClassicHistogram growth = now.value;
    for (std::size_t i = 0; i < growth.counts.size(); ++i)
      growth.counts[i] -= before.value.counts[i];
    growth.count -= before.value.count;
    growth.sum -= before.value.sum;
    merge(growth);
  }
  // A histogram with only count and sum has no distribution, and would spoil the merged one.
  void merge(const ClassicHistogram& part) {
    if (part.bounds && !part.bounds->empty() && part.counts.size() == part.bounds->size() + 1)
      coalmine::add(total, part);
  }
};

// Whether the whole first value of a series falls into the window. It does when the process is new,
// or when its instance exported shortly before without this series. A cumulative exporter repeats
// every series, so the whole value was counted since then (for example the first error of a route).
// Otherwise its past is unknown, and counting begins at this value. (This also holds for series
// that are sent only when they change: extend_back put their last sample in front, however old it
// is.)
template <typename Sample>
bool first_counts(const Sample& first, const CohortWindow& window, std::int64_t instance_first_ms) {
  if (first.time_ms <= window.from_ms) return false;
  if (is_new_process(first, window)) return true;
  if (instance_first_ms + kSameExportMs < first.time_ms) return true;
  const bool start_unknown = first.start_ms == 0 || first.start_ms >= first.time_ms;
  return window.unseen_instances_begin_at_zero && start_unknown;
}

// samples: ascending, from kBaselineLookbackMs before the window to its end.
template <typename Sample, typename Sum>
void add_samples(const std::vector<Sample>& samples, const CohortWindow& window,
                 std::int64_t instance_first_ms, Sum& sum) {
  const Sample* before = nullptr;
  for (const auto& now : samples) {
    if (is_stale(now)) continue;
    if (now.time_ms > window.from_ms) {
      if (before == nullptr) {
        if (first_counts(now, window, instance_first_ms)) sum.add_all(now);
      } else if ((before->start_ms != 0 && now.start_ms > before->start_ms) ||
                 Sum::fell(*before, now)) {
        sum.add_all(now); // another process, or a count that began again
      } else {
        sum.add_growth(*before, now);
      }
    }
    before = &now;
  }
}

InstanceKey instance_of(const SeriesData& series) {
  const auto get = [&](std::string_view name) { return std::string(series.labels->get(name)); };
  return {get("service_name"), get("deployment_track"), get("service_version"), get("instance"),
          series.source};
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

struct RouteSums {
  FloatSum requests;
  FloatSum errors;
  ClassicSum duration;

  TrackCounts counts() const {
    TrackCounts out{.has_data = true, .requests = requests.total, .errors = errors.total};
    out.bounds_ms = duration.total.bounds;
    out.bucket_counts.assign(duration.total.counts.begin(), duration.total.counts.end());
    out.timed = static_cast<double>(duration.total.count);
    out.sum_ms = duration.total.sum;
    return out;
  }
};

} // namespace

InstanceFirsts find_instances(CohortFamilies& families, const CohortWindow& window,
                              CohortCounts& out) {
  InstanceFirsts first_ms;
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

void add_up(const CohortFamilies& families, const CohortWindow& window,
            const InstanceFirsts& firsts, CohortCounts& out) {
  std::map<std::string, RouteSums, std::less<>> routes;
  const auto add_family = [&](const std::vector<SeriesData>& family, auto samples, auto sum) {
    for (const auto& series : family) {
      const auto known = firsts.find(instance_of(series));
      if (known == firsts.end()) continue; // stale markers only
      add_samples(series.*samples, window, known->second,
                  routes[std::string(series.labels->get("http_route"))].*sum);
    }
  };
  add_family(families.requests, &SeriesData::floats, &RouteSums::requests);
  add_family(families.errors, &SeriesData::floats, &RouteSums::errors);
  add_family(families.durations, &SeriesData::classic, &RouteSums::duration);
  for (auto& [route, sums] : routes) {
    if (sums.requests.total <= 0 && sums.errors.total <= 0 && sums.duration.total.count == 0)
      continue;
    out.routes.push_back({route, sums.counts()});
  }
  std::ranges::stable_sort(out.routes, std::ranges::greater{},
                           [](const CohortRoute& r) { return r.counts.requests; });
}

} // namespace coalmine::cohort
