// The metric half of BatchBuilder: data points, their checks and the identity of their series.
//
// The labels are the Prometheus form of resource, name and attributes. The instrumentation scope is
// a part of the stream's identity beside them: the store decides whether the series needs it as
// labels.
// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <xxhash.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "receive/batch_builder.h"

namespace coalmine::receive {
namespace {

constexpr std::size_t kMaxQuantiles = 64; // of one summary point
constexpr const char* kTooMany = "has bucket counts that add up to more than 64 bits hold";
// Outside these scales, the base of the buckets is no finite double above 1.
constexpr std::int32_t kMinScale = -10;
constexpr std::int32_t kMaxScale = 20;

// The labels by which the store keeps streams apart that would otherwise have equal labels.
bool tells_streams_apart(std::string_view name) {
  return name.starts_with("otel_scope_") || name == "otel_metric_name" ||
         name == "otel_metric_type";
}

std::uint64_t hash(std::string_view name, const Attributes& attributes) {
  std::uint64_t h = XXH3_64bits(name.data(), name.size());
  for (const auto& [key, value] : attributes) {
    h = XXH3_64bits_withSeed(key.data(), key.size(), h);
    if (const auto* text = std::get_if<std::string>(&value)) {
      h = XXH3_64bits_withSeed(text->data(), text->size(), h);
    } else if (const auto* number = std::get_if<std::int64_t>(&value)) {
      h = XXH3_64bits_withSeed(number, sizeof(*number), h);
    } else {
      const auto other = to_text(value);
      h = XXH3_64bits_withSeed(other.data(), other.size(), h);
    }
  }
  return h;
}

// The labels of one point. Attributes that map to the same label are joined with ';' in the order
// of their keys, as the specification says.
std::vector<Labels::Pair> point_labels(const Attributes& attributes, bool is_histogram) {
  std::vector<const Attribute*> sorted;
  for (const auto& attribute : attributes) sorted.push_back(&attribute);
  std::ranges::stable_sort(sorted, {},
                           [](const Attribute* a) { return std::string_view(a->first); });
  std::vector<Labels::Pair> out;
  const std::string* previous_key = nullptr;
  for (const auto* attribute : sorted) {
    if (previous_key != nullptr && *previous_key == attribute->first)
      continue; // keys are unique in OTLP: the first one counts
    previous_key = &attribute->first;
    auto name = label_name(attribute->first);
    auto value = to_text(attribute->second);
    if (name.empty() || value.empty()) continue;
    if (name.starts_with("__")) name.insert(0, "key_");     // __name__ and the like are reserved
    if (is_histogram && name == "le") name = "exported_le"; // le belongs to the buckets
    const auto same = std::ranges::find(out, name, &Labels::Pair::first);
    if (same != out.end()) {
      same->second += ";" + value;
    } else {
      out.emplace_back(std::move(name), std::move(value));
    }
  }
  return out;
}

// Adds the counts up. False when the total does not fit.
bool add_all(const std::vector<std::uint64_t>& counts, std::uint64_t& total) {
  return std::ranges::none_of(
      counts, [&](std::uint64_t n) { return __builtin_add_overflow(total, n, &total); });
}

// The bound +Inf of the last bucket goes without saying in OTLP, but some senders write it, some of
// them with a count for what is above it.
void drop_infinite_bound(RawHistogram& raw) {
  if (raw.bounds.empty() || raw.bounds.back() != std::numeric_limits<double>::infinity()) return;
  raw.bounds.pop_back();
  if (raw.counts.size() != raw.bounds.size() + 2) return;
  const auto above = raw.counts.back();
  if (above > std::numeric_limits<std::uint64_t>::max() - raw.counts[raw.counts.size() - 2]) return;
  raw.counts.pop_back();
  raw.counts.back() += above;
}

// "" when the point is well-formed. bounds_checked: the bounds and the number of counts are known
// to be right.
std::string find_fault(const RawHistogram& raw, bool bounds_checked) {
  std::uint64_t total = 0;
  if (bounds_checked) return add_all(raw.counts, total) ? "" : kTooMany;
  if (raw.counts.size() > kMaxBuckets || raw.bounds.size() > kMaxBuckets) {
    return fmt::format("has {} buckets, more than {}",
                       std::max(raw.counts.size(), raw.bounds.size()), kMaxBuckets);
  }
  if (!raw.counts.empty() && raw.counts.size() != raw.bounds.size() + 1) {
    return fmt::format("has {} bucket counts for {} bounds; it needs one more count than bounds",
                       raw.counts.size(), raw.bounds.size());
  }
  for (std::size_t i = 0; i < raw.bounds.size(); ++i) {
    if (!std::isfinite(raw.bounds[i]))
      return fmt::format("has the bound {}; bounds must be finite", raw.bounds[i]);
    if (i > 0 && raw.bounds[i] <= raw.bounds[i - 1]) {
      return fmt::format("has bounds that do not ascend ({} after {})", raw.bounds[i],
                         raw.bounds[i - 1]);
    }
  }
  return add_all(raw.counts, total) ? "" : kTooMany;
}

std::string find_fault(const ExponentialHistogram& value) {
  if (value.scale < kMinScale || value.scale > kMaxScale) {
    return fmt::format("has scale {}, outside {} to {}", value.scale, kMinScale, kMaxScale);
  }
  if (!(value.zero_threshold >= 0))
    return fmt::format("has the zero threshold {}", value.zero_threshold);
  for (const auto* side : {&value.positive, &value.negative}) {
    if (side->counts.size() > kMaxBuckets)
      return fmt::format("has {} buckets, more than {}", side->counts.size(), kMaxBuckets);
    const std::int64_t last =
        static_cast<std::int64_t>(side->offset) + static_cast<std::int64_t>(side->counts.size());
    if (last > std::numeric_limits<std::int32_t>::max())
      return fmt::format("has the bucket offset {}", side->offset);
  }
  std::uint64_t total = value.zero_count;
  const bool fits = add_all(value.positive.counts, total) && add_all(value.negative.counts, total);
  return fits ? "" : "has bucket counts that add up to more than 64 bits hold";
}

MetricKind kind_of(Instrument instrument) {
  switch (instrument) {
    case Instrument::counter: return MetricKind::counter;
    case Instrument::up_down_counter:
    case Instrument::gauge:
    case Instrument::summary: return MetricKind::gauge;
    case Instrument::histogram: return MetricKind::histogram;
    case Instrument::exponential: return MetricKind::exponential;
  }
  return MetricKind::gauge;
}

} // namespace

void unpack_bounds(RawHistogram& raw) {
  static_assert(std::endian::native == std::endian::little, "OTLP's doubles are little-endian");
  const std::size_t before = raw.bounds.size();
  raw.bounds.resize(before + raw.packed_bounds.size() / sizeof(double));
  if (!raw.packed_bounds.empty())
    std::memcpy(raw.bounds.data() + before, raw.packed_bounds.data(), raw.packed_bounds.size());
  raw.packed_bounds = {};
}

void BatchBuilder::begin_metric(MetricHead head) {
  auto made = std::make_shared<KnownMetric>();
  made->name = metric_name(head.name, head.unit, head.instrument);
  made->description =
      std::make_shared<const MetricDescription>(MetricDescription{head.name, head.unit, head.help});
  made->head = std::move(head);
  metric_ = std::move(made);
  metric_key_.reset();
}

void BatchBuilder::begin_metric(const MetricBytes& bytes) {
  std::optional<ByteKey> key;
  if (known_ && bytes.instrument != Instrument::summary) {
    const std::array<char, 2> shape = {
        static_cast<char>(bytes.instrument),
        static_cast<char>(bytes.temporality ? static_cast<int>(*bytes.temporality) : -1)};
    key = cache_->seed() + scope_bytes_ + bytes.name + bytes.unit + bytes.help +
          std::string_view(shape.data(), shape.size());
    if (const auto it = known_->metrics.find(*key); it != known_->metrics.end()) {
      metric_ = it->second;
      metric_key_ = key;
      return;
    }
  }
  const std::size_t before = losses();
  begin_metric(MetricHead{text(bytes.name), text(bytes.unit), text(bytes.help), bytes.instrument,
                          bytes.temporality});
  if (!key || losses() != before) return;
  known_->metrics.emplace(*key, metric_);
  cache_->count(*known_);
  metric_key_ = key;
}

bool BatchBuilder::find_series(PointHead& point, std::string_view attribute_bytes) {
  if (!metric_key_) return false;
  point.key = *metric_key_ + attribute_bytes;
  point.losses = losses();
  const auto* found = known_->series.find(*point.key);
  if (found == nullptr) return false;
  point.series = *found;
  return true;
}

// The checks that all kinds share. Repairs the point where it can. False: rejected.
bool BatchBuilder::check(PointHead& point) {
  ++out_.items;
  const auto named = [&] {
    return fmt::format("metric \"{}\"", metric_->head.name.substr(0, 100));
  };
  if (metric_->name.empty()) {
    reject("bad_name", fmt::format("the {} has no letter or digit in its name", named()));
    return false;
  }
  const bool needs_temporality = metric_->head.instrument != Instrument::gauge &&
                                 metric_->head.instrument != Instrument::summary;
  if (needs_temporality && !metric_->head.temporality) {
    reject("no_temporality",
           fmt::format(
               "the aggregation temporality of {} is unspecified; send 1 (delta) or 2 (cumulative)",
               named()));
    return false;
  }
  // A sum of changes that may be negative has no total to show without knowing all changes since
  // the process began.
  if (metric_->head.instrument == Instrument::up_down_counter &&
      metric_->head.temporality == Temporality::delta) {
    reject("delta_up_down",
           fmt::format("{} is a delta sum that is not monotonic; send it cumulative", named()));
    return false;
  }
  if (point.time_ns == 0) {
    reject("no_time", fmt::format("a point of {} has no time", named()));
    return false;
  }
  if (!check_time("metric", metric_->head.name, point.time_ns)) return false;
  // JavaScript cuts start times and end times differently: a start after the end says nothing.
  if (point.start_ns > point.time_ns) point.start_ns = 0;
  return true;
}

bool BatchBuilder::same_series(const SeriesEntry& entry, const Attributes& attributes,
                               const SeriesKind& kind) const {
  const auto& s = *entry.series;
  return entry.instrument == metric_->head.instrument && entry.suffix == kind.suffix &&
         s.metric->otel_name == metric_->head.name && s.metric->unit == metric_->head.unit &&
         s.kind == kind.kind && s.temporality == kind.temporality && *s.scope == *scope_ &&
         s.attributes == attributes;
}

Labels BatchBuilder::labels(const Attributes& attributes, const SeriesKind& kind) {
  const auto& from_resource = resource()->labels;
  auto own = point_labels(
      attributes, kind.kind == MetricKind::histogram || kind.kind == MetricKind::exponential);
  std::vector<Labels::Pair> pairs;
  pairs.reserve(from_resource.size() + own.size() + 3);
  for (const auto [name, value] : from_resource) pairs.emplace_back(name, value);
  // The resource's labels say which process sent the point. A point's attribute of the same name is
  // kept beside them, as Prometheus keeps a scraped label that a target has too.
  const auto taken = [&](std::string_view name) {
    return from_resource.has(name) || tells_streams_apart(name) ||
           (kind.extra_label && kind.extra_label->first == name);
  };
  for (auto& [name, value] : own) {
    if (from_resource.get(name) == value) continue; // says the same
    auto free_name = name;
    while (
        taken(free_name) ||
        (free_name != name && std::ranges::find(own, free_name, &Labels::Pair::first) != own.end()))
      free_name.insert(0, "exported_");
    pairs.emplace_back(std::move(free_name), value);
  }
  if (kind.extra_label) pairs.push_back(*kind.extra_label);
  pairs.emplace_back(kMetricName, metric_->name + std::string(kind.suffix));
  return Labels(std::move(pairs));
}

std::shared_ptr<const MetricSeries> BatchBuilder::series_of(PointHead& point, MetricKind kind) {
  if (point.series) return std::move(point.series);
  const bool recurring = point.key && losses() == point.losses;
  auto out =
      series(std::move(point.attributes),
             {kind, metric_->head.temporality.value_or(Temporality::cumulative), "", std::nullopt},
             recurring);
  if (recurring && known_->series.add(*point.key, out)) cache_->count(*known_);
  return out;
}

std::shared_ptr<const MetricSeries> BatchBuilder::series(Attributes attributes,
                                                         const SeriesKind& kind, bool recurring) {
  if (kind.extra_label) attributes.emplace_back(kind.extra_label->first, kind.extra_label->second);
  const std::uint64_t key = hash(metric_->head.name, attributes);
  const auto [begin, end] = series_.equal_range(key);
  for (auto it = begin; it != end; ++it) {
    if (same_series(it->second, attributes, kind)) return it->second.series;
  }
  if (kind.extra_label) attributes.pop_back();
  auto made = std::make_shared<MetricSeries>();
  made->resource = resource();
  made->metric = metric_->description;
  made->kind = kind.kind;
  made->temporality = kind.temporality;
  made->recurring = recurring;
  made->labels = labels(attributes, kind);
  made->scope = scope_;
  if (kind.extra_label) attributes.emplace_back(kind.extra_label->first, kind.extra_label->second);
  attributes.shrink_to_fit(); // of as many as there are series
  made->attributes = std::move(attributes);
  charge(sizeof(MetricSeries) + sizeof(SeriesEntry));
  charge(made->attributes);
  charge(made->labels.memory());
  series_.emplace(key, SeriesEntry{made, metric_->head.instrument, std::string(kind.suffix)});
  return made;
}

BucketBounds BatchBuilder::known_bounds(std::string_view packed) {
  if (cache_ == nullptr || packed.empty()) return nullptr;
  if (packed == last_packed_bounds_) return last_bounds_;
  auto found = cache_->bounds(packed);
  if (found) {
    last_packed_bounds_ = packed;
    last_bounds_ = found;
  }
  return found;
}

BucketBounds BatchBuilder::shared_bounds(std::vector<double> bounds) {
  if (bounds.empty()) return no_bounds_;
  // A process uses a handful of bounds, so only the last few are searched.
  constexpr std::size_t kKept = 8;
  for (const auto& known : bounds_) {
    if (*known == bounds) return known;
  }
  charge(bounds.size() * sizeof(double));
  auto made = std::make_shared<const std::vector<double>>(std::move(bounds));
  if (bounds_.size() == kKept) bounds_.erase(bounds_.begin());
  bounds_.push_back(made);
  return made;
}

void BatchBuilder::push_point(std::shared_ptr<const MetricSeries> owner, const PointHead& point,
                              std::variant<double, ClassicHistogram, ExponentialHistogram> value) {
  charge(sizeof(MetricPoint));
  out_.batch.points.push_back(
      {std::move(owner), point.start_ns, point.time_ns, point.no_recorded_value, std::move(value)});
}

void BatchBuilder::add_number(PointHead point, std::optional<double> value) {
  if (!check(point)) return;
  if (point.no_recorded_value) value = 0;
  if (!value)
    return reject("no_value", fmt::format("a point of metric \"{}\" has no value",
                                          metric_->head.name.substr(0, 100)));
  // One NaN only: some bit patterns mean "stale" further on.
  if (std::isnan(*value)) value = std::numeric_limits<double>::quiet_NaN();
  if (metric_->head.instrument == Instrument::counter && !(*value >= 0 && std::isfinite(*value))) {
    return reject("bad_value", fmt::format("metric \"{}\" is a monotonic sum with the value {}",
                                           metric_->head.name.substr(0, 100), *value));
  }
  auto owner = series_of(point, kind_of(metric_->head.instrument));
  push_point(std::move(owner), point, *value);
}

void BatchBuilder::add_histogram(PointHead point, RawHistogram raw) {
  if (!check(point)) return;
  if (point.no_recorded_value) raw = {};
  BucketBounds bounds = raw.counts.empty() ? nullptr : known_bounds(raw.packed_bounds);
  const std::string_view packed = raw.packed_bounds;
  const bool checked = bounds && raw.counts.size() == bounds->size() + 1;
  if (!checked) {
    unpack_bounds(raw);
    drop_infinite_bound(raw);
  }
  if (auto fault = find_fault(raw, checked); !fault.empty()) {
    return reject("bad_histogram", fmt::format("a point of histogram \"{}\" {}",
                                               metric_->head.name.substr(0, 100), fault));
  }
  ClassicHistogram value;
  value.count = raw.count;
  // Without a sum (negative measurements) the sum is unknown, not zero.
  value.sum =
      raw.sum.value_or(point.no_recorded_value ? 0 : std::numeric_limits<double>::quiet_NaN());
  if (raw.counts.empty()) {
    value.bounds = no_bounds_;
    value.counts = {raw.count};
  } else {
    if (!checked) {
      bounds = shared_bounds(std::move(raw.bounds));
      if (cache_ != nullptr && !packed.empty())
        bounds = cache_->add_bounds(packed, std::move(bounds));
    }
    value.bounds = std::move(bounds);
    value.counts = std::move(raw.counts);
    // The buckets are the truth: some senders read count and buckets at different moments.
    value.count = 0;
    add_all(value.counts, value.count);
  }
  charge(value.counts.size() * sizeof(std::uint64_t));
  auto owner = series_of(point, MetricKind::histogram);
  push_point(std::move(owner), point, std::move(value));
}

void BatchBuilder::add_exponential(PointHead point, ExponentialHistogram value) {
  if (!check(point)) return;
  if (point.no_recorded_value) value = {};
  if (auto fault = find_fault(value); !fault.empty()) {
    return reject("bad_histogram", fmt::format("a point of exponential histogram \"{}\" {}",
                                               metric_->head.name.substr(0, 100), fault));
  }
  value.count = value.zero_count;
  add_all(value.positive.counts, value.count);
  add_all(value.negative.counts, value.count);
  charge((value.positive.counts.size() + value.negative.counts.size()) * sizeof(std::uint64_t));
  auto owner = series_of(point, MetricKind::exponential);
  push_point(std::move(owner), point, std::move(value));
}

// As Prometheus keeps summaries: a gauge per quantile (label quantile), and the counters NAME_sum
// and NAME_count.
void BatchBuilder::add_summary(PointHead point, const RawSummary& raw) {
  if (!check(point)) return;
  const auto name = metric_->head.name.substr(0, 100);
  if (raw.quantiles.size() > kMaxQuantiles) {
    return reject("bad_summary",
                  fmt::format("a point of summary \"{}\" has {} quantiles, more than {}", name,
                              raw.quantiles.size(), kMaxQuantiles));
  }
  if (!point.no_recorded_value && !std::isfinite(raw.sum)) {
    return reject("bad_summary",
                  fmt::format("a point of summary \"{}\" has the sum {}", name, raw.sum));
  }
  push_point(series(point.attributes,
                    {MetricKind::counter, Temporality::cumulative, "_count", std::nullopt}),
             point, static_cast<double>(raw.count));
  push_point(series(point.attributes,
                    {MetricKind::counter, Temporality::cumulative, "_sum", std::nullopt}),
             point, raw.sum);
  for (const auto& [quantile, value] : raw.quantiles) {
    const SeriesKind kind{MetricKind::gauge, Temporality::cumulative, "",
                          std::pair(std::string("quantile"), fmt::format("{}", quantile))};
    push_point(series(point.attributes, kind), point,
               std::isnan(value) ? std::numeric_limits<double>::quiet_NaN() : value);
  }
}

} // namespace coalmine::receive
