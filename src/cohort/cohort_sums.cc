// SPDX-License-Identifier: Apache-2.0
#include "cohort/cohort_sums.h"

#include <set>
#include <utility>

#include "cohort/count_line.h"
#include "cohort/durations.h"

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

// The sum of one series. A histogram with only count and sum has no distribution.
struct ClassicSum {
  DurationCounts total;
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
  void add_all(const ClassicSample& now) {
    if (!has_buckets(now.value)) return;
    const std::vector<double> counts(now.value.counts.begin(), now.value.counts.end());
    total.add(now.value.bounds, counts, now.value.sum);
  }
  void add_growth(const ClassicSample& before, const ClassicSample& now) {
    if (!has_buckets(now.value)) return;
    std::vector<double> counts;
    counts.reserve(now.value.counts.size());
    for (std::size_t i = 0; i < now.value.counts.size(); ++i)
      counts.push_back(static_cast<double>(now.value.counts[i] - before.value.counts[i]));
    total.add(now.value.bounds, counts, now.value.sum - before.value.sum);
  }
  static bool has_buckets(const ClassicHistogram& h) {
    return h.bounds && !h.bounds->empty() && h.counts.size() == h.bounds->size() + 1;
  }
};

struct ExponentialSum {
  DurationCounts total;
  static bool fell(const ExponentialSample& before, const ExponentialSample& now) {
    return !increase(before.value, now.value);
  }
  void add_all(const ExponentialSample& now) { add(now.value); }
  void add_growth(const ExponentialSample& before, const ExponentialSample& now) {
    if (const auto grown = increase(before.value, now.value)) add(*grown);
  }
  void add(const ExponentialHistogram& h) {
    std::vector<double> counts = {static_cast<double>(h.zero_count)};
    counts.insert(counts.end(), h.positive.counts.begin(), h.positive.counts.end());
    if (h.count > 0) total.add(ExponentialShape{h.scale, h.positive.offset}, counts, h.sum * 1000);
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
  see(series.exponential);
  return out;
}

struct RouteSums {
  double requests = 0;
  double errors = 0;
  double answered = 0;
  double client_errors = 0;
  DurationCounts durations;

  TrackCounts counts() const {
    TrackCounts out{.has_data = true,
                    .requests = requests,
                    .errors = errors,
                    .answered = answered,
                    .client_errors = client_errors};
    put_track(durations, out);
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
      if (family == &families.witnesses || family == &families.tail_sampled) continue;
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
  const auto sum_of = [&](const SeriesData& series, auto samples, auto sum) {
    // Not known: it has staleness markers only.
    if (const auto known = firsts.find(instance_of(series)); known != firsts.end())
      add_samples(series.*samples, window, known->second, sum);
    return sum;
  };
  const auto route_of = [&](const SeriesData& series) -> RouteSums& {
    return routes[std::string(series.labels->get("http_route"))];
  };
  std::set<InstanceKey> know_statuses;
  for (const auto& series : families.client_errors) know_statuses.insert(instance_of(series));
  for (const auto& series : families.requests) {
    if (answer_of(series, families.failures) != Answer::unknown)
      know_statuses.insert(instance_of(series));
  }
  auto& sampling = out.sampling;
  std::array<double, 3> metrics{}; // by source
  const auto note = [&](const SeriesData& series, double requests) {
    (series.source == Source::spans ? sampling.spans
                                    : metrics[static_cast<std::size_t>(series.source)]) += requests;
  };
  for (const auto& series : families.requests) {
    auto& route = route_of(series);
    const double requests = sum_of(series, &SeriesData::floats, FloatSum()).total;
    note(series, requests);
    out.counted_by_spans = out.counted_by_spans || (series.source == Source::spans && requests > 0);
    route.requests += requests;
    if (know_statuses.contains(instance_of(series))) route.answered += requests;
    if (answer_of(series, families.failures) == Answer::client_error)
      route.client_errors += requests;
  }
  for (const auto& series : families.client_errors)
    route_of(series).client_errors += sum_of(series, &SeriesData::floats, FloatSum()).total;
  for (const auto& series : families.errors) {
    const double errors = sum_of(series, &SeriesData::floats, FloatSum()).total;
    route_of(series).errors += errors;
    if (series.source == Source::spans) sampling.failed += errors;
  }
  for (const auto& series : families.witnesses)
    note(series, sum_of(series, &SeriesData::floats, FloatSum()).total);
  for (const auto& series : families.tail_sampled)
    sampling.marked += sum_of(series, &SeriesData::floats, FloatSum()).total;
  // In a short window the exports of a metric and the spans do not stand for the same time.
  if (window.to_ms - window.from_ms >= SpanSampling::kComparedMs)
    sampling.metrics = std::ranges::max(metrics);
  std::set<std::pair<Labels, Source>> finely; // measured in exponential buckets
  for (const auto& series : families.durations) {
    if (series.exponential.empty()) continue;
    const auto sum = sum_of(series, &SeriesData::exponential, ExponentialSum());
    if (sum.total.empty()) continue;
    route_of(series).durations.add(sum.total);
    finely.emplace(*series.labels, series.source);
  }
  for (const auto& series : families.durations) {
    if (series.classic.empty() || finely.contains({*series.labels, series.source})) continue;
    route_of(series).durations.add(sum_of(series, &SeriesData::classic, ClassicSum()).total);
  }
  for (auto& [route, sums] : routes) {
    if (sums.requests <= 0 && sums.errors <= 0 && sums.durations.empty()) continue;
    auto counts = sums.counts();
    out.routes.push_back({route, std::move(counts), std::move(sums.durations)});
  }
  std::ranges::stable_sort(out.routes, std::ranges::greater{},
                           [](const CohortRoute& r) { return r.counts.requests; });
}

} // namespace coalmine::cohort
