// Confidence sequences of a quantile from bucket counts (Howard and Ramdas, Bernoulli 2022, arXiv
// 1906.09712): for each boundary b the count of values <= b is binomial with F(b), so a
// time-uniform test of "F(b) >= p" and of "F(b) < p" at every boundary bounds the quantile, without
// a union over boundaries. Pure functions.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <span>

namespace coalmine::judge {

// ln of the beta-binomial mixture of a sub-Bernoulli sum s with steps in [-g, h] and intrinsic time
// v (g h a step), tuned to be tightest at v_opt for the level alpha_opt.
struct BetaBinomialMixture {
  double v_opt = 1;
  double alpha_opt = 0.05;
  double g = 0.5;
  double h = 0.5;
  bool one_sided = true;
};
double beta_binomial_log_mixture(const BetaBinomialMixture& mixture, double s, double v);

// Tuning of a normal mixture that is tightest at v for the level alpha (two-sided).
double mixture_rho(double v, double alpha);

// Where the quantile p lies at level 1 - alpha a side: above lower (nothing: no boundary is known
// to be below) and at most upper.
struct QuantileBounds {
  std::optional<double> lower;
  std::optional<double> upper;
};
// bounds: upper edges, ascending; counts: one more, the last of values beyond them all. t_opt:
// observations at which it is tightest.
QuantileBounds quantile_bounds(std::span<const double> bounds, std::span<const double> counts,
                               double p, double alpha, double t_opt);

} // namespace coalmine::judge
