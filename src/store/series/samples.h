// The samples of one series in time order, and basic operations on them.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <variant>
#include <vector>

#include "telemetry/batch.h"
#include "telemetry/sample.h"
#include "telemetry/stale.h"

namespace coalmine::store {

using Sample = std::variant<FloatSample, ClassicSample, ExponentialSample>;

using coalmine::is_stale; // the overload for values
bool is_stale(const Sample& sample);

std::int64_t time_of(const Sample& sample);
std::int64_t start_of(const Sample& sample);

inline bool same_bits(double a, double b) {
  return std::bit_cast<std::uint64_t>(a) == std::bit_cast<std::uint64_t>(b);
}
// Equal to the bit: NaNs compare by payload, bounds by content.
bool same(const FloatSample& a, const FloatSample& b);
bool same(const ClassicSample& a, const ClassicSample& b);
bool same(const ExponentialSample& a, const ExponentialSample& b);

// A plain value. Ascending in time, at most one sample a millisecond, all of one kind: exactly one
// vector is in use.
struct SampleRun {
  std::vector<FloatSample> floats;
  std::vector<ClassicSample> classic;
  std::vector<ExponentialSample> exponential;

  std::size_t size() const { return floats.size() + classic.size() + exponential.size(); }
  bool empty() const { return size() == 0; }
  std::int64_t first_ms() const; // of a non-empty run
  std::int64_t last_ms() const;
  Sample last() const;

  // Inserted in order; a sample at the same millisecond is replaced. True when there was none
  // before.
  bool upsert(Sample sample);
  bool has_time(std::int64_t time_ms) const;
  // True when exactly this sample is in the run.
  bool contains(const Sample& sample) const;

  std::size_t count(std::int64_t from_ms, std::int64_t to_ms) const; // both inclusive
  SampleRun slice(std::int64_t from_ms, std::int64_t to_ms) const;   // both inclusive
  void drop_before(std::int64_t time_ms);
  // Merges newer into this run. Where both have a sample at a millisecond, newer's stays.
  void overlay(SampleRun newer);
};

// Calls f with the vector that a run of this kind uses.
template <typename Run, typename F>
auto with_samples_of(MetricKind kind, Run& run, F&& f) {
  switch (kind) {
    case MetricKind::histogram: return f(run.classic);
    case MetricKind::exponential: return f(run.exponential);
    case MetricKind::counter:
    case MetricKind::gauge: break;
  }
  return f(run.floats);
}

// Calls f with each of the vectors of a run; at most one has samples.
template <typename F>
void with_all(const SampleRun& run, F&& f) {
  f(run.floats);
  f(run.classic);
  f(run.exponential);
}

} // namespace coalmine::store
