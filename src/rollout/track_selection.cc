// SPDX-License-Identifier: Apache-2.0
#include "rollout/track_selection.h"

#include <fmt/format.h>

#include <algorithm>

namespace coalmine::rollout {
namespace {

// The attributes of one selector that the other does not ask for with the same value.
AttributeSelector only_in(const AttributeSelector& one, const AttributeSelector& other) {
  AttributeSelector out;
  for (const auto& attribute : one) {
    if (std::ranges::find(other, attribute) == other.end()) out.push_back(attribute);
  }
  return out;
}

bool disjoint(const AttributeSelector& one, const AttributeSelector& other) {
  return std::ranges::any_of(one, [&](const auto& attribute) {
    return std::ranges::any_of(other, [&](const auto& a) {
      return a.first == attribute.first && a.second != attribute.second;
    });
  });
}

} // namespace

TrackSelections select_tracks(const RolloutSpec& spec) {
  TrackSelections out;
  out.canary.with = spec.canary;
  out.stable.with = spec.stable;
  if (disjoint(spec.canary, spec.stable)) return out;
  const auto of_canary = only_in(spec.canary, spec.stable);
  const auto of_stable = only_in(spec.stable, spec.canary);
  out.overlap = Overlap::excluded;
  if (of_canary.size() == 1) {
    out.stable.without = of_canary.front();
  } else if (of_canary.empty() && of_stable.size() == 1) {
    out.canary.without = of_stable.front();
  } else {
    out.overlap = Overlap::open;
  }
  return out;
}

std::string to_text(const AttributeSelector& selector) {
  std::string out;
  for (const auto& [name, value] : selector)
    out += fmt::format("{}{}={}", out.empty() ? "" : " and ", name, value);
  return out;
}

} // namespace coalmine::rollout
