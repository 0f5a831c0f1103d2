// Wilson's interval of a share that was counted. Pure.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>

namespace coalmine::lab {

struct ShareInterval {
  double low = 0;
  double high = 1;
};

// 95 %. runs: independent ones.
inline ShareInterval share_interval(double share, double runs) {
  if (!(runs > 0)) return {};
  const double z = 1.959964, n = runs;
  const double middle = (share + z * z / (2 * n)) / (1 + z * z / n);
  const double half =
      z / (1 + z * z / n) * std::sqrt(share * (1 - share) / n + z * z / (4 * n * n));
  return {.low = std::max(0.0, middle - half), .high = std::min(1.0, middle + half)};
}

} // namespace coalmine::lab
