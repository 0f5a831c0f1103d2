// SPDX-License-Identifier: Apache-2.0
#include "store/ingest/stage.h"

#include <algorithm>
#include <cmath>
#include <type_traits>
#include <utility>

#include "store/series/histogram_math.h"

namespace coalmine::store {
namespace {

// How far before a late increase its preceding sample is searched.
constexpr std::int64_t kLookBackMs = 2 * 3600 * 1000;

SampleRun overlaid(SampleRun run, SeriesId id, std::int64_t from_ms,
                   const std::vector<StagedSample>& staged) {
  for (const auto& [series, sample] : staged) {
    if (series == id && time_of(sample) >= from_ms) (void)run.upsert(sample);
  }
  return run;
}

struct Adder {
  Sample operator()(FloatSample a, const FloatSample& b) const {
    a.value += b.value;
    return a;
  }
  Sample operator()(ClassicSample a, const ClassicSample& b) const {
    if (!same_bounds(a.value.bounds, b.value.bounds)) return b;
    coalmine::add(a.value, b.value);
    return a;
  }
  Sample operator()(ExponentialSample a, const ExponentialSample& b) const {
    merge(a.value, b.value);
    return a;
  }
  template <typename A, typename B>
  Sample operator()(const A&, const B& b) const {
    return b;
  }
};

double amount_of(const Sample& sample) {
  if (const auto* number = std::get_if<FloatSample>(&sample)) return number->value;
  if (const auto* classic = std::get_if<ClassicSample>(&sample))
    return static_cast<double>(classic->value.count);
  return static_cast<double>(std::get<ExponentialSample>(sample).value.count);
}

// A sample was stored at the time of a late increase. It counted this increase, unless its own
// increase is another amount.
Late repeated_or_clashing(const std::optional<Sample>& before, const Sample& stored,
                          const Sample& delta) {
  const bool begins = start_of(stored) > time_of(stored) - kLookBackMs;
  if (!before && !begins) return Late::repeated; // the sample before is too old to be compared
  const double total = amount_of(stored);
  const double grown = before && amount_of(*before) <= total ? total - amount_of(*before) : total;
  const bool same = std::abs(grown - amount_of(delta)) <= 1e-9 * std::max(1.0, total);
  return same ? Late::repeated : Late::clashing;
}

struct Subtractor {
  std::optional<Sample> operator()(const FloatSample& before, FloatSample now) const {
    if (!(now.value >= before.value)) return std::nullopt;
    now.value -= before.value;
    return now;
  }
  std::optional<Sample> operator()(const ClassicSample& before, ClassicSample now) const {
    auto grown = increase(before.value, now.value);
    if (!grown) return std::nullopt;
    now.value = std::move(*grown);
    return now;
  }
  std::optional<Sample> operator()(const ExponentialSample& before, ExponentialSample now) const {
    auto grown = increase(before.value, now.value);
    if (!grown) return std::nullopt;
    now.value = std::move(*grown);
    return now;
  }
  template <typename A, typename B>
  std::optional<Sample> operator()(const A&, const B&) const {
    return std::nullopt;
  }
};

} // namespace

Sample add(const Sample& total, const Sample& delta) {
  Sample out = std::visit(Adder{}, total, delta);
  const bool again = total.index() != delta.index() || other_bounds(total, delta);
  set_times(out, time_of(delta), again ? start_of(delta) : start_of(total));
  return out;
}

bool other_bounds(const Sample& a, const Sample& b) {
  const auto* of_a = std::get_if<ClassicSample>(&a);
  const auto* of_b = std::get_if<ClassicSample>(&b);
  return of_a != nullptr && of_b != nullptr && !same_bounds(of_a->value.bounds, of_b->value.bounds);
}

Sample joined(const Sample& a, const Sample& b) {
  const auto* classic = std::get_if<ClassicSample>(&a);
  const auto* more = std::get_if<ClassicSample>(&b);
  if (classic == nullptr || more == nullptr) return add(a, b);
  ClassicSample out = *classic;
  coalmine::add(out.value, more->value);
  return out;
}

std::optional<Sample> difference(const Sample& before, const Sample& now) {
  return std::visit(Subtractor{}, before, now);
}

Sample zero_like(const Sample& sample) {
  Sample out = sample;
  if (auto* number = std::get_if<FloatSample>(&out)) number->value = 0;
  if (auto* histogram = std::get_if<ClassicSample>(&out)) {
    std::ranges::fill(histogram->value.counts, 0);
    histogram->value.count = 0;
    histogram->value.sum = 0;
  }
  if (auto* histogram = std::get_if<ExponentialSample>(&out)) {
    const int scale = histogram->value.scale;
    histogram->value = {};
    histogram->value.scale = scale;
  }
  return out;
}

Sample stale_marker(MetricKind kind, std::int64_t time_ms, std::int64_t start_ms) {
  if (kind == MetricKind::histogram) {
    ClassicSample out{time_ms, start_ms, true, {}};
    out.value.bounds = std::make_shared<const std::vector<double>>();
    out.value.counts.assign(1, 0);
    return out;
  }
  if (kind == MetricKind::exponential) return ExponentialSample{time_ms, start_ms, true, {}};
  return FloatSample{time_ms, start_ms, stale_value()};
}

void set_times(Sample& sample, std::int64_t time_ms, std::int64_t start_ms) {
  std::visit(
      [&](auto& s) {
        s.time_ms = time_ms;
        s.start_ms = start_ms;
      },
      sample);
}

bool same_value(const Sample& a, Sample b) {
  set_times(b, time_of(a), start_of(a));
  return std::visit(
      [](const auto& x, const auto& y) {
        if constexpr (std::is_same_v<decltype(x), decltype(y)>) return same(x, y);
        return false;
      },
      a, std::as_const(b));
}

SeriesInfo* Stage::find(const Labels& labels, std::uint64_t labels_hash, Source source,
                        MetricKind kind) {
  SeriesInfo* info = index_.find(labels, labels_hash, source, kind);
  if (info != nullptr && !info->stored) write_row(info);
  return info;
}

Result<SeriesInfo*> Stage::series(const SeriesInfo& what, std::uint64_t labels_hash) {
  if (SeriesInfo* known = find(*what.labels, labels_hash, what.source, what.kind)) return known;
  std::unique_lock lock(index_mutex_);
  TRY_ASSIGN(SeriesInfo * added, index_.add(what));
  write_row(added);
  return added;
}

Result<SeriesInfo*> Stage::filler(const SeriesInfo& what) {
  TRY_ASSIGN(SeriesInfo * info, series(what, what.labels->hash()));
  if (info->guessed) {
    std::unique_lock lock(index_mutex_);
    index_.confirm(*info);
    write_row(info);
  }
  return info;
}

void Stage::write_row(SeriesInfo* info) {
  if (in_rows_.insert(info).second) rows_.push_back(info);
}

void Stage::put(SeriesId id, Sample sample) {
  if (!stored_.in_head(id, sample)) samples_.push_back({id, std::move(sample)});
}

std::optional<Sample> Stage::recent(SeriesId id, std::int64_t time_ms) const {
  const auto staged = std::find_if(samples_.rbegin(), samples_.rend(), [&](const auto& entry) {
    return entry.series == id && time_of(entry.sample) == time_ms;
  });
  return staged != samples_.rend() ? std::optional(staged->sample) : stored_.in_head(id, time_ms);
}

Late Stage::put_late(SeriesId id, const Sample& delta) {
  const std::int64_t time_ms = time_of(delta);
  const std::int64_t from_ms = time_ms - kLookBackMs;
  const SampleRun run = overlaid(stored_.read(id, from_ms, INT64_MAX), id, from_ms, samples_);
  std::vector<Sample> around;
  with_all(run, [&](const auto& samples) {
    for (const auto& s : samples) {
      if (!is_stale(Sample(s))) around.emplace_back(s);
    }
  });

  std::optional<Sample> before;
  std::vector<Sample> after;
  std::int64_t start_ms = start_of(delta);
  for (auto& sample : around) {
    if (time_of(sample) == time_ms) return repeated_or_clashing(before, sample, delta);
    // All samples get the same start, because readers would take a moving start for a reset.
    if (time_of(sample) > time_ms) {
      if (start_of(sample) != 0) start_ms = std::min(start_ms, start_of(sample));
      after.push_back(std::move(sample));
    } else {
      before = std::move(sample);
    }
  }
  Sample here = before ? joined(*before, delta) : delta;
  set_times(here, time_ms, start_ms);
  samples_.push_back({id, std::move(here)});
  for (const auto& sample : after) {
    Sample raised = joined(sample, delta);
    set_times(raised, time_of(sample), start_ms);
    samples_.push_back({id, std::move(raised)});
  }
  return Late::added;
}

} // namespace coalmine::store
