// SPDX-License-Identifier: Apache-2.0
#include "judge/sequential_past.h"

#include <algorithm>
#include <cmath>

#include "judge/estimate.h"

namespace coalmine::judge {
namespace {} // namespace

Cell errors_of(const RouteCounts& row) {
  const auto errors = [](const TrackCounts& track) {
    return std::isfinite(track.errors)
               ? std::min(track.errors, track.requests)
               : track.errors; // not a number or infinite: kept, so that the cell is not usable
  };
  return {errors(row.canary), row.canary.requests, errors(row.stable), row.stable.requests};
}

void Past::learn(const RouteCounts& row) {
  if (!usable(errors_of(row))) return;
  requests += row.stable.requests;
  errors += std::min(row.stable.errors, row.stable.requests);
  const auto answered = client_errors_of(row.stable);
  client_errors.has_data = client_errors.has_data || answered.has_data;
  client_errors.amount += answered.amount;
  client_errors.count += answered.count;
  if (row.stable.bounds_ms == nullptr) return;
  if (!latency.add(*row.stable.bounds_ms, row.stable.bucket_counts)) {
    // Stable's buckets are others now: only what it sends today can be compared.
    latency = {};
    latency.add(*row.stable.bounds_ms, row.stable.bucket_counts);
  }
}

void StablePast::learn(const CountCell& cell) {
  minutes_ += std::max<double>(0, static_cast<double>(cell.to_ms - cell.from_ms)) / 60'000.0;
  service_.learn(cell.total);
  for (const auto& row : cell.routes) {
    if (!(row.stable.requests > 0)) continue; // the canary's alone: nothing of stable to learn
    const bool place = routes_.size() < kMaxJudgedRoutes || critical_.contains(row.route);
    if (place || routes_.contains(row.route)) routes_[row.route].learn(row);
  }
}

const Past* StablePast::route(const std::string& name) const {
  const auto it = routes_.find(name);
  return it == routes_.end() ? nullptr : &it->second;
}

void StableDispersion::add(const CountCell& cell) {
  add_errors(cell);
  add_tails(cell);
  add_client_errors(cell);
}

void StableDispersion::add_client_errors(const CountCell& cell) {
  const auto answered = client_errors_of(cell.total.stable);
  if (!answered.has_data) return;
  const Part now{answered.amount, answered.count};
  if (!previous_client_errors_) {
    previous_client_errors_ = now;
    return;
  }
  const Part pair[] = {*previous_client_errors_, now};
  client_errors_.add_group(pair);
  previous_client_errors_.reset();
}

void StableDispersion::add_errors(const CountCell& cell) {
  std::vector<Part> parts;
  for (const auto& i : cell.instances) {
    const bool no_rate = i.errors > 0 && !(i.requests > 0);
    if (i.track == Track::stable && !no_rate)
      parts.push_back({std::min(i.errors, i.requests), i.requests});
  }
  if (parts.size() > 1) {
    errors_.add_group(parts);
    previous_.reset();
    return;
  }
  // One instance, or unknown ones: two neighbouring cells are compared, and each cell is used once.
  const Part now{std::min(cell.total.stable.errors, cell.total.stable.requests),
                 cell.total.stable.requests};
  if (!previous_) {
    previous_ = now;
    return;
  }
  const Part pair[] = {*previous_, now};
  errors_.add_group(pair);
  previous_.reset();
}

void StableDispersion::add_tails(const CountCell& cell) {
  const auto& stable = cell.total.stable;
  if (stable.bounds_ms == nullptr || !usable(*stable.bounds_ms, stable.bucket_counts)) return;
  const auto above = boundary_ms_ > 0
                         ? tail_count(*stable.bounds_ms, stable.bucket_counts, boundary_ms_)
                         : std::nullopt;
  if (!above) {
    // Two cells are compared at one boundary, which is chosen from the cells before them. It is
    // chosen again when stable's buckets no longer have it.
    boundary_ms_ = 0;
    previous_tail_.reset();
    if (!seen_.add(*stable.bounds_ms, stable.bucket_counts)) seen_ = {};
    if (seen_.empty() || seen_.total() < kChooseFrom) return;
    if (const auto tenth = nearest_boundary(seen_, seen_.bounds_ms, 0.1)) {
      boundary_ms_ = seen_.bounds_ms[*tenth];
      seen_ = {};
    }
    return;
  }
  double all = 0;
  for (const double n : stable.bucket_counts) all += n;
  if (!previous_tail_) {
    previous_tail_ = Part{*above, all};
    return;
  }
  const Part pair[] = {*previous_tail_, {*above, all}};
  tails_.add_group(pair);
  previous_tail_.reset();
}

} // namespace coalmine::judge
