// SPDX-License-Identifier: Apache-2.0
#include "lab/latency_shares.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "judge/stats/special.h"
#include "lab/simulation.h"

namespace coalmine::lab {
namespace {

constexpr double kWhole = 0x1p32;

// The share of a lognormal below a value.
double share_below(double value, double median, double sigma) {
  return value > 0 ? judge::normal_cdf(std::log(value / median) / sigma) : 0;
}

// The integral of share_below from 0 to the value.
double area_below(double value, double median, double sigma) {
  if (!(value > 0)) return 0;
  const double z = std::log(value / median) / sigma;
  return value * judge::normal_cdf(z) -
         median * std::exp(sigma * sigma / 2) * judge::normal_cdf(z - sigma);
}

double share_within(double bound, const LatencyShape& shape, double factor) {
  const double median = shape.median_ms * factor;
  if (!(shape.pause_ms > 0)) return share_below(bound, median, shape.sigma);
  // The rest of the pause is uniform: the mean of the shares below the bound less each rest.
  return (area_below(bound, median, shape.sigma) -
          area_below(bound - shape.pause_ms, median, shape.sigma)) /
         shape.pause_ms;
}

} // namespace

std::vector<double> latency_shares(const LatencyShape& shape,
                                   const std::vector<double>& bounds_ms) {
  std::vector<double> out;
  double last = 0;
  for (const double bound : bounds_ms) {
    double within = (1 - shape.slow_share) * share_within(bound, shape, shape.factor);
    if (shape.slow_share > 0)
      within += shape.slow_share * share_within(bound, shape, shape.factor * shape.slow_factor);
    out.push_back(std::max(0.0, within - last));
    last = within;
  }
  out.push_back(std::max(0.0, 1 - last));
  return out;
}

BucketSampler::BucketSampler(const std::vector<double>& shares) : places_(shares.size()) {
  const double sum = std::accumulate(shares.begin(), shares.end(), 0.0);
  std::vector<double> left;
  for (const double share : shares)
    left.push_back(share / sum * static_cast<double>(shares.size()));
  std::vector<std::size_t> small, large;
  for (std::size_t i = 0; i < left.size(); ++i) (left[i] < 1 ? small : large).push_back(i);
  while (!small.empty() && !large.empty()) {
    const auto from = large.back(), to = small.back();
    small.pop_back();
    places_[to] = {static_cast<std::uint64_t>(left[to] * kWhole), from};
    left[from] -= 1 - left[to];
    if (left[from] >= 1) continue;
    large.pop_back();
    small.push_back(from);
  }
  // What rounding left over is full.
  for (const auto i : small) places_[i] = {static_cast<std::uint64_t>(kWhole), i};
  for (const auto i : large) places_[i] = {static_cast<std::uint64_t>(kWhole), i};
}

std::size_t BucketSampler::draw(SimulationRandom& random) const {
  const auto word = random.next();
  const auto at = static_cast<std::size_t>(((word >> 32) * places_.size()) >> 32);
  const auto& place = places_[at];
  return (word & 0xffffffffu) < place.own ? at : place.other;
}

} // namespace coalmine::lab
