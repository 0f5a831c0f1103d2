// SPDX-License-Identifier: Apache-2.0
#include "judge/sequential_past.h"

#include <algorithm>
#include <cmath>
#include <string_view>

#include "judge/estimate.h"

namespace coalmine::judge {
namespace {

constexpr std::size_t kMostProcesses = 1024;

double errors_of(const TrackCounts& track) {
  return std::isfinite(track.errors)
             ? std::min(track.errors, track.requests)
             : track.errors; // not a number or infinite: kept, so that the cell is not usable
}

// A process of stable whose counts are compared with the others'.
bool compares(const InstanceCounts& one) {
  return one.track == Track::stable && !one.warming &&
         usable(Part{std::min(one.errors, one.requests), one.requests});
}

} // namespace

Cell errors_of(const RouteCounts& row) {
  const auto& canary = row.canary;
  const double warm = std::clamp(canary.warming_requests, 0.0, canary.requests);
  Cell out{errors_of(canary), canary.requests, errors_of(row.stable), row.stable.requests};
  if (!(warm > 0)) return out;
  out.n1 = std::max(0.0, out.n1 - warm);
  out.x1 = std::clamp(out.x1 - canary.warming_errors, 0.0, out.n1);
  return out;
}

Cell warming_errors_of(const RouteCounts& row) {
  const double warm = std::clamp(row.canary.warming_requests, 0.0, row.canary.requests);
  return {std::clamp(row.canary.warming_errors, 0.0, warm), warm, errors_of(row.stable),
          row.stable.requests};
}

void Past::learn(const RouteCounts& row) {
  if (!usable(errors_of(row))) return;
  requests += row.stable.requests;
  errors += std::min(row.stable.errors, row.stable.requests);
  client_errors.learn(client_errors_of(row.stable));
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
  std::map<std::string_view, double> requests;
  for (const auto& row : cell.routes) {
    if (!(row.stable.requests > 0)) continue; // the canary's alone: nothing of stable to learn
    const bool place = routes_.size() < kMaxJudgedRoutes || critical_.contains(row.route);
    if (!place && !routes_.contains(row.route)) continue;
    routes_[row.route].learn(row);
    requests[row.route] = row.stable.requests;
  }
  // A cell without a request of the route says as much about its share as others.
  for (auto& [name, route] : routes_) {
    const auto it = requests.find(name);
    route.share.learn({true, it != requests.end() ? it->second : 0, cell.total.stable.requests});
  }
}

const Past* StablePast::route(const std::string& name) const {
  const auto it = routes_.find(name);
  return it == routes_.end() ? nullptr : &it->second;
}

void StableDispersion::add(const CountCell& cell) {
  add_errors(cell);
  add_routes(cell);
  add_tails(cell);
  client_errors_.add(client_errors_of(cell.total.stable));
  if (BlockDispersion::ends_all(cell_++) && slots_.size() > kMostProcesses) forget_members();
}

// Processes come and go for days. What lasts is measured anew.
void StableDispersion::forget_members() {
  slots_.clear();
  errors_.forget_members();
  tails_.forget_members();
  for (auto& [name, route] : routes_) route.forget_members();
}

double StableDispersion::lasting_errors(const std::string& route) const {
  const auto it = routes_.find(route);
  return it != routes_.end() ? it->second.lasting_variation()
         : route.empty()     ? errors_.lasting_variation()
                             : 0;
}

double StableDispersion::errors(const std::string& route) const {
  const auto it = routes_.find(route);
  return it != routes_.end() && it->second.degrees() > 0 ? std::max(it->second.phi(), errors())
                                                         : errors();
}

void StableDispersion::keep_above(const StableDispersion& there, double factor) {
  least_errors_ = factor * there.errors();
  tails_.keep_above(there.tails_, factor);
}

std::uint32_t StableDispersion::slot_of(const std::string& instance) {
  return slots_.emplace(instance, static_cast<std::uint32_t>(slots_.size())).first->second;
}

void StableDispersion::add_errors(const CountCell& cell) {
  Members members;
  for (const auto& one : cell.instances) {
    if (compares(one))
      members.push_back({.slot = slot_of(one.instance),
                         .part = {std::min(one.errors, one.requests), one.requests}});
  }
  if (members.size() < 2) {
    const auto& stable = cell.total.stable;
    members = {{.slot = 0, .part = {std::min(stable.errors, stable.requests), stable.requests}}};
  }
  errors_.add(members, cell_);
}

void StableDispersion::add_routes(const CountCell& cell) {
  for (const auto& row : cell.routes) {
    Members members;
    for (const auto& part : row.parts) {
      if (part.instance >= cell.instances.size()) continue;
      const auto& one = cell.instances[part.instance];
      if (compares(one) && part.requests > 0)
        members.push_back({.slot = slot_of(one.instance),
                           .part = {std::min(part.errors, part.requests), part.requests}});
    }
    if (members.size() < 2) continue;
    const bool place = routes_.size() < kMaxJudgedRoutes || routes_.contains(row.route);
    if (place) routes_[row.route].add(members, cell_);
  }
}

void StableDispersion::add_tails(const CountCell& cell) {
  const auto& stable = cell.total.stable;
  if (stable.bounds_ms == nullptr) return;
  std::vector<TailDispersion::Member> members;
  for (const auto& one : cell.instances) {
    if (compares(one) && !one.bucket_counts.empty())
      members.push_back({.slot = slot_of(one.instance), .counts = one.bucket_counts});
  }
  if (members.size() < 2) members = {{.slot = 0, .counts = stable.bucket_counts}};
  tails_.add(*stable.bounds_ms, members, cell_);
}

Processes processes_of(const CountCell& cell) {
  Processes out;
  for (const auto& one : cell.instances) {
    if (one.requests > 0) (one.track == Track::canary ? out.canary : out.stable) += 1;
  }
  return out;
}

double load_of(const CountCell& cell) {
  const auto [canary, stable] = processes_of(cell);
  const double n1 = cell.total.canary.requests, n0 = cell.total.stable.requests;
  if (!(canary > 0) || !(stable > 0) || !(n1 > 0) || !(n0 > 0)) return 1;
  return (n1 / canary) / (n0 / stable);
}

bool processes_explain(double difference, double variation, const Processes& processes) {
  if (!(variation > 0) || !(processes.canary > 0) || !(processes.stable > 1)) return false;
  // Student's quantile: the variation is known from few processes (Abramowitz and Stegun 26.7.5).
  const double z = 3.0902, degrees = processes.stable - 1; // one of a thousand
  const double t = z + (z * z * z + z) / (4 * degrees) +
                   (5 * std::pow(z, 5) + 16 * std::pow(z, 3) + 3 * z) / (96 * degrees * degrees);
  return difference < t * variation * std::sqrt(1 / processes.canary + 1 / processes.stable);
}

} // namespace coalmine::judge
