// SPDX-License-Identifier: Apache-2.0
#include "store/ingest/ingest.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <numeric>

#include "base/rfc3339.h"
#include "store/ingest/processes.h"
#include "store/ingest/span_facts.h"
#include "store/ingest/stream_series.h"
#include "store/series/histogram_math.h"

namespace coalmine::store {
namespace {

constexpr std::string_view kStableDuration = "http.server.request.duration";
constexpr std::string_view kOldDuration = "http.server.duration";

// Accepts the OpenTelemetry name, and the Prometheus form that the seed writes.
bool is_stable_duration(std::string_view otel_name) {
  return otel_name == kStableDuration || otel_name == kDurationName;
}
bool is_duration(std::string_view otel_name) {
  return is_stable_duration(otel_name) || otel_name == kOldDuration;
}
// Request counts are derived again when the application's own count has been silent for this long.
constexpr std::int64_t kOwnRequestsMs = 5 * 60 * 1000;
constexpr std::size_t kMaxKept = 1'000'000;
constexpr std::uint64_t kNsPerMs = 1'000'000;

bool is_histogram(MetricKind kind) {
  return kind == MetricKind::histogram || kind == MetricKind::exponential;
}

double float_value(const Sample& sample) {
  const auto* number = std::get_if<FloatSample>(&sample);
  return number == nullptr ? 0 : number->value;
}

std::int64_t to_ms(std::uint64_t ns) { return static_cast<std::int64_t>(ns / kNsPerMs); }

// A start that cannot be counts as unknown (0): after the point itself, or near 1970, where clocks
// begin that were never set.
std::int64_t start_of(const MetricPoint& point) {
  constexpr std::int64_t kYear2000Ms = 946'684'800'000;
  const std::int64_t start_ms = to_ms(point.start_ns);
  return point.start_ns > point.time_ns || start_ms < kYear2000Ms ? 0 : start_ms;
}

// The first value after an unknown past counts only when the sender says that it began before the
// point.
bool counts_in_full(const MetricPoint& point) {
  return start_of(point) != 0 && point.start_ns < point.time_ns;
}

// Whether the points of a histogram tell failed requests from others.
bool tells_errors(const Attributes& attributes) {
  return http_status_of(attributes) != 0 || find_attribute(attributes, "error.type") != nullptr;
}

// The key under which a request counter finds its error counter.
std::string error_key(const Labels& labels) {
  const auto method = labels.get("http_request_method").empty() ? labels.get("http_method")
                                                                : labels.get("http_request_method");
  return fmt::format("{}\xff{}\xff{}", instance_key(labels), labels.get("http_route"), method);
}

bool is_own_requests(MetricKind kind, const Labels& labels) {
  return kind == MetricKind::counter && labels.metric_name() == kRequestsName;
}

bool is_own_errors(MetricKind kind, const Labels& labels) {
  return kind == MetricKind::counter && labels.metric_name() == kErrorsName;
}

// checked_bounds: bounds already known to be in order; set to the bounds checked here.
Result<Sample> to_sample(const MetricPoint& point, BucketBounds& checked_bounds) {
  const std::int64_t time_ms = to_ms(point.time_ns);
  const std::int64_t start_ms = start_of(point);
  const MetricKind kind = point.series->kind;
  if (point.no_recorded_value) return stale_marker(kind, time_ms, start_ms);
  if (const auto* classic = std::get_if<ClassicHistogram>(&point.value);
      classic != nullptr && kind == MetricKind::histogram) {
    ClassicSample out{time_ms, start_ms, false, *classic};
    if (!out.value.bounds || out.value.bounds != checked_bounds ||
        out.value.counts.size() != checked_bounds->size() + 1) {
      TRY(normalise(out.value));
      checked_bounds = out.value.bounds;
    }
    return Sample(std::move(out));
  }
  if (const auto* exponential = std::get_if<ExponentialHistogram>(&point.value);
      exponential != nullptr && kind == MetricKind::exponential) {
    ExponentialSample out{time_ms, start_ms, false, *exponential};
    TRY(normalise(out.value));
    return Sample(std::move(out));
  }
  if (const auto* number = std::get_if<double>(&point.value);
      number != nullptr && !is_histogram(kind)) {
    return Sample(FloatSample{time_ms, start_ms, *number});
  }
  return fail(ErrorCode::invalid_argument,
              fmt::format("a point of {} does not hold what its metric's type promises",
                          point.series->metric->otel_name));
}

// Whether another value of the series has the same time. Invariant: of two values of one instant
// the last is kept, and the sender is told. A point newer than all before, the usual case, costs
// one comparison. Points within one millisecond are no clash: that is how exactly times are stored.
bool clashes(const Stage& stage, const MetricPoint& point, SeriesInfo& info, const Sample& sample) {
  if (point.time_ns > info.newest_ns) {
    info.newest_ns = point.time_ns;
    return false;
  }
  if (point.time_ns != info.newest_ns && to_ms(point.time_ns) == to_ms(info.newest_ns))
    return false;
  const auto earlier = stage.recent(info.id, time_of(sample));
  return earlier && !is_stale(*earlier) && !same_value(*earlier, sample);
}

std::string clash_text(const MetricPoint& point, const SeriesInfo& info) {
  return fmt::format(
      "the series {} has two different values at {}, one is lost: two senders write it, or an "
      "attribute that told them apart was dropped",
      to_text(*info.labels), rfc3339(to_ms(point.time_ns)));
}

} // namespace

void Rejections::point(std::string why) {
  ++points;
  if (reason.empty()) reason = std::move(why);
}

void Ingest::restore(const SeriesInfo& info) {
  if (info.source != Source::sent) return;
  if (is_histogram(info.kind) && is_stable_duration(info.metric->otel_name))
    stable_instances_.insert(instance_key(*info.labels));
  if (is_own_errors(info.kind, *info.labels) && !info.filler) {
    own_errors_.insert(error_key(*info.labels));
    (void)own_.learn(*info.labels, OwnErrors::by_counter);
  }
  if (is_own_requests(info.kind, *info.labels) && http_status_of(*info.labels) != 0)
    (void)own_.learn(*info.labels, OwnErrors::by_status);
}

void Ingest::flush(Stage& stage) {
  deriver_.flush(stage);
  own_.lend(stage);
}

void Ingest::commit() {
  own_errors_.merge(batch_own_errors_);
  batch_own_errors_.clear();
  for (const auto& instance : switching_)
    forget_instance(instance); // the facts found while they switched hold for this batch only
  switching_.clear();
}

void Ingest::forget() {
  own_.forget_groups();
  deriver_.clear();
  memories_.clear();
  forget_kept();
  batch_own_errors_.clear();
  // Their points were not kept, so they have not switched yet.
  for (const auto& instance : switching_) stable_instances_.erase(instance);
  switching_.clear();
}

void Ingest::forget_ended(const SeriesIndex& index, std::int64_t before_ms) {
  forget();
  stable_instances_.clear();
  own_errors_.clear();
  own_.forget_older(before_ms);
  index.for_each([this](const SeriesInfo& info) { restore(info); });
}

// The order of the metrics in a batch means nothing. So facts about its senders are gathered before
// the first point is added. A fact about an instance affects only the series of that instance, one
// about a version those of all its instances.
void Ingest::survey(const std::vector<MetricPoint>& points) {
  std::set<std::string> learnt;
  const bool of_version = look_up(points, learnt);
  if (learnt.empty() && !of_version) return;
  if (of_version) forget_kept();
  for (const auto& instance : learnt) forget_instance(instance);
  (void)look_up(points, learnt);
}

bool Ingest::look_up(const std::vector<MetricPoint>& points, std::set<std::string>& learnt) {
  bool of_version = false;
  const MetricSeries* before = nullptr;
  found_.assign(points.size(), nullptr);
  for (std::size_t i = 0; i < points.size(); ++i) {
    const auto& point = points[i];
    if (!point.series || point.series.get() == before) continue;
    const MetricSeries& series = *point.series;
    before = &series;
    if (series.recurring) {
      const auto it = kept_.find(&series);
      if (it != kept_.end()) {
        found_[i] = &it->second.known;
        continue; // surveyed when first met
      }
    }
    if (is_histogram(series.kind) && is_stable_duration(series.metric->otel_name)) {
      auto key = instance_key(series.labels);
      if (stable_instances_.insert(key).second) {
        learnt.insert(key);
        switching_.insert(std::move(key));
      }
    }
    if (is_histogram(series.kind) && is_duration(series.metric->otel_name) &&
        tells_errors(series.attributes))
      own_.learn_histogram_tells(series.labels);
    if (is_own_errors(series.kind, series.labels)) {
      auto key = error_key(series.labels);
      if (!own_errors_.contains(key) && batch_own_errors_.insert(std::move(key)).second)
        learnt.insert(instance_key(series.labels));
      of_version |= own_.learn(series.labels, OwnErrors::by_counter);
    }
    if (is_own_requests(series.kind, series.labels) && http_status_of(series.labels) != 0)
      of_version |= own_.learn(series.labels, OwnErrors::by_status);
  }
  return of_version;
}

void Ingest::forget_instance(const std::string& instance) {
  const auto at = kept_of_instance_.find(instance);
  if (at == kept_of_instance_.end()) return;
  for (const auto* series : at->second) kept_.erase(series);
  kept_of_instance_.erase(at);
}

void Ingest::forget_kept() {
  kept_.clear();
  kept_of_instance_.clear();
  std::ranges::fill(found_, nullptr);
}

void Ingest::points(Stage& stage, const std::vector<MetricPoint>& points,
                    const AcceptWindow& window, Rejections& rejections) {
  survey(points);
  stage.expect(points.size() * 2); // points and derived samples
  std::vector<std::size_t> order;  // empty: in the order given
  if (!std::ranges::is_sorted(points, {}, &MetricPoint::time_ns)) {
    order.resize(points.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::ranges::stable_sort(order, {}, [&](std::size_t i) { return points[i].time_ns; });
  }
  std::unordered_map<const MetricSeries*, Known> here;
  for (std::size_t n = 0; n < points.size(); ++n) {
    const std::size_t place = order.empty() ? n : order[n];
    const auto& p = points[place];
    if (!p.series) {
      rejections.point("a point belongs to no metric");
      continue;
    }
    const std::int64_t time_ms = to_ms(p.time_ns);
    if (time_ms < window.from_ms || time_ms > window.to_ms) {
      const bool late = time_ms < window.from_ms;
      rejections.point(
          fmt::format("a point of {} is dated {}, {} the accepted window of {} to {}: {}",
                      p.series->metric->otel_name, rfc3339(time_ms), late ? "before" : "after",
                      rfc3339(window.from_ms), rfc3339(window.to_ms),
                      late ? "it came too late" : "check the sender's clock"));
      continue;
    }
    Known& known = found_[place] != nullptr ? *found_[place] : known_of(stage, p.series, here);
    if (known.info == nullptr) {
      rejections.point(known.refusal);
      continue;
    }
    Known* const own =
        known.may_be_shared
            ? process_of(stage, p,
                         {.start_ms = counts_in_full(p) ? start_of(p) : 0, .time_ms = time_ms},
                         known, rejections)
            : &known;
    if (own != nullptr) point(stage, p, *own, rejections);
  }
}

Ingest::Known& Ingest::known_of(Stage& stage, const std::shared_ptr<const MetricSeries>& series,
                                std::unordered_map<const MetricSeries*, Known>& here) {
  if (series->recurring) {
    if (const auto it = kept_.find(series.get()); it != kept_.end()) return it->second.known;
  }
  if (const auto it = here.find(series.get()); it != here.end()) return it->second;
  Known known = know(stage, series);
  if (!series->recurring || known.info == nullptr)
    return here.emplace(series.get(), std::move(known)).first->second;
  if (kept_.size() >= kMaxKept) forget_kept();
  kept_of_instance_[instance_key(series->labels)].push_back(series.get());
  return kept_.emplace(series.get(), Kept{series, std::move(known)}).first->second.known;
}

Ingest::Known Ingest::know(Stage& stage, const std::shared_ptr<const MetricSeries>& shared,
                           std::int64_t process_start_ms) {
  const MetricSeries& series = *shared;
  Known out;
  const auto stored = series_of_stream(stage, shared, process_start_ms);
  if (!stored) {
    out.refusal = stored.error().message;
    return out;
  }
  out.info = *stored;
  if (out.info->filler && is_own_errors(series.kind, series.labels)) {
    out.info->filler = false;
    out.info->stored = false;
    stage.write_row(out.info);
  }
  if (is_histogram(series.kind) && is_stable_duration(series.metric->otel_name))
    out.role = Role::duration;
  if (is_histogram(series.kind) && series.metric->otel_name == kOldDuration &&
      !stable_instances_.contains(instance_key(series.labels))) {
    out.role = Role::old_duration;
  }
  if (is_own_requests(series.kind, series.labels)) out.role = Role::sent_requests;
  if (out.role != Role::plain) out.own = &own_.of(series.labels);
  out.own_form = out.role == Role::duration && series.labels.metric_name() == kDurationName;
  out.derives = series.resource && (out.role == Role::duration || out.role == Role::old_duration);
  if (series.temporality == Temporality::delta) out.memory = remember(stage, *out.info);
  out.may_be_shared = process_start_ms == 0 && series.kind != MetricKind::gauge &&
                      series.temporality == Temporality::cumulative && series.resource &&
                      !names_process(series.resource->attributes);
  if (out.may_be_shared) {
    const auto last = stage.stored().last_value(out.info->id);
    out.process_start_ms = last ? coalmine::store::start_of(*last) : 0;
  }
  // The application may count its requests itself. Nothing is derived until it turns out that it
  // does not, because that costs several more series each.
  if (out.derives && !out.own_form) begin_deriving(stage, series, out);
  if (out.role == Role::sent_requests) know_errors(stage, series, out);
  return out;
}

void Ingest::know_errors(Stage& stage, const MetricSeries& series, Known& known) {
  const auto errors = known.own->version->errors;
  const auto status = http_status_of(series.labels);
  const auto& rule = rule_of(series);
  // An error counter of its own counts what it counts; what the rule names counts beside it.
  const bool adds = errors == OwnErrors::by_counter && rule.says(status) == true;
  known.filler = filler_for(stage, *known.info, errors, adds);
  known.guesses = errors == OwnErrors::none;
  known.fails = adds || (errors == OwnErrors::by_status && is_failed(status, "", rule));
  if (!known.fails || known.filler == nullptr) return;
  // Both are written together. Where they differ, the rule was another one.
  const auto requests = stage.stored().last_value(known.info->id);
  const auto counted = stage.stored().last_value(known.filler->id);
  if (!requests || !counted) return;
  known.uncounted = std::max(0.0, float_value(*requests) - float_value(*counted));
  known.uncounted_start_ms = coalmine::store::start_of(*requests);
}

bool Ingest::begin_deriving(Stage& stage, const MetricSeries& series, Known& known) {
  if (known.memory == nullptr) {
    const bool late = known.own_form && memories_.contains(known.info->id);
    known.memory = remember(stage, *known.info);
    known.memory->behind = late;
  }
  Memory& memory = *known.memory;
  if (memory.group != nullptr) return true;
  memory.group =
      deriver_.group(stage, *series.resource, route_of(series.attributes, series.scope.get()),
                     method_of(series.attributes), known.own);
  memory.outcome = outcome_of_point(series.attributes, rule_of(series));
  if (memory.group == nullptr) return false;
  if (known.role == Role::duration && switching_.contains(instance_key(series.labels))) {
    known.baseline = !memory.last && memory.group->last_ms != 0;
  }
  return true;
}

Ingest::Memory* Ingest::remember(Stage& stage, const SeriesInfo& info) {
  const auto [it, added] = memories_.try_emplace(info.id);
  Memory& memory = it->second;
  if (added) recall(stage, info.id, memory);
  return &memory;
}

void Ingest::recall(Stage& stage, SeriesId id, Memory& memory) {
  memory.last = stage.stored().last_value(id);
  // The end of that millisecond: stored times are cut to milliseconds, and a repeated point must
  // not look new.
  if (memory.last)
    memory.last_ns = static_cast<std::uint64_t>(time_of(*memory.last)) * kNsPerMs + kNsPerMs - 1;
}

const DescriptionRef& Ingest::filler_description(const std::string& unit) {
  if (filler_description_->help.empty() || filler_description_->unit != unit) {
    filler_description_ = std::make_shared<const MetricDescription>(
        MetricDescription{"", unit, "Requests that failed, as far as the service tells."});
  }
  return filler_description_;
}

// Zero is what an error counter of the version's own would say here before its first error. With a
// status label, the requests that failed are those of the series that say so. Where only another
// version of the service has an error counter, zero is the best guess: mostly this one has it too
// and has not failed yet.
SeriesInfo* Ingest::filler_for(Stage& stage, const SeriesInfo& requests, OwnErrors errors,
                               bool adds) {
  const bool guess = errors == OwnErrors::none;
  if (guess && !own_.service_counts_errors(*requests.labels)) return nullptr;
  const auto key = error_key(*requests.labels);
  if (!adds && (own_errors_.contains(key) || batch_own_errors_.contains(key))) return nullptr;
  SeriesInfo what;
  what.labels = std::make_shared<const Labels>(requests.labels->with(kMetricName, kErrorsName));
  what.kind = MetricKind::counter;
  what.metric = filler_description(requests.metric->unit);
  what.filler = true;
  what.guessed = guess;
  const auto info = guess ? stage.series(what, what.labels->hash()) : stage.filler(what);
  return info && (*info)->filler ? *info : nullptr;
}

void Ingest::point(Stage& stage, const MetricPoint& point, Known& known, Rejections& rejections) {
  auto sample = to_sample(point, known.checked_bounds);
  if (!sample) {
    rejections.point(std::move(sample).error().message);
    return;
  }
  if (point.no_recorded_value) {
    stage.put(known.info->id, std::move(*sample));
    return;
  }
  const bool is_delta = point.series->temporality == Temporality::delta;
  if (!is_delta && clashes(stage, point, *known.info, *sample))
    rejections.point(clash_text(point, *known.info));
  if (known.role == Role::sent_requests) {
    known.own->newest_ms = std::max(known.own->newest_ms, time_of(*sample));
    own_.touch(*known.own);
  }
  if (!is_delta) {
    cumulative(stage, point, known, std::move(*sample));
  } else if (!delta(stage, point, known, std::move(*sample))) {
    rejections.point(clash_text(point, *known.info));
  }
}

// The filler gets the time and start of its request count.
void Ingest::put_filler(Stage& stage, Known& known, const Sample& requests) {
  const auto* number = std::get_if<FloatSample>(&requests);
  if (known.filler == nullptr || number == nullptr) return;
  if (known.guesses && !known.filler->guessed) return; // somebody counts by now
  if (number->start_ms > known.uncounted_start_ms || number->value < known.uncounted)
    known.uncounted = 0; // the count began again
  stage.put(known.filler->id, FloatSample{number->time_ms, number->start_ms,
                                          known.fails ? number->value - known.uncounted : 0});
}

void Ingest::cumulative(Stage& stage, const MetricPoint& point, Known& known, Sample sample) {
  if (known.derives && needs_no_derived(known, time_of(sample))) {
    if (known.memory != nullptr) {
      known.memory->last.reset();
      known.memory->behind = true;
    }
  } else if (known.derives && begin_deriving(stage, *point.series, known)) {
    if (std::exchange(known.memory->behind, false)) recall(stage, known.info->id, *known.memory);
    derive_growth(point, known, sample);
  }
  put_filler(stage, known, sample);
  stage.put(known.info->id, std::move(sample));
}

// The application counts requests and errors itself and measures durations under our own name, so
// derived series would never be chosen.
bool Ingest::needs_no_derived(const Known& known, std::int64_t time_ms) const {
  return known.own_form && known.own->version->errors != OwnErrors::none &&
         known.own->newest_ms > time_ms - kOwnRequestsMs;
}

void Ingest::derive_growth(const MetricPoint& point, Known& known, const Sample& sample) {
  Memory* memory = known.memory;
  own_.touch(*known.own);
  if (!memory->last || point.time_ns > memory->last_ns) {
    std::optional<Sample> grown;
    const std::int64_t start_ms = coalmine::store::start_of(sample);
    const std::int64_t known_start = memory->last ? coalmine::store::start_of(*memory->last) : 0;
    const bool restarted = memory->last && known_start != 0 && start_ms > known_start;
    if (memory->last && !restarted) {
      if (deriver_.add_growth(*memory->group, *memory->last, sample,
                              ms_factor(*point.series, sample), memory->outcome)) {
        deriver_.see(*memory->group, time_of(sample), start_ms == 0 ? time_of(sample) : start_ms);
        known.baseline = false;
        memory->last = sample;
        memory->last_ns = point.time_ns;
        return;
      }
      grown = difference(*memory->last, sample);
    }
    if (!grown) {
      // This is a first value, or the count began again. It counts in full only if the count fell
      // or its start lies before the point.
      const bool fell = memory->last && !restarted;
      const bool counts = !known.baseline && (fell || counts_in_full(point));
      grown = counts ? sample : zero_like(sample);
    }
    // A count of unknown start is taken to begin at its first point.
    const std::int64_t from_ms =
        !memory->last && (known.baseline || !counts_in_full(point)) ? time_of(sample) : start_ms;
    derive(*point.series, known, *grown, from_ms);
    known.baseline = false;
    memory->last = sample;
    memory->last_ns = point.time_ns;
  }
}

bool Ingest::delta(Stage& stage, const MetricPoint& point, Known& known, Sample sample) {
  Memory& memory = *known.memory;
  const std::int64_t time_ms = time_of(sample);
  // A delta counts in full whatever its start. A start before the point makes readers count it so.
  const std::int64_t sent_start = coalmine::store::start_of(sample);
  const std::int64_t start_ms = sent_start == 0 ? time_ms - 1 : std::min(sent_start, time_ms - 1);
  set_times(sample, time_ms, start_ms);
  if (memory.last && point.time_ns <= memory.last_ns) {
    const auto late = stage.put_late(known.info->id, sample);
    if (late != Late::added) return late == Late::repeated;
    if (known.fails && known.filler != nullptr) (void)stage.put_late(known.filler->id, sample);
    const std::int64_t last_ms = time_of(*memory.last);
    const std::int64_t first_ms = std::min(start_ms, coalmine::store::start_of(*memory.last));
    memory.last = joined(*memory.last, sample);
    set_times(*memory.last, last_ms, first_ms);
  } else {
    if (memory.last && other_bounds(*memory.last, sample)) {
      // The count starts again. Its zero is written too: to readers that do not know start times, a
      // new count above the old one would be growth of the old one.
      Sample zero = zero_like(sample);
      const std::int64_t zero_ms = std::max(time_of(*memory.last) + 1, start_ms);
      set_times(zero, zero_ms, start_ms);
      if (zero_ms < time_ms) stage.put(known.info->id, std::move(zero));
    }
    memory.last = memory.last ? add(*memory.last, sample) : sample;
    memory.last_ns = point.time_ns;
    stage.put(known.info->id, *memory.last);
    put_filler(stage, known, *memory.last);
  }
  if (!known.derives || needs_no_derived(known, time_ms)) return true;
  if (!begin_deriving(stage, *point.series, known)) return true;
  own_.touch(*known.own);
  derive(*point.series, known, sample, start_ms);
  return true;
}

void Ingest::derive(const MetricSeries& series, Known& known, const Sample& increase,
                    std::int64_t start_ms) {
  Memory& memory = *known.memory;
  deriver_.see(*memory.group, time_of(increase), start_ms == 0 ? time_of(increase) : start_ms);
  deriver_.add(*memory.group, increase, ms_factor(series, increase), memory.outcome);
}

double Ingest::ms_factor(const MetricSeries& series, const Sample& sample) {
  const auto* classic = std::get_if<ClassicSample>(&sample);
  return to_ms_factor(series.metric->unit, series.metric->otel_name == kOldDuration,
                      classic == nullptr ? nullptr : classic->value.bounds);
}

void Ingest::spans(Stage& stage, const FreshSpans& fresh, std::int64_t received_ms) {
  const SpanTable& spans = fresh.spans();
  SpanFacts facts_of(spans);
  // By resource, route, method.
  std::map<std::tuple<std::uint32_t, SpanFacts::Route, std::uint32_t>, DerivedGroup*> groups;
  auto untimed = fresh.untimed().begin();
  for (std::size_t i = 0; i < spans.rows.size(); ++i) {
    const auto& row = spans.rows[i];
    const bool timed = untimed == fresh.untimed().end() || *untimed != i;
    if (!timed) ++untimed;
    if (row.kind != SpanKind::server) continue; // a consumer's messages are no requests
    const auto facts = facts_of.of(row);
    const auto [it, added] =
        groups.try_emplace(std::tuple(row.resource, facts.route, facts.method), nullptr);
    if (added) {
      it->second = deriver_.group(stage, *spans.resources[row.resource], facts_of.text(facts.route),
                                  facts_of.text(facts.method), nullptr);
    }
    if (it->second == nullptr) continue;
    deriver_.see(*it->second, received_ms, std::min(to_ms(row.start_ns), received_ms - 1));
    std::optional<double> ms;
    if (timed) ms = static_cast<double>(row.end_ns - row.start_ns) / 1e6;
    const auto& rule = failures_.of(spans.resources[row.resource]->service);
    const bool failed = is_failed(row.kind, row.status, facts.http_status, rule);
    deriver_.add_span(*it->second, {.ms = ms,
                                    .outcome = {failed, answer_of(facts.http_status, failed)},
                                    .weight = facts.weight,
                                    .tail_sampled = facts.tail_sampled});
  }
}

} // namespace coalmine::store
