// Simulated latency: the parts of requests that fall into each bucket, and draws from them. Pure.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace coalmine::lab {

class SimulationRandom;

// How long requests take: lognormal.
struct LatencyShape {
  double median_ms = 80;
  double sigma = 0.6;
  double factor = 1;     // on all requests
  double slow_share = 0; // this share of requests takes slow_factor times as long
  double slow_factor = 1;
  // Positive: the process stood still for so long, the requests came at even moments meanwhile, and
  // each waited for the end first.
  double pause_ms = 0;
  auto operator<=>(const LatencyShape&) const = default;
};
// One more than bounds; they add up to 1.
std::vector<double> latency_shares(const LatencyShape& shape, const std::vector<double>& bounds_ms);

// Draws a bucket in constant time, however many there are (Walker's alias method).
class BucketSampler {
 public:
  explicit BucketSampler(const std::vector<double>& shares);
  std::size_t draw(SimulationRandom& random) const;

 private:
  struct Place {
    std::uint64_t own = 0; // of 2^32: how often the place is its own bucket
    std::size_t other = 0; // else this one
  };
  std::vector<Place> places_;
};

} // namespace coalmine::lab
