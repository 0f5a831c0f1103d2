// SPDX-License-Identifier: Apache-2.0
#include "judge/stats/bernoulli_exact.h"

#include <algorithm>
#include <cmath>

#include "judge/stats/special.h"

namespace coalmine::judge {

void BernoulliProcess::add(const Cell& cell, double phi) {
  const auto growth = take(cell, phi);
  for (std::size_t i = 0; i < growth.size(); ++i) sums_.gain[i] += growth[i];
}

std::array<double, kOddsBets.size()> BernoulliProcess::take(const Cell& cell, double phi) {
  std::array<double, kOddsBets.size()> out{};
  if (!usable(cell) || !(phi >= 1) || cell.x1 > cell.n1 || cell.x0 > cell.n0) return out;
  const double both = cell.n1 + cell.n0;
  if (both <= 0) return out;
  constexpr double kEdge = 1e-12;
  const double stable =
      std::clamp((sums_.past_bad + 0.5) / (sums_.past_requests + 1), kEdge, 1 - kEdge);
  if (cell.n1 > 0 && cell.n0 > 0) {
    for (std::size_t i = 0; i < kOddsBets.size(); ++i) {
      const double bet = kOddsBets[i] - 1;
      const double gap = stable * (1 - stable) * bet /
                         (1 + stable * bet);  // canary's rate under the bet - stable's
      const double up = gap * cell.n0 / both; // canary's rate - common mean
      const double down = -gap * cell.n1 / both;
      const double mean = stable - down;
      double gain = 0;
      if (cell.x1 > 0) gain += cell.x1 * std::log1p(up / mean);
      if (cell.n1 > cell.x1) gain += (cell.n1 - cell.x1) * std::log1p(-up / (1 - mean));
      if (cell.x0 > 0) gain += cell.x0 * std::log1p(down / mean);
      if (cell.n0 > cell.x0) gain += (cell.n0 - cell.x0) * std::log1p(-down / (1 - mean));
      out[i] = gain / phi;
    }
  }
  sums_.past_bad += cell.x0;
  sums_.past_requests += cell.n0;
  return out;
}

double BernoulliProcess::log_e() const { return log_mean_exp(sums_.gain); }

} // namespace coalmine::judge
