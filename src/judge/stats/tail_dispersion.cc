// SPDX-License-Identifier: Apache-2.0
#include "judge/stats/tail_dispersion.h"

#include <algorithm>
#include <cmath>
#include <iterator>

#include "judge/stats/tails.h"

namespace coalmine::judge {
namespace {

// Classic bounds are fewer. Exponential ones are hundreds, and their neighbours behave alike.
constexpr std::size_t kMostWatched = 64;

// Of the two around the boundary, the one that says more. Null: there is none.
template <typename Value, typename Phi>
const Value* nearest_in(const std::map<double, Value>& at, double boundary_ms, Phi&& phi) {
  if (at.empty()) return nullptr;
  const auto behind = at.lower_bound(boundary_ms);
  if (behind == at.end()) return &std::prev(behind)->second;
  if (behind == at.begin() || behind->first == boundary_ms) return &behind->second;
  const auto before = std::prev(behind);
  return phi(before->second) > phi(behind->second) ? &before->second : &behind->second;
}

} // namespace

// A fixed choice among the bounds: it depends on nothing that is counted.
void TailDispersion::watch(const std::vector<double>& bounds) {
  bounds_ = bounds;
  watched_.clear();
  const auto step = (bounds.size() + kMostWatched - 1) / kMostWatched;
  for (std::size_t i = 0; i < bounds.size(); i += std::max<std::size_t>(1, step))
    watched_.push_back(i);
  // Boundaries that the telemetry no longer has are not asked for again.
  std::erase_if(at_, [&](const auto& entry) {
    return std::ranges::none_of(watched_, [&](std::size_t i) { return bounds[i] == entry.first; });
  });
}

void TailDispersion::add(const std::vector<double>& bounds, std::span<const Member> members,
                         std::uint64_t cell) {
  if (bounds != bounds_) watch(bounds);
  std::vector<std::vector<double>> above; // by member: requests slower than each bound
  std::vector<double> all;
  std::vector<std::uint32_t> slots;
  for (const auto& member : members) {
    if (!judge::usable(bounds, member.counts)) continue;
    auto& sums = above.emplace_back(bounds.size());
    double sum = 0;
    for (auto i = bounds.size(); i > 0; --i) sums[i - 1] = sum += member.counts[i];
    all.push_back(sum + member.counts[0]);
    slots.push_back(member.slot);
  }
  std::vector<BlockDispersion::Member> parts(slots.size());
  for (const auto at : watched_) {
    for (std::size_t i = 0; i < slots.size(); ++i)
      parts[i] = {.slot = slots[i], .part = {above[i][at], all[i]}};
    at_[bounds[at]].add(parts, cell);
  }
}

const BlockDispersion* TailDispersion::nearest(double boundary_ms) const {
  return nearest_in(at_, boundary_ms, [](const BlockDispersion& at) { return at.phi(); });
}

double TailDispersion::phi(double boundary_ms) const {
  const auto* at = nearest(boundary_ms);
  const auto* least = nearest_in(least_, boundary_ms, [](double phi) { return phi; });
  return std::max(at != nullptr ? at->phi() : 1, least != nullptr ? *least : 1);
}

void TailDispersion::keep_above(const TailDispersion& there, double factor) {
  least_.clear();
  for (const auto& [boundary, dispersion] : there.at_) least_[boundary] = factor * dispersion.phi();
}

double TailDispersion::lasting_variation(double boundary_ms) const {
  const auto* at = nearest(boundary_ms);
  return at != nullptr ? at->lasting_variation() : 0;
}

void TailDispersion::forget_members() {
  for (auto& [boundary, dispersion] : at_) dispersion.forget_members();
}

} // namespace coalmine::judge
