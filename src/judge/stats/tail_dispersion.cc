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

// Of the two around it, the one that says more.
const BlockDispersion* TailDispersion::nearest(double boundary_ms) const {
  if (at_.empty()) return nullptr;
  const auto behind = at_.lower_bound(boundary_ms);
  if (behind == at_.end()) return &std::prev(behind)->second;
  if (behind == at_.begin() || behind->first == boundary_ms) return &behind->second;
  const auto before = std::prev(behind);
  return before->second.phi() > behind->second.phi() ? &before->second : &behind->second;
}

double TailDispersion::phi(double boundary_ms) const {
  const auto* at = nearest(boundary_ms);
  return at != nullptr ? at->phi() : 1;
}

double TailDispersion::lasting_variation(double boundary_ms) const {
  const auto* at = nearest(boundary_ms);
  return at != nullptr ? at->lasting_variation() : 0;
}

void TailDispersion::forget_members() {
  for (auto& [boundary, dispersion] : at_) dispersion.forget_members();
}

} // namespace coalmine::judge
