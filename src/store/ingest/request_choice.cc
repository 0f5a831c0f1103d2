// SPDX-License-Identifier: Apache-2.0
#include "store/ingest/request_choice.h"

#include <algorithm>
#include <charconv>
#include <limits>
#include <utility>

namespace coalmine::store {

bool follows_conventions(std::string_view otel_name) {
  return otel_name == "http.server.request.duration" || otel_name == "http.server.duration" ||
         otel_name == kDurationName;
}

std::optional<SentPart> histogram_part(const Labels& labels, const RequestMetric& metric) {
  using Part = RequestMetric::Part;
  if (metric.part != Part::bucket && metric.part != Part::sum) return std::nullopt;
  SentPart out;
  out.histogram =
      labels.where([](auto name) { return name != "le" && name != kMetricName; }).hash();
  out.to_ms = metric.to_ms;
  if (metric.part == Part::sum) return out;
  const auto text = labels.get("le");
  double le = std::numeric_limits<double>::infinity();
  if (text != "+Inf" &&
      std::from_chars(text.data(), text.data() + text.size(), le).ec != std::errc())
    return std::nullopt;
  out.le = le;
  return out;
}

RequestChoices::Places RequestChoices::places_of(const Labels& labels,
                                                 const MetricDescription& metric, MetricKind kind) {
  Places out;
  auto found = find_request_metric(labels.metric_name(), kind);
  const bool follows = follows_conventions(metric.otel_name);
  // A unit that nobody knows does not hide the metric.
  if (!found && follows && (kind == MetricKind::histogram || kind == MetricKind::exponential))
    found = RequestMetric{.rank = metric.otel_name == "http.server.duration" ? std::uint8_t{1}
                                                                             : std::uint8_t{0}};
  if (!found) return out;
  out.metric = *found;
  using Part = RequestMetric::Part;
  // A whole histogram is better than its parts.
  const int place = found->rank * 2 + (found->part == Part::whole ? 0 : 1);
  if (found->part == Part::whole || found->part == Part::count) out.counts = place;
  const auto attributes = request_attributes(labels);
  out.tells_errors = find_attribute(attributes, "http.response.status_code") != nullptr ||
                     find_attribute(attributes, "error.type") != nullptr;
  if (found->part != Part::count) out.durations = place;
  return out;
}

bool RequestChoices::learn(const Labels& labels, const MetricDescription& metric, MetricKind kind) {
  const auto places = places_of(labels, metric, kind);
  // A sum alone times nothing.
  const int durations = places.metric.part == RequestMetric::Part::sum ? kNone : places.durations;
  const int counts = places.counts + (places.tells_errors ? 0 : kTellsNothing);
  if (places.counts == kNone && durations == kNone) return false;
  const auto instance = instance_key(labels);
  auto& choice = choices_[instance];
  if (counts >= choice.counts && durations >= choice.durations) return false;
  before_.try_emplace(instance, choice);
  choice.counts = std::min(choice.counts, counts);
  choice.durations = std::min(choice.durations, durations);
  return true;
}

RequestUse RequestChoices::use_of(const Labels& labels, const MetricDescription& metric,
                                  MetricKind kind) const {
  RequestUse out;
  const auto places = places_of(labels, metric, kind);
  if (places.counts == kNone && places.durations == kNone) return out;
  const auto it = choices_.find(instance_key(labels));
  if (it == choices_.end()) return out;
  const auto& choice = it->second;
  out.metric = places.metric;
  out.tells_errors = places.tells_errors;
  // All series of a metric count, also those of requests that got no answer and have no status.
  out.counts = places.counts != kNone &&
               (places.counts == choice.counts || places.counts + kTellsNothing == choice.counts);
  // Times of requests that nobody counts would stand beside a count of 0.
  out.durations =
      places.durations != kNone && places.durations == choice.durations && choice.counts != kNone;
  return out;
}

bool RequestChoices::is_switching(const std::string& instance) const {
  const auto it = before_.find(instance);
  if (it == before_.end()) return false;
  const auto& now = choices_.at(instance);
  const auto other = [](int before, int after) {
    return before != kNone && before % kTellsNothing != after % kTellsNothing;
  };
  return other(it->second.counts, now.counts) || other(it->second.durations, now.durations);
}

std::set<std::string> RequestChoices::commit() {
  std::set<std::string> out;
  for (const auto& [instance, choice] : before_) out.insert(instance);
  before_.clear();
  return out;
}

void RequestChoices::forget() {
  for (const auto& [instance, choice] : before_) choices_[instance] = choice;
  before_.clear();
}

void RequestChoices::exported(const std::string& instance, std::int64_t time_ms) {
  auto& choice = choices_[instance];
  if (time_ms <= choice.newest_ms) return;
  choice.before_ms = std::exchange(choice.newest_ms, time_ms);
}

std::int64_t RequestChoices::export_before(const std::string& instance,
                                           std::int64_t time_ms) const {
  const auto it = choices_.find(instance);
  if (it == choices_.end()) return 0;
  const auto& choice = it->second;
  if (choice.newest_ms < time_ms) return choice.newest_ms;
  return choice.before_ms < time_ms && choice.newest_ms == time_ms ? choice.before_ms : 0;
}

} // namespace coalmine::store
