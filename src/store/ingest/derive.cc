// SPDX-License-Identifier: Apache-2.0
#include "store/ingest/derive.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "base/text.h"
#include "store/series/histogram_math.h"
#include "telemetry/durations.h"
#include "telemetry/route_name.h"

namespace coalmine::store {
namespace {

// The value of the first of several attribute names that is present.
std::string first_text(const Attributes& attributes,
                       std::initializer_list<std::string_view> names) {
  for (const auto name : names) {
    if (auto text = attribute_text(attributes, name); !text.empty()) return text;
  }
  return "";
}

// The codes of UCUM, and the words that some libraries write instead (Micrometer).
struct TimeUnit {
  double to_ms;
  std::array<std::string_view, 6> words; // "" fills up
};
constexpr std::array kTimeUnits = {
    TimeUnit{1000, {"s", "sec", "secs", "second", "seconds"}},
    TimeUnit{1, {"ms", "msec", "millis", "millisecond", "milliseconds"}},
    TimeUnit{1e-3, {"us", "\u00b5s", "\u03bcs", "micros", "microsecond", "microseconds"}},
    TimeUnit{1e-6, {"ns", "nsec", "nanos", "nanosecond", "nanoseconds"}},
    TimeUnit{60'000, {"min", "mins", "minute", "minutes"}},
};

// In lower case, without annotations ("ms{request}"), which say nothing about the unit.
std::string plain_unit(std::string_view unit) {
  std::string out;
  bool annotation = false;
  for (const char c : unit) {
    if (c == '{') annotation = true;
    if (!annotation && c != ' ') out += ascii_lower(c);
    if (c == '}') annotation = false;
  }
  return out;
}

DescriptionRef description(std::string unit, std::string help) {
  return std::make_shared<const MetricDescription>(
      MetricDescription{"", std::move(unit), std::move(help)});
}
const DescriptionRef& requests_description() {
  static const auto kText =
      description("1", "Requests served, derived from what the service reports about itself.");
  return kText;
}
const DescriptionRef& errors_description() {
  static const auto kText = description("1", "Requests that failed on the server's side.");
  return kText;
}
const DescriptionRef& client_errors_description() {
  static const auto kText = description("1", "Requests answered with an HTTP status of 4xx.");
  return kText;
}
const DescriptionRef& tail_sampled_description() {
  static const auto kText = description(
      "1", "Server spans that a sampler kept by how they ended: a sample of the requests.");
  return kText;
}
const DescriptionRef& duration_description() {
  static const auto kText = description("ms", "Duration of requests in milliseconds.");
  return kText;
}
const DescriptionRef& exact_description() {
  static const auto kText = description("s", "Duration of requests as it was measured.");
  return kText;
}
constexpr double kMsPerSecond = 1000;

SeriesInfo describe(Labels labels, MetricKind kind, Source source, DescriptionRef metric) {
  SeriesInfo out;
  out.labels = std::make_shared<const Labels>(std::move(labels));
  out.kind = kind;
  out.source = source;
  out.metric = std::move(metric);
  return out;
}

// Adds requests that all ended alike.
void count(DerivedPending& pending, double requests, RequestOutcome outcome) {
  pending.requests += requests;
  if (outcome.failed) pending.errors += requests;
  if (outcome.answer == Answer::client_error) pending.client_errors += requests;
  if (outcome.named) pending.named += requests;
  pending.answered = pending.answered || outcome.answer != Answer::unknown;
}

double number_of(const std::optional<Sample>& sample) {
  const auto* number = sample ? std::get_if<FloatSample>(&*sample) : nullptr;
  return number == nullptr ? 0 : number->value;
}

ClassicHistogram rebinned(const ClassicHistogram& histogram, const BucketBounds& bounds) {
  ClassicHistogram out;
  out.bounds = bounds;
  out.counts.assign(bounds->size() + 1, 0);
  coalmine::add(out, histogram);
  return out;
}

} // namespace

Labels derived_labels(const Resource& resource, std::string_view name, std::string_view route,
                      std::string_view method) {
  std::vector<Labels::Pair> pairs = resource.labels.pairs();
  pairs.emplace_back("http_route", route);
  pairs.emplace_back("http_request_method", method);
  pairs.emplace_back(kMetricName, name);
  return Labels(std::move(pairs));
}

std::string route_of(const Attributes& attributes, const Labels* scope) {
  // Python's instrumentations, which give metrics no target but the route.
  constexpr std::string_view kRoutesInTarget = "opentelemetry.instrumentation.";
  if (auto route = attribute_text(attributes, "http.route"); !route.empty()) return route;
  auto target = attribute_text(attributes, "http.target");
  const bool known = scope != nullptr && scope->get("otel_scope_name").starts_with(kRoutesInTarget);
  return known || is_route_template(target) ? target : "";
}
std::string method_of(const Attributes& attributes) {
  return first_text(attributes, {"http.request.method", "http.method"});
}

RequestOutcome outcome_of_point(const Attributes& attributes, const FailureRule& rule) {
  const int status = http_status_of(attributes);
  const bool failed = is_failed(status, attribute_text(attributes, "error.type"), rule);
  return {failed, answer_of(status, failed), failed && is_client_error(status)};
}

double to_ms_factor(std::string_view unit, bool old_convention, const BucketBounds& bounds) {
  const std::string plain = plain_unit(unit);
  for (const auto& [factor, words] : kTimeUnits) {
    if (!plain.empty() && std::ranges::find(words, plain) != words.end()) return factor;
  }
  if (old_convention) return 1;
  return bounds && !bounds->empty() && bounds->back() >= 100 ? 1 : 1000;
}

DerivedGroup* Deriver::group(Stage& stage, const Resource& resource, std::string_view route,
                             std::string_view method, OwnCounts* own) {
  const Labels labels = derived_labels(resource, kRequestsName, route, method);
  return load(stage, labels, labels.hash(), own);
}

DerivedGroup* Deriver::load(Stage& stage, const Labels& labels, std::uint64_t hash,
                            OwnCounts* own) {
  const auto source = own != nullptr ? Source::histogram : Source::spans;
  const auto requests =
      stage.series(describe(labels, MetricKind::counter, source, requests_description()), hash);
  if (!requests) return nullptr;
  auto& slot = groups_[(*requests)->id];
  if (slot) return slot.get();
  slot = std::make_unique<DerivedGroup>();
  slot->requests = *requests;
  slot->own = own;
  if (!find_errors(stage, *slot)) {
    groups_.erase((*requests)->id);
    return nullptr;
  }
  if (own != nullptr) own->groups.push_back(slot.get());
  const auto last = stage.stored().last_value(slot->requests->id);
  if (!last) return slot.get();
  slot->requests_total = number_of(last);
  slot->start_ms = start_of(*last);
  slot->last_ms = time_of(*last);
  load_durations(stage, *slot);
  const auto is_stored = [&](std::string_view name) {
    const auto counted = slot->requests->labels->with(kMetricName, name);
    return stage.find(counted, counted.hash(), source, MetricKind::counter) != nullptr;
  };
  if (is_stored(kClientErrorsName)) find_client_errors(stage, *slot);
  if (is_stored(kTailSampledName)) find_tail_sampled(stage, *slot);
  return slot.get();
}

bool Deriver::find_errors(Stage& stage, DerivedGroup& group) {
  if (group.own != nullptr && !group.own->version->histogram_tells) return true;
  const Labels labels = group.requests->labels->with(kMetricName, kErrorsName);
  const auto errors = stage.series(
      describe(labels, MetricKind::counter, group.requests->source, errors_description()),
      labels.hash());
  if (!errors) return false;
  group.errors = *errors;
  group.loaded_errors = number_of(stage.stored().last_value(group.errors->id));
  group.errors_total += group.loaded_errors;
  return true;
}

void Deriver::find_client_errors(Stage& stage, DerivedGroup& group) {
  const Labels labels = group.requests->labels->with(kMetricName, kClientErrorsName);
  const auto found = stage.series(
      describe(labels, MetricKind::counter, group.requests->source, client_errors_description()),
      labels.hash());
  if (!found) return;
  group.client_errors = *found;
  group.loaded_client_errors = number_of(stage.stored().last_value(group.client_errors->id));
  group.client_errors_total += group.loaded_client_errors;
}

void Deriver::find_tail_sampled(Stage& stage, DerivedGroup& group) {
  const Labels labels = group.requests->labels->with(kMetricName, kTailSampledName);
  const auto found = stage.series(
      describe(labels, MetricKind::counter, group.requests->source, tail_sampled_description()),
      labels.hash());
  if (!found) return;
  group.tail_sampled = *found;
  group.tail_sampled_total += number_of(stage.stored().last_value(group.tail_sampled->id));
}

void Deriver::load_durations(Stage& stage, DerivedGroup& group) {
  const auto& requests = *group.requests;
  const Labels labels = requests.labels->with(kMetricName, kDurationName);
  const auto last = [&](MetricKind kind, SeriesInfo*& series) -> std::optional<Sample> {
    SeriesInfo* found = stage.find(labels, labels.hash(), requests.source, kind);
    auto value = found ? stage.stored().last_value(found->id) : std::nullopt;
    if (value) series = found;
    return value;
  };
  if (const auto classic = last(MetricKind::histogram, group.duration))
    group.duration_total = std::get<ClassicSample>(*classic).value;
  if (const auto exact = last(MetricKind::exponential, group.exact))
    group.exact_total = std::get<ExponentialSample>(*exact).value;
}

SeriesInfo* Deriver::duration_series(Stage& stage, const DerivedGroup& group, MetricKind kind) {
  const Labels labels = group.requests->labels->with(kMetricName, kDurationName);
  const auto& metric =
      kind == MetricKind::exponential ? exact_description() : duration_description();
  const auto info =
      stage.series(describe(labels, kind, group.requests->source, metric), labels.hash());
  return info ? *info : nullptr;
}

void Deriver::add_durations(Stage& stage, DerivedGroup& group) {
  const auto& pending = *group.pending;
  if (pending.duration) {
    if (group.duration == nullptr)
      group.duration = duration_series(stage, group, MetricKind::histogram);
    coalmine::add(group.duration_total, *pending.duration);
  }
  if (pending.exact) {
    if (group.exact == nullptr)
      group.exact = duration_series(stage, group, MetricKind::exponential);
    merge_durations(group.exact_total, *pending.exact);
  }
}

DerivedPending& Deriver::pending_of(DerivedGroup& group) {
  if (!group.pending) {
    group.pending.emplace();
    touched_.push_back(&group);
  }
  return *group.pending;
}

void Deriver::see(DerivedGroup& group, std::int64_t time_ms, std::int64_t start_ms) {
  auto& pending = pending_of(group);
  pending.time_ms = std::max(pending.time_ms, time_ms);
  pending.start_ms = std::min(pending.start_ms, start_ms);
}

void Deriver::add(DerivedGroup& group, const Sample& increase, double factor,
                  RequestOutcome outcome) {
  auto& pending = pending_of(group);
  const auto target = [&]() -> BucketBounds {
    if (group.duration_total.bounds) return group.duration_total.bounds;
    return pending.duration ? pending.duration->bounds : nullptr;
  }();
  std::optional<ClassicHistogram> in_ms;
  double requests = 0;
  if (const auto* classic = std::get_if<ClassicSample>(&increase)) {
    requests = static_cast<double>(classic->value.count);
    if (!classic->value.bounds->empty()) {
      const auto bounds = scale_bounds(classic->value.bounds, factor);
      in_ms = scaled(classic->value, factor, same_bounds(target, bounds) ? target : bounds);
      if (target && in_ms->bounds != target) {
        in_ms = rebinned(*in_ms, target);
      } else {
        group.plain_bounds = classic->value.bounds;
        group.plain_factor = factor;
      }
    }
  } else if (const auto* exponential = std::get_if<ExponentialSample>(&increase)) {
    requests = static_cast<double>(exponential->value.count);
    in_ms = to_classic(exponential->value, factor, target ? target : fixed_bounds_ms());
    const auto exact = durations_in_seconds(exponential->value, factor / kMsPerSecond);
    if (!pending.exact) pending.exact.emplace();
    merge_durations(*pending.exact, exact);
  }
  coalmine::store::count(pending, requests, outcome);
  if (!in_ms) return;
  if (pending.duration) {
    coalmine::add(*pending.duration, *in_ms);
  } else {
    pending.duration = std::move(in_ms);
  }
}

bool Deriver::add_growth(DerivedGroup& group, const Sample& before, const Sample& now,
                         double factor, RequestOutcome outcome) {
  const auto* was = std::get_if<ClassicSample>(&before);
  const auto* is = std::get_if<ClassicSample>(&now);
  if (was == nullptr || is == nullptr || !group.duration_total.bounds ||
      group.plain_factor != factor)
    return false;
  const auto& a = was->value;
  const auto& b = is->value;
  if (b.bounds != group.plain_bounds || !same_bounds(a.bounds, b.bounds) ||
      a.counts.size() != b.counts.size() || b.count < a.count ||
      group.duration_total.counts.size() != b.counts.size()) {
    return false;
  }
  for (std::size_t i = 0; i < a.counts.size(); ++i) {
    if (b.counts[i] < a.counts[i]) return false;
  }
  auto& pending = pending_of(group);
  if (!pending.duration) {
    pending.duration.emplace();
    pending.duration->bounds = group.duration_total.bounds;
    pending.duration->counts.assign(b.counts.size(), 0);
  } else if (pending.duration->bounds != group.duration_total.bounds) {
    return false;
  }
  for (std::size_t i = 0; i < a.counts.size(); ++i)
    pending.duration->counts[i] += b.counts[i] - a.counts[i];
  const auto count = b.count - a.count;
  pending.duration->count += count;
  pending.duration->sum += (b.sum - a.sum) * factor;
  coalmine::store::count(pending, static_cast<double>(count), outcome);
  return true;
}

void Deriver::add_span(DerivedGroup& group, const CountedSpan& span) {
  const auto& [ms, outcome, weight, tail_sampled] = span;
  auto& pending = pending_of(group);
  count(pending, weight, outcome);
  if (tail_sampled) pending.tail_sampled += weight;
  if (!ms) return;
  if (!pending.duration) {
    pending.duration.emplace();
    pending.duration->bounds =
        group.duration_total.bounds ? group.duration_total.bounds : fixed_bounds_ms();
    pending.duration->counts.assign(pending.duration->bounds->size() + 1, 0);
  }
  auto& histogram = *pending.duration;
  group.rest_weight += weight;
  const double whole = std::floor(group.rest_weight);
  group.rest_weight -= whole;
  const auto count = static_cast<std::uint64_t>(whole);
  histogram.counts[static_cast<std::size_t>(std::ranges::lower_bound(*histogram.bounds, *ms) -
                                            histogram.bounds->begin())] += count;
  histogram.count += count;
  histogram.sum += *ms * weight;
  if (!pending.exact) pending.exact.emplace();
  add_duration(*pending.exact, *ms / kMsPerSecond, count);
  pending.exact->sum += *ms / kMsPerSecond * (weight - whole);
}

void Deriver::flush(Stage& stage) {
  for (auto* group : touched_) {
    const bool from_spans = group->requests->source == Source::spans;
    auto& pending = *group->pending;
    if (from_spans && group->last_ms != 0 &&
        (pending.time_ms <= group->last_ms || pending.time_ms / 1000 == group->last_ms / 1000)) {
      pending.time_ms = group->last_ms;
    }
    if (pending.time_ms < group->last_ms) {
      write_late(stage, *group);
    } else {
      write(stage, *group);
    }
    group->pending.reset();
  }
  touched_.clear();
}

void Deriver::write(Stage& stage, DerivedGroup& group) {
  const auto& pending = *group.pending;
  const std::int64_t time_ms = pending.time_ms;
  if (group.last_ms == 0)
    group.start_ms = pending.start_ms == INT64_MAX ? time_ms : std::min(pending.start_ms, time_ms);
  group.last_ms = time_ms;
  group.requests_total += pending.requests;
  group.errors_total += pending.errors;
  group.client_errors_total += pending.client_errors;
  group.tail_sampled_total += pending.tail_sampled;
  if (group.own != nullptr && group.own->version->errors == OwnErrors::by_counter)
    group.named_total += pending.named;
  stage.put(group.requests->id, FloatSample{time_ms, group.start_ms, group.requests_total});
  if (group.errors == nullptr) (void)find_errors(stage, group);
  if (group.errors != nullptr)
    stage.put(group.errors->id, FloatSample{time_ms, group.start_ms, group.errors_total});
  if (group.client_errors == nullptr && pending.answered) find_client_errors(stage, group);
  if (group.client_errors != nullptr)
    stage.put(group.client_errors->id,
              FloatSample{time_ms, group.start_ms, group.client_errors_total});
  if (group.tail_sampled == nullptr && group.tail_sampled_total > 0)
    find_tail_sampled(stage, group);
  if (group.tail_sampled != nullptr)
    stage.put(group.tail_sampled->id,
              FloatSample{time_ms, group.start_ms, group.tail_sampled_total});
  add_durations(stage, group);
  put_durations(stage, group, time_ms);
}

// The exact one only when it was measured now: what stopped being measured so ends there.
void Deriver::put_durations(Stage& stage, const DerivedGroup& group, std::int64_t time_ms) {
  const auto start_ms = group.start_ms;
  if (group.duration != nullptr)
    stage.put(group.duration->id, ClassicSample{time_ms, start_ms, false, group.duration_total});
  if (group.exact != nullptr && group.pending->exact)
    stage.put(group.exact->id, ExponentialSample{time_ms, start_ms, false, group.exact_total});
}

// Writes an export that arrived after a newer one. Its increase belongs before that one.
void Deriver::write_late(Stage& stage, DerivedGroup& group) {
  const auto& pending = *group.pending;
  if (pending.requests == 0 && !(pending.duration && pending.duration->count > 0)) return;
  const std::int64_t start_ms = std::min(group.start_ms, pending.start_ms);
  const bool inserted =
      stage.put_late(group.requests->id,
                     FloatSample{pending.time_ms, start_ms, pending.requests}) == Late::added;
  group.requests_total += pending.requests;
  group.errors_total += pending.errors;
  group.client_errors_total += pending.client_errors;
  group.tail_sampled_total += pending.tail_sampled;
  if (group.own != nullptr && group.own->version->errors == OwnErrors::by_counter)
    group.named_total += pending.named;
  add_durations(stage, group);
  group.start_ms = start_ms;
  if (inserted) {
    const auto put_late = [&](const SeriesInfo* series, double value) {
      if (series != nullptr)
        (void)stage.put_late(series->id, FloatSample{pending.time_ms, start_ms, value});
    };
    put_late(group.errors, pending.errors);
    put_late(group.client_errors, pending.client_errors);
    put_late(group.tail_sampled, pending.tail_sampled);
    if (pending.duration && group.duration != nullptr) {
      (void)stage.put_late(group.duration->id,
                           ClassicSample{pending.time_ms, start_ms, false, *pending.duration});
    }
    if (pending.exact && group.exact != nullptr) {
      (void)stage.put_late(group.exact->id,
                           ExponentialSample{pending.time_ms, start_ms, false, *pending.exact});
    }
    return;
  }
  // There already is a sample at that time, so the increase is added to the newest one.
  stage.put(group.requests->id, FloatSample{group.last_ms, start_ms, group.requests_total});
  if (group.errors != nullptr)
    stage.put(group.errors->id, FloatSample{group.last_ms, start_ms, group.errors_total});
  if (group.client_errors != nullptr)
    stage.put(group.client_errors->id,
              FloatSample{group.last_ms, start_ms, group.client_errors_total});
  put_durations(stage, group, group.last_ms);
}

namespace {

// What is lent of a group: one of its totals.
struct Loan {
  const SeriesInfo* counted = nullptr; // nullptr: there is nothing to lend
  double total = 0;
  double loaded = 0; // the total as read from the store
  const DescriptionRef& description;
};

void lend(Stage& stage, const DerivedGroup& group, const Loan& loan, DerivedGroup::Lent& lent,
          std::int64_t time_ms) {
  if (loan.counted == nullptr) return;
  if (lent.series == nullptr) {
    auto what =
        describe(*loan.counted->labels, MetricKind::counter, Source::sent, loan.description);
    what.filler = true;
    const auto info = stage.filler(what);
    if (!info || !(*info)->filler) return; // too many series, or the application's own
    lent = {.series = *info, .start_ms = group.start_ms};
    if (const auto last = stage.stored().last_value(lent.series->id)) {
      // Goes on from what is stored, which may be less than the whole count.
      lent.value = number_of(last);
      lent.offset = lent.value - loan.loaded;
      lent.last_ms = time_of(*last);
      if (start_of(*last) != 0) lent.start_ms = std::min(lent.start_ms, start_of(*last));
    }
  }
  const double value = loan.total + lent.offset;
  if (time_ms < lent.last_ms || (time_ms == lent.last_ms && value == lent.value)) return;
  lent.value = value;
  lent.last_ms = time_ms;
  stage.put(lent.series->id, FloatSample{time_ms, std::min(lent.start_ms, time_ms), value});
}

} // namespace

void lend_errors(Stage& stage, DerivedGroup& group, std::int64_t time_ms) {
  lend(stage, group, {group.errors, group.errors_total, group.loaded_errors, errors_description()},
       group.lent_errors, time_ms);
}

void lend_client_errors(Stage& stage, DerivedGroup& group, std::int64_t time_ms) {
  lend(stage, group,
       {group.client_errors, group.client_errors_total + group.named_total,
        group.loaded_client_errors, client_errors_description()},
       group.lent_client_errors, time_ms);
}

void Deriver::clear() {
  groups_.clear();
  touched_.clear();
}

} // namespace coalmine::store
