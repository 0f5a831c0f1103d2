// SPDX-License-Identifier: Apache-2.0
#include "judge/stats/count_process.h"

#include <cmath>
#include <limits>

#include "judge/stats/special.h"

namespace coalmine::judge {

double dirichlet_multinomial_log_bf(std::span<const double> counts, std::span<const double> theta0,
                                    std::span<const double> alpha) {
  if (counts.size() != theta0.size() || counts.size() != alpha.size() || counts.empty())
    return kNaN;
  // B(alpha + x) / B(alpha) by adding one arm after the other: a chain of beta functions, which
  // stay accurate for huge counts.
  double out = 0, prior = 0, seen = 0;
  for (std::size_t i = 0; i < counts.size(); ++i) {
    if (!(alpha[i] > 0) || !(counts[i] >= 0) || !std::isfinite(counts[i])) return kNaN;
    if (counts[i] > 0) {
      if (!(theta0[i] > 0)) return kNaN;
      out -= counts[i] * std::log(theta0[i]);
    }
    if (i > 0) out += log_beta(prior + seen, alpha[i] + counts[i]) - log_beta(prior, alpha[i]);
    prior += alpha[i];
    seen += counts[i];
  }
  return out;
}

double one_sided_beta_log_bf(double x1, double x0, double theta0, double a, double b) {
  if (!(theta0 > 0) || !(theta0 < 1) || !(a > 0) || !(b > 0) || !(x1 >= 0) || !(x0 >= 0) ||
      !std::isfinite(x1 + x0)) {
    return std::numeric_limits<double>::quiet_NaN();
  }
  return log_incomplete_beta(b + x0, a + x1, 1 - theta0) - log_incomplete_beta(b, a, 1 - theta0) -
         x1 * std::log(theta0) - x0 * std::log1p(-theta0);
}

} // namespace coalmine::judge
