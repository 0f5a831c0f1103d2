// SPDX-License-Identifier: Apache-2.0
#include "store/series/samples.h"

#include <bit>
#include <iterator>

namespace coalmine::store {
namespace {

template <typename S>
auto lower(const std::vector<S>& samples, std::int64_t time_ms) {
  return std::ranges::lower_bound(samples, time_ms, {}, &S::time_ms);
}

template <typename S>
bool upsert_into(std::vector<S>& samples, S sample) {
  if (samples.empty() || samples.back().time_ms < sample.time_ms) {
    samples.push_back(std::move(sample));
    return true;
  }
  const auto at = std::ranges::lower_bound(samples, sample.time_ms, {}, &S::time_ms);
  if (at != samples.end() && at->time_ms == sample.time_ms) {
    *at = std::move(sample);
    return false;
  }
  samples.insert(at, std::move(sample));
  return true;
}

template <typename S>
bool contains_in(const std::vector<S>& samples, const S& sample) {
  const auto at = lower(samples, sample.time_ms);
  return at != samples.end() && at->time_ms == sample.time_ms && same(*at, sample);
}

template <typename S>
bool has_time_in(const std::vector<S>& samples, std::int64_t time_ms) {
  const auto at = lower(samples, time_ms);
  return at != samples.end() && at->time_ms == time_ms;
}

template <typename S>
auto range_of(const std::vector<S>& samples, std::int64_t from_ms, std::int64_t to_ms) {
  const auto begin = lower(samples, from_ms);
  const auto end = std::ranges::upper_bound(begin, samples.end(), to_ms, {}, &S::time_ms);
  return std::ranges::subrange(begin, end);
}

template <typename S>
void drop_before_in(std::vector<S>& samples, std::int64_t time_ms) {
  samples.erase(samples.begin(), lower(samples, time_ms));
  if (samples.capacity() > 2 * samples.size() + 8) samples.shrink_to_fit();
}

template <typename S>
void overlay_in(std::vector<S>& base, std::vector<S> newer) {
  if (newer.empty()) return;
  if (base.empty() || base.back().time_ms < newer.front().time_ms) {
    if (base.empty()) {
      base = std::move(newer);
    } else {
      base.insert(base.end(), std::make_move_iterator(newer.begin()),
                  std::make_move_iterator(newer.end()));
    }
    return;
  }
  std::vector<S> merged;
  merged.reserve(base.size() + newer.size());
  auto old = base.begin();
  for (auto& sample : newer) {
    while (old != base.end() && old->time_ms < sample.time_ms) merged.push_back(std::move(*old++));
    if (old != base.end() && old->time_ms == sample.time_ms) ++old;
    merged.push_back(std::move(sample));
  }
  merged.insert(merged.end(), std::make_move_iterator(old), std::make_move_iterator(base.end()));
  base = std::move(merged);
}

} // namespace

bool is_stale(const Sample& sample) {
  if (const auto* number = std::get_if<FloatSample>(&sample)) return is_stale(number->value);
  if (const auto* histogram = std::get_if<ClassicSample>(&sample)) return histogram->stale;
  return std::get<ExponentialSample>(sample).stale;
}

std::int64_t time_of(const Sample& sample) {
  return std::visit([](const auto& s) { return s.time_ms; }, sample);
}
std::int64_t start_of(const Sample& sample) {
  return std::visit([](const auto& s) { return s.start_ms; }, sample);
}

bool same(const FloatSample& a, const FloatSample& b) {
  return a.time_ms == b.time_ms && a.start_ms == b.start_ms && same_bits(a.value, b.value);
}

bool same(const ClassicSample& a, const ClassicSample& b) {
  const bool bounds = a.value.bounds == b.value.bounds ||
                      (a.value.bounds && b.value.bounds && *a.value.bounds == *b.value.bounds);
  return bounds && a.time_ms == b.time_ms && a.start_ms == b.start_ms && a.stale == b.stale &&
         a.value.count == b.value.count && same_bits(a.value.sum, b.value.sum) &&
         a.value.counts == b.value.counts;
}

bool same(const ExponentialSample& a, const ExponentialSample& b) {
  return a.time_ms == b.time_ms && a.start_ms == b.start_ms && a.stale == b.stale &&
         a.value.scale == b.value.scale &&
         same_bits(a.value.zero_threshold, b.value.zero_threshold) &&
         a.value.zero_count == b.value.zero_count && a.value.positive == b.value.positive &&
         a.value.negative == b.value.negative && a.value.count == b.value.count &&
         same_bits(a.value.sum, b.value.sum);
}

std::int64_t SampleRun::first_ms() const {
  if (!floats.empty()) return floats.front().time_ms;
  if (!classic.empty()) return classic.front().time_ms;
  return exponential.front().time_ms;
}

std::int64_t SampleRun::last_ms() const {
  if (!floats.empty()) return floats.back().time_ms;
  if (!classic.empty()) return classic.back().time_ms;
  return exponential.back().time_ms;
}

Sample SampleRun::last() const {
  if (!floats.empty()) return floats.back();
  if (!classic.empty()) return classic.back();
  return exponential.back();
}

bool SampleRun::upsert(Sample sample) {
  if (auto* number = std::get_if<FloatSample>(&sample)) return upsert_into(floats, *number);
  if (auto* histogram = std::get_if<ClassicSample>(&sample)) {
    // One set of bounds is shared by all samples of a series as long as it stays the same.
    auto& bounds = histogram->value.bounds;
    if (!classic.empty() && bounds && classic.back().value.bounds &&
        *bounds == *classic.back().value.bounds) {
      bounds = classic.back().value.bounds;
    }
    return upsert_into(classic, std::move(*histogram));
  }
  return upsert_into(exponential, std::get<ExponentialSample>(std::move(sample)));
}

bool SampleRun::has_time(std::int64_t time_ms) const {
  return has_time_in(floats, time_ms) || has_time_in(classic, time_ms) ||
         has_time_in(exponential, time_ms);
}

bool SampleRun::contains(const Sample& sample) const {
  if (const auto* number = std::get_if<FloatSample>(&sample)) return contains_in(floats, *number);
  if (const auto* histogram = std::get_if<ClassicSample>(&sample))
    return contains_in(classic, *histogram);
  return contains_in(exponential, std::get<ExponentialSample>(sample));
}

std::size_t SampleRun::count(std::int64_t from_ms, std::int64_t to_ms) const {
  if (from_ms > to_ms) return 0;
  return range_of(floats, from_ms, to_ms).size() + range_of(classic, from_ms, to_ms).size() +
         range_of(exponential, from_ms, to_ms).size();
}

SampleRun SampleRun::slice(std::int64_t from_ms, std::int64_t to_ms) const {
  SampleRun out;
  if (from_ms > to_ms) return out;
  const auto copy = [&](const auto& from, auto& to) {
    const auto range = range_of(from, from_ms, to_ms);
    to.assign(range.begin(), range.end());
  };
  copy(floats, out.floats);
  copy(classic, out.classic);
  copy(exponential, out.exponential);
  return out;
}

void SampleRun::drop_before(std::int64_t time_ms) {
  drop_before_in(floats, time_ms);
  drop_before_in(classic, time_ms);
  drop_before_in(exponential, time_ms);
}

void SampleRun::overlay(SampleRun newer) {
  overlay_in(floats, std::move(newer.floats));
  overlay_in(classic, std::move(newer.classic));
  overlay_in(exponential, std::move(newer.exponential));
}

} // namespace coalmine::store
