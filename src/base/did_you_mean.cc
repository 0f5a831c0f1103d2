// SPDX-License-Identifier: Apache-2.0
#include "base/did_you_mean.h"

#include <algorithm>

namespace coalmine {
namespace {

// Optimal string alignment: insertions, deletions, replacements and swaps of neighbours each cost
// one.
std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::vector<std::size_t>> cost(a.size() + 1, std::vector<std::size_t>(b.size() + 1));
  for (std::size_t i = 0; i <= a.size(); ++i) cost[i][0] = i;
  for (std::size_t j = 0; j <= b.size(); ++j) cost[0][j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t replace = cost[i - 1][j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      cost[i][j] = std::min({cost[i - 1][j] + 1, cost[i][j - 1] + 1, replace});
      const bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
      if (swapped) cost[i][j] = std::min(cost[i][j], cost[i - 2][j - 2] + 1);
    }
  }
  return cost[a.size()][b.size()];
}

} // namespace

std::string did_you_mean(std::string_view word, const std::vector<std::string_view>& candidates) {
  if (word.empty() || word.size() > 64) return "";
  std::string_view best;
  std::size_t best_cost = word.size() <= 4 ? 1 : 2;
  for (const auto candidate : candidates) {
    const std::size_t cost = edit_distance(word, candidate);
    if (cost < best_cost || (cost == best_cost && best.empty())) {
      best = candidate;
      best_cost = cost;
    }
  }
  return std::string(best);
}

} // namespace coalmine
