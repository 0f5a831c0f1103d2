// SPDX-License-Identifier: Apache-2.0
#include "judge/stats/dispersion.h"

#include <algorithm>
#include <cmath>

#include "judge/stats/special.h"

namespace coalmine::judge {

void Dispersion::add_group(std::span<const Part> parts) {
  double bad = 0, requests = 0;
  int members = 0;
  for (const auto& p : parts) {
    if (!std::isfinite(p.bad) || !std::isfinite(p.requests) || p.bad < 0 || p.requests <= 0 ||
        p.bad > p.requests)
      continue;
    bad += p.bad;
    requests += p.requests;
    ++members;
  }
  // Where no errors are expected, Pearson's statistic says nothing.
  if (members < 2 || bad < 1 || bad >= requests) return;
  const double rate = bad / requests;
  for (const auto& p : parts) {
    if (!std::isfinite(p.bad) || !std::isfinite(p.requests) || p.bad < 0 || p.requests <= 0 ||
        p.bad > p.requests)
      continue;
    const double gap = p.bad - p.requests * rate;
    pearson_ += gap * gap / (p.requests * rate * (1 - rate));
  }
  degrees_ += members - 1;
}

double Dispersion::estimate() const { return degrees_ > 0 ? pearson_ / degrees_ : 1; }

double Dispersion::phi() const {
  if (degrees_ < kMinDispersionDegrees) return 1;
  return std::max(1.0, pearson_ / chi_squared_quantile(0.10, degrees_));
}

} // namespace coalmine::judge
