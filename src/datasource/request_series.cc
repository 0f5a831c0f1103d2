// SPDX-License-Identifier: Apache-2.0
#include "datasource/request_series.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>
#include <optional>
#include <set>

namespace coalmine::datasource {
namespace {

constexpr std::string_view kBucket = "_bucket";
constexpr std::string_view kCount = "_count";
constexpr std::string_view kSum = "_sum";
constexpr double kMsPerSecond = 1000;

// A regular expression that matches exactly this name.
std::string quoted_name(std::string_view name) {
  std::string out;
  for (const char c : name) {
    const bool plain =
        (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
    if (!plain) out += '\\';
    out += c;
  }
  return out;
}

std::string first_of(const Labels& labels, const std::vector<std::string>& names) {
  for (const auto& name : names) {
    if (const auto value = labels.get(name); !value.empty()) return std::string(value);
  }
  return "";
}

// The counters of one classic histogram, before they are joined.
struct HistogramParts {
  std::map<double, const promql::Series*> buckets; // by upper bound
  const promql::Series* sum = nullptr;
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

// Bounds in seconds hardly go beyond 100; bounds in milliseconds nearly always do.
double factor_of(std::string_view name, const std::map<double, const promql::Series*>& buckets) {
  if (name.ends_with("_seconds")) return kMsPerSecond;
  if (name.ends_with("_milliseconds")) return 1;
  double last = 0;
  for (const auto& [bound, series] : buckets) {
    if (std::isfinite(bound)) last = std::max(last, bound);
  }
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

// Collects the families of one selection. Lives for one call.
class Sorter {
 public:
  explicit Sorter(const SeriesNames& names) : names_(names) {}

  void take(const promql::Series& series) {
    const auto name = series.labels.metric_name();
    if (name == names_.requests) {
      add_counter(out_.requests, series, Source::sent);
      if (is_error(series.labels)) errors_by_status_.push_back(&series);
      return;
    }
    if (name == names_.errors) {
      add_counter(out_.errors, series, Source::sent);
      return;
    }
    for (const auto& base : names_.durations) {
      if (!name.starts_with(base)) continue;
      const auto suffix = name.substr(base.size());
      if (suffix != kBucket && suffix != kCount && suffix != kSum) continue;
      take_histogram(series, base, suffix);
      return;
    }
  }

  cohort::CohortFamilies finish() && {
    const bool counted = std::ranges::any_of(
        out_.errors, [](const SeriesData& s) { return s.source == Source::sent; });
    if (!counted) {
      for (const auto* series : errors_by_status_) add_counter(out_.errors, *series, Source::sent);
    }
    for (auto& [labels, parts] : histograms_) {
      parts.to_ms = factor_of(labels.metric_name(), parts.buckets);
      auto samples = put_together(parts);
      if (samples.empty()) continue;
      auto& data = add(out_.durations, labels, Source::histogram);
      data.kind = MetricKind::histogram;
      data.unit = "ms";
      data.classic = std::move(samples);
    }
    return std::move(out_);
  }

 private:
  void take_histogram(const promql::Series& series, const std::string& base,
                      std::string_view suffix) {
    if (suffix == kCount) {
      add_counter(out_.requests, series, Source::histogram);
      if (is_error(series.labels)) add_counter(out_.errors, series, Source::histogram);
      return;
    }
    auto& parts = histograms_[series.labels.without("le").with(kMetricName, base)];
    if (suffix == kSum) {
      parts.sum = &series;
    } else if (const auto bound = bound_of(series.labels.get("le"))) {
      parts.buckets[*bound] = &series;
    }
  }

  // Counts errors like the embedded store: 5xx, or an error type that is not a 4xx code.
  bool is_error(const Labels& labels) const {
    const auto status = first_of(labels, names_.status_labels);
    if (status.starts_with('5')) return true;
    const auto type = labels.get("error_type");
    const bool client_error = type.size() == 3 && type[0] == '4';
    return !type.empty() && !client_error;
  }

  SeriesData& add(std::vector<SeriesData>& to, const Labels& labels, Source source) {
    auto own = labels.with("instance", first_of(labels, names_.instance_labels))
                   .with("http_route", first_of(labels, names_.route_labels))
                   .with("service_name", labels.get(names_.service_label));
    auto& data = to.emplace_back();
    // A series has the same id at every read. The families of one series have different ids.
    const auto family = static_cast<std::uint64_t>(&to == &out_.requests ? 0
                                                   : &to == &out_.errors ? 1
                                                                         : 2);
    data.id = SeriesId{labels.hash() * 3 + family};
    data.labels = std::make_shared<const Labels>(std::move(own));
    data.source = source;
    return data;
  }

  void add_counter(std::vector<SeriesData>& to, const promql::Series& series, Source source) {
    if (series.floats.empty()) return;
    auto& data = add(to, series.labels, source);
    data.kind = MetricKind::counter;
    data.floats.reserve(series.floats.size());
    for (const auto& s : series.floats) data.floats.push_back({s.time_ms, s.start_ms, s.value});
  }

  const SeriesNames& names_;
  cohort::CohortFamilies out_;
  std::vector<const promql::Series*> errors_by_status_;
  std::map<Labels, HistogramParts> histograms_;
};

std::string instance_of(const SeriesData& series) {
  std::string out;
  for (const auto* label : {"service_name", "deployment_track", "service_version", "instance"}) {
    out += series.labels->get(label);
    out += '\0';
  }
  return out;
}

} // namespace

SeriesNames ratio_names(std::string total, std::string part, SeriesNames labels) {
  labels.requests = std::move(total);
  labels.errors = std::move(part);
  labels.durations.clear();
  labels.status_labels.clear();
  return labels;
}

std::vector<Matcher> request_matchers(const cohort::CohortSelector& cohort,
                                      const SeriesNames& names) {
  auto out = cohort.matchers;
  for (auto& matcher : out) {
    if (matcher.name == "service_name") matcher.name = names.service_label;
  }
  std::string pattern = quoted_name(names.requests) + "|" + quoted_name(names.errors);
  for (const auto& base : names.durations)
    pattern += "|" + quoted_name(base) + "_(bucket|count|sum)";
  out.push_back({std::string(kMetricName), Matcher::Op::regexp, std::move(pattern)});
  return out;
}

cohort::CohortFamilies request_families(const std::vector<promql::Series>& series,
                                        const SeriesNames& names) {
  Sorter sorter(names);
  for (const auto& one : series) sorter.take(one);
  return std::move(sorter).finish();
}

void choose_sources(cohort::CohortFamilies& families) {
  std::set<std::string> with_counters;
  for (const auto& series : families.requests) {
    if (series.source == Source::sent) with_counters.insert(instance_of(series));
  }
  for (auto* family : {&families.requests, &families.errors}) {
    std::erase_if(*family, [&](const SeriesData& series) {
      return (series.source == Source::sent) != with_counters.contains(instance_of(series));
    });
  }
}

} // namespace coalmine::datasource
