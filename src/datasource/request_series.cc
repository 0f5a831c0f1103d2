// SPDX-License-Identifier: Apache-2.0
#include "datasource/request_series.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <optional>
#include <set>
#include <tuple>
#include <utility>

#include "datasource/replicas.h"

namespace coalmine::datasource {
namespace {

using Family = CountedName::Family;
using Part = CountedName::Part;

constexpr double kMsPerSecond = 1000;
// A better metric that has been silent for this long, while another reports, is a thing of the
// past.
constexpr std::int64_t kSilentMs = 5 * 60'000;
constexpr std::string_view kServerSpan = "SPAN_KIND_SERVER";
constexpr std::string_view kErrorStatus = "STATUS_CODE_ERROR";
constexpr std::string_view kOkStatus = "STATUS_CODE_OK";

std::string first_of(const Labels& labels, const std::vector<std::string>& names) {
  for (const auto& name : names) {
    if (const auto value = labels.get(name); !value.empty()) return std::string(value);
  }
  return "";
}

// The series of one histogram, before they are joined.
struct HistogramParts {
  CountedName name;
  std::map<double, const promql::Series*> buckets; // by upper bound
  std::map<double, const promql::Series*> ranges;  // of VictoriaMetrics, by upper bound
  const promql::Series* sum = nullptr;
  const promql::Series* count = nullptr;
  const promql::Series* native = nullptr;
  double to_ms = 1;
};

std::optional<double> bound_of(std::string_view le) {
  if (le == "+Inf" || le == "Inf") return INFINITY;
  if (le.starts_with('+')) le.remove_prefix(1);
  double out = 0;
  const auto [end, error] = std::from_chars(le.data(), le.data() + le.size(), out);
  if (error != std::errc() || end != le.data() + le.size() || std::isnan(out)) return std::nullopt;
  return out;
}

// Bounds in seconds hardly go beyond 100; bounds in milliseconds nearly always do. A histogram
// without bounds of its own has the unit of the conventions, which was the millisecond before 1.20.
double factor_of(const HistogramParts& parts) {
  const std::string_view name = parts.name.base;
  if (name.ends_with("_seconds") || name.ends_with("_latency")) return kMsPerSecond;
  if (name.ends_with("_milliseconds") || name == "http_server_duration") return 1;
  double last = 0;
  for (const auto& [bound, series] : parts.buckets) {
    if (std::isfinite(bound)) last = std::max(last, bound);
  }
  if (parts.name.family == Family::span_duration) return last > 0 && last < 100 ? kMsPerSecond : 1;
  return last >= 100 ? 1 : kMsPerSecond;
}

std::optional<double> value_at(const promql::Series* series, std::int64_t time_ms) {
  if (series == nullptr) return std::nullopt;
  const auto it = std::ranges::lower_bound(series->floats, time_ms, {}, &promql::Sample::time_ms);
  if (it == series->floats.end() || it->time_ms != time_ms) return std::nullopt;
  return it->value;
}

// The buckets of one moment, or none when one is missing or they run backwards (a scrape that
// failed half-way).
std::optional<ClassicHistogram> histogram_at(const HistogramParts& parts,
                                             const BucketBounds& bounds, std::int64_t time_ms) {
  ClassicHistogram out;
  out.bounds = bounds;
  double below = 0;
  for (const auto& [bound, series] : parts.buckets) {
    const auto value = value_at(series, time_ms);
    if (!value || !(*value >= below) || *value > 9e15) return std::nullopt;
    out.counts.push_back(static_cast<std::uint64_t>(std::llround(*value - below)));
    below = *value;
  }
  for (const auto count : out.counts) out.count += count;
  out.sum = value_at(parts.sum, time_ms).value_or(0) * parts.to_ms;
  return out;
}

std::vector<ClassicSample> put_together(HistogramParts& parts) {
  std::vector<ClassicSample> out;
  if (parts.buckets.size() < 2 || !parts.buckets.contains(INFINITY)) return out;
  std::vector<double> upper;
  for (const auto& [bound, series] : parts.buckets) {
    if (std::isfinite(bound)) upper.push_back(bound * parts.to_ms);
  }
  const BucketBounds bounds = std::make_shared<const std::vector<double>>(std::move(upper));
  for (const auto& sample : parts.buckets.at(INFINITY)->floats) {
    if (auto histogram = histogram_at(parts, bounds, sample.time_ms)) {
      out.push_back({sample.time_ms, sample.start_ms, false, std::move(*histogram)});
    }
  }
  return out;
}

std::string instance_of(const Labels& labels) {
  std::string out;
  for (const auto* label : {"service_name", "deployment_track", "service_version", "instance"}) {
    out += labels.get(label);
    out += '\0';
  }
  return out;
}
std::string instance_of(const SeriesData& series) { return instance_of(*series.labels); }

std::int64_t newest_time_of(const promql::Series& series) {
  return std::max(series.floats.empty() ? INT64_MIN : series.floats.back().time_ms,
                  series.histograms.empty() ? INT64_MIN : series.histograms.back().time_ms);
}

// The best metric of each kind that an instance still reports.
class BestNames {
 public:
  enum class Kind { requests, errors, histogram, spans, span_durations };

  void saw(const std::string& instance, Kind kind, std::size_t rank, std::int64_t newest_ms) {
    const auto [it, added] = newest_[{instance, kind}].try_emplace(rank, newest_ms);
    if (!added) it->second = std::max(it->second, newest_ms);
  }
  bool is_best(const std::string& instance, Kind kind, std::size_t rank) const {
    const auto it = newest_.find({instance, kind});
    if (it == newest_.end()) return false;
    std::int64_t newest = INT64_MIN;
    for (const auto& [at, ms] : it->second) newest = std::max(newest, ms);
    for (const auto& [at, ms] : it->second) {
      if (ms >= newest - kSilentMs) return at == rank;
    }
    return false;
  }

 private:
  std::map<std::pair<std::string, Kind>, std::map<std::size_t, std::int64_t>> newest_;
};

// Collects the families of one selection. Lives for one call.
class Sorter {
 public:
  Sorter(const SeriesNames& names, const FailureRule& rule, SparseTotals& totals)
      : names_(names), rule_(rule), totals_(totals) {
    out_.failures = rule;
  }

  void take(const promql::Series& series) {
    const auto name = counted_name(series.labels.metric_name(), names_);
    if (!name || (of_spans(*name) && series.labels.get("span_kind") != kServerSpan)) return;
    const auto instance = instance_of(own_labels(series.labels, *name));
    best_.saw(instance, kind_of(*name), name->rank, newest_time_of(series));
    switch (name->family) {
      case Family::requests:
      case Family::errors:
      case Family::span_requests: counters_.push_back({*name, &series, instance}); break;
      case Family::duration:
      case Family::span_duration: take_histogram(series, *name); break;
    }
  }

  cohort::CohortFamilies finish() && {
    std::erase_if(counters_, [&](const Counter& c) {
      return !best_.is_best(c.instance, kind_of(c.name), c.name.rank);
    });
    for (const auto& counter : counters_) {
      if (counter.name.family == Family::requests) sent_.insert(counter.instance);
      const bool says_errors = counter.name.family == Family::errors ||
                               (counter.name.family == Family::requests && says_status(counter));
      if (says_errors) sent_errors_.insert(counter.instance);
      if (counter.name.family == Family::requests && status_of(counter.series->labels).code != 0)
        sent_statuses_.insert(counter.instance);
      if (counter.name.family == Family::errors) error_counters_.insert(counter.instance);
    }
    for (const auto& counter : counters_) add_counter(counter);
    for (auto& [labels, parts] : histograms_) add_histogram(labels, parts);
    return std::move(out_);
  }

 private:
  struct Counter {
    CountedName name;
    const promql::Series* series;
    std::string instance;
  };

  static bool of_spans(const CountedName& name) {
    return name.family == Family::span_requests || name.family == Family::span_duration;
  }
  static BestNames::Kind kind_of(const CountedName& name) {
    switch (name.family) {
      case Family::requests: return BestNames::Kind::requests;
      case Family::errors: return BestNames::Kind::errors;
      case Family::duration: return BestNames::Kind::histogram;
      case Family::span_requests: return BestNames::Kind::spans;
      case Family::span_duration: return BestNames::Kind::span_durations;
    }
    return BestNames::Kind::requests;
  }

  void take_histogram(const promql::Series& series, const CountedName& name) {
    auto& parts =
        histograms_[series.labels.without("le").without("vmrange").with(kMetricName, name.base)];
    parts.name = name;
    switch (name.part) {
      case Part::whole:
        if (!series.histograms.empty()) parts.native = &series;
        break;
      case Part::sum: parts.sum = &series; break;
      case Part::count: parts.count = &series; break;
      case Part::bucket:
        if (const auto range = upper_of_vmrange(series.labels.get("vmrange"))) {
          parts.ranges[*range] = &series;
        } else if (const auto bound = bound_of(series.labels.get("le"))) {
          parts.buckets[*bound] = &series;
        }
        break;
    }
  }

  bool says_status(const Counter& counter) const {
    return !first_of(counter.series->labels, names_.status_labels).empty() ||
           counter.series->labels.has("error_type");
  }

  // Counts errors like the embedded store.
  enum class CountedFrom { requests, spans };
  bool is_error(const Labels& labels, CountedFrom from) const {
    if (from == CountedFrom::spans) {
      const auto said = labels.get("status_code");
      const auto status = said == kErrorStatus ? StatusCode::error
                          : said == kOkStatus  ? StatusCode::ok
                                               : StatusCode::unset;
      const auto http = http_status_of_text(first_of(labels, http_status_labels_));
      return is_failed(SpanKind::server, status, http, rule_);
    }
    if (names_.status_labels.empty()) return false; // the parts of a ratio are no errors
    return is_failed(status_of(labels), labels.get("error_type"), rule_);
  }

  HttpStatus status_of(const Labels& labels) const {
    return http_status_of_text(first_of(labels, names_.status_labels));
  }
  // Whether the rule names the status: then it counts beside an error counter too.
  bool is_named(const Labels& labels) const { return rule_.says(status_of(labels)) == true; }

  Labels own_labels(const Labels& labels, const CountedName& name) const {
    auto route = first_of(labels, names_.route_labels);
    if (route.empty() && of_spans(name)) route = labels.get("span_name");
    auto out = labels.with("instance", first_of(labels, names_.instance_labels))
                   .with("http_route", route)
                   .with("service_name", labels.get(plain_name(names_.service_label)));
    const auto& status_labels = of_spans(name) ? http_status_labels_ : names_.status_labels;
    const auto status = first_of(labels, status_labels);
    return status.empty() ? out : out.with("http_response_status_code", status);
  }

  enum class Place { requests, errors, durations, sent_errors, sent_client_errors };
  SeriesData& add(Place place, const Labels& labels, const CountedName& name, Source source) {
    auto& to = place == Place::requests             ? out_.requests
               : place == Place::durations          ? out_.durations
               : place == Place::sent_client_errors ? out_.client_errors
                                                    : out_.errors;
    auto& data = to.emplace_back();
    // A series has the same id at every read. The families of one series have different ids.
    data.id = SeriesId{labels.hash() * 8 + static_cast<std::uint64_t>(place)};
    data.labels = std::make_shared<const Labels>(own_labels(labels, name));
    data.kind = MetricKind::counter;
    data.source = source;
    return data;
  }

  void add_floats(Place place, const promql::Series& series, const Labels& labels,
                  const CountedName& name, Source source) {
    if (series.floats.empty() && series.histograms.empty()) return;
    auto& data = add(place, labels, name, source);
    for (const auto& s : series.floats) data.floats.push_back({s.time_ms, s.start_ms, s.value});
    if (!series.floats.empty()) return;
    for (const auto& s : series.histograms)
      data.floats.push_back({s.time_ms, s.start_ms, s.value->count});
  }

  void add_counter(const Counter& counter) {
    const auto& labels = counter.series->labels;
    const bool spans = of_spans(counter.name);
    const auto source = spans ? Source::spans : Source::sent;
    if (counter.name.family == Family::errors) {
      add_floats(Place::errors, *counter.series, labels, counter.name, source);
      return;
    }
    add_floats(Place::requests, *counter.series, labels, counter.name, source);
    const bool has_counter = !spans && error_counters_.contains(counter.instance);
    if ((!has_counter || is_named(labels)) &&
        is_error(labels, spans ? CountedFrom::spans : CountedFrom::requests))
      add_floats(Place::errors, *counter.series, labels, counter.name, source);
  }

  void add_histogram(const Labels& labels, HistogramParts& parts) {
    const auto instance = instance_of(own_labels(labels, parts.name));
    const bool spans = of_spans(parts.name);
    if (!best_.is_best(instance, kind_of(parts.name), parts.name.rank)) return;
    const auto source = spans ? Source::spans : Source::histogram;
    const auto* counted = parts.count != nullptr ? parts.count : parts.native;
    if (counted != nullptr && !spans) {
      add_floats(Place::requests, *counted, labels, parts.name, source);
      if (is_error(labels, CountedFrom::requests)) {
        add_floats(Place::errors, *counted, labels, parts.name, source);
        // The application counts its requests and does not say which failed; its histogram does.
        if (sent_.contains(instance) && !sent_errors_.contains(instance))
          add_floats(Place::sent_errors, *counted, labels, parts.name, Source::sent);
      }
      if (sent_.contains(instance) && !sent_statuses_.contains(instance))
        lend_client_errors(*counted, labels, parts.name, instance);
    }
    parts.to_ms = factor_of(parts);
    auto samples = put_together(parts);
    if (samples.empty()) samples = add_sparse(labels, parts);
    if (samples.empty()) return;
    auto& data = add(Place::durations, labels, parts.name, source);
    data.kind = MetricKind::histogram;
    data.unit = "ms";
    data.classic = std::move(samples);
  }

  // The same for client errors. Other statuses give zeros, which say that statuses are known. What
  // the rule names stays a client error beside an error counter, which does not know the rule.
  void lend_client_errors(const promql::Series& counted, const Labels& labels,
                          const CountedName& name, const std::string& instance) {
    const auto status = status_of(labels);
    if (status.code == 0) return;
    const auto before = out_.client_errors.size();
    add_floats(Place::sent_client_errors, counted, labels, name, Source::sent);
    if (out_.client_errors.size() == before) return;
    const bool failed =
        is_error(labels, CountedFrom::requests) && !error_counters_.contains(instance);
    if (answer_of(status, failed) == Answer::client_error) return;
    for (auto& sample : out_.client_errors.back().floats) sample.value = 0;
  }

  // Totals of a histogram that names only its filled buckets.
  std::vector<ClassicSample> add_sparse(const Labels& labels, const HistogramParts& parts) {
    std::vector<ClassicSample> out;
    if (parts.native == nullptr && parts.ranges.empty()) return out;
    auto& total = totals_.try_emplace(labels.hash(), parts.to_ms).first->second;
    const auto take = [&](std::int64_t time_ms, std::int64_t start_ms, const SparseHistogram& now) {
      if (auto sample = total.add(time_ms, start_ms, now)) out.push_back(std::move(*sample));
    };
    if (parts.native != nullptr) {
      for (const auto& sample : parts.native->histograms) {
        if (!std::isnan(sample.value->sum)) // a staleness marker
          take(sample.time_ms, sample.start_ms, sparse_of(*sample.value));
      }
      return out;
    }
    std::set<std::int64_t> times;
    for (const auto& [upper, series] : parts.ranges) {
      for (const auto& s : series->floats) times.insert(s.time_ms);
    }
    for (const auto time_ms : times) {
      SparseHistogram now;
      for (const auto& [upper, series] : parts.ranges) {
        const auto value = value_at(series, time_ms);
        if (!value || !(*value > 0)) continue;
        now.buckets[upper] = *value;
        now.count += *value;
      }
      now.sum = value_at(parts.sum, time_ms).value_or(0);
      take(time_ms, 0, now);
    }
    return out;
  }

  const SeriesNames& names_;
  const FailureRule& rule_;
  SparseTotals& totals_;
  const std::vector<std::string> http_status_labels_ = {"http_response_status_code",
                                                        "http_status_code"};
  cohort::CohortFamilies out_;
  BestNames best_;
  std::vector<Counter> counters_;
  std::map<Labels, HistogramParts> histograms_;
  std::set<std::string> sent_;           // instances with a counter of requests of their own
  std::set<std::string> sent_errors_;    // of them: those whose counters say what failed
  std::set<std::string> sent_statuses_;  // of them: those whose counters have HTTP statuses
  std::set<std::string> error_counters_; // those with a counter of errors
};

} // namespace

std::vector<Matcher> cohort_matchers(const cohort::CohortSelector& cohort,
                                     const SeriesNames& names) {
  auto out = cohort.matchers;
  for (auto& matcher : out) {
    if (matcher.name == "service_name") matcher.name = names.service_label;
  }
  return out;
}

std::vector<Matcher> request_matchers(const cohort::CohortSelector& cohort,
                                      const SeriesNames& names) {
  auto out = cohort_matchers(cohort, names);
  out.push_back({std::string(kMetricName), Matcher::Op::regexp, metric_pattern(names)});
  return out;
}

cohort::CohortFamilies request_families(std::vector<promql::Series> series,
                                        const SeriesNames& names, const FailureRule& failures,
                                        SparseTotals* totals) {
  for (auto& one : series) one.labels = with_plain_names(one.labels);
  const auto plain = merge_replicas(std::move(series), names.replica_labels, names.instance_labels);
  SparseTotals fresh;
  Sorter sorter(names, failures, totals == nullptr ? fresh : *totals);
  for (const auto& one : plain) sorter.take(one);
  return std::move(sorter).finish();
}

// Counts from spans may be those of a collector, which names itself as the instance, and they may
// be a sample of the requests: nothing is counted from them where anything else counts.
void choose_sources(cohort::CohortFamilies& families) {
  std::set<std::string> with_counters;
  for (const auto& series : families.requests) {
    if (series.source == Source::sent) with_counters.insert(instance_of(series));
  }
  const auto metric = [](const SeriesData& series) { return series.source != Source::spans; };
  const bool any_metric = std::ranges::any_of(families.requests, metric);
  if (any_metric) {
    for (const auto& series : families.requests) {
      if (!metric(series)) families.witnesses.push_back(series);
    }
  }
  for (auto* family : {&families.requests, &families.errors, &families.client_errors}) {
    std::erase_if(*family, [&](const SeriesData& series) {
      if (any_metric && !metric(series)) return true;
      return metric(series) &&
             (series.source == Source::sent) != with_counters.contains(instance_of(series));
    });
  }
  const bool any_timed = std::ranges::any_of(families.durations, metric);
  if (any_timed)
    std::erase_if(families.durations, [&](const SeriesData& series) { return !metric(series); });
}

} // namespace coalmine::datasource
