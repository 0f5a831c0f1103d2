// SPDX-License-Identifier: Apache-2.0
#include "judge/stats/quantile_bounds.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "judge/stats/special.h"

namespace coalmine::judge {

double mixture_rho(double v, double alpha) {
  const double nats = 2 * std::log(1 / alpha);
  return v / (nats + std::log1p(nats));
}

double beta_binomial_log_mixture(const BetaBinomialMixture& mixture, double s, double v) {
  const double g = mixture.g, h = mixture.h;
  const double alpha = mixture.one_sided ? 2 * mixture.alpha_opt : mixture.alpha_opt;
  const double r = std::max(mixture_rho(mixture.v_opt, alpha) - g * h, 1e-3 * g * h);
  const double cut = mixture.one_sided ? h / (g + h) : 1;
  const double ups = (v + h * s) / (h * (g + h));
  const double downs = (v - g * s) / (g * (g + h));
  if (!(ups >= 0) || !(downs >= 0)) return std::numeric_limits<double>::quiet_NaN();
  const double prior_down = r / (g * (g + h)), prior_up = r / (h * (g + h));
  return log_incomplete_beta(prior_down + downs, prior_up + ups, cut) -
         log_incomplete_beta(prior_down, prior_up, cut) - ups * std::log(g / (g + h)) -
         downs * std::log(h / (g + h));
}

QuantileBounds quantile_bounds(std::span<const double> bounds, std::span<const double> counts,
                               double p, double alpha, double t_opt) {
  QuantileBounds out;
  if (counts.size() != bounds.size() + 1 || !(p > 0 && p < 1) || !(alpha > 0 && alpha < 1) ||
      !(t_opt > 0))
    return out;
  double total = 0;
  for (const double n : counts) {
    if (!std::isfinite(n) || n < 0) return out;
    total += n;
  }
  if (total <= 0) return out;
  const double v = total * p * (1 - p), bar = std::log(1 / alpha);
  const BetaBinomialMixture many{
      .v_opt = t_opt * p * (1 - p), .alpha_opt = 0.05, .g = p, .h = 1 - p, .one_sided = true};
  const BetaBinomialMixture few{
      .v_opt = many.v_opt, .alpha_opt = 0.05, .g = 1 - p, .h = p, .one_sided = true};
  double below = 0;
  for (std::size_t i = 0; i < bounds.size(); ++i) {
    below += counts[i];
    // Rounding must not push the sum outside what v steps can reach.
    const double s = std::clamp(below - total * p, -total * p, total * (1 - p));
    if (beta_binomial_log_mixture(few, -s, v) >= bar) out.lower = bounds[i];
    if (!out.upper && beta_binomial_log_mixture(many, s, v) >= bar) out.upper = bounds[i];
  }
  return out;
}

} // namespace coalmine::judge
