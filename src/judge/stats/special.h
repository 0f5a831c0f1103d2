// Functions of mathematical statistics, in logarithms where values leave the range of a double.
// Pure; any thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <limits>
#include <span>

namespace coalmine::judge {

inline constexpr double kInfinity = std::numeric_limits<double>::infinity();
inline constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

// ln of the sum of exp(terms). Nothing: minus infinity.
double log_sum_exp(std::span<const double> terms);
// ln of the mean of exp(terms).
double log_mean_exp(std::span<const double> terms);

// ln B(a, b), a and b > 0; accurate too where the arguments are huge and differ much.
double log_beta(double a, double b);
// ln of the integral of t^(a-1) (1-t)^(b-1) over [0, x]: not regularised. Minus infinity for x <=
// 0.
double log_incomplete_beta(double a, double b, double x);

double normal_cdf(double z);
double log_normal_cdf(double z);  // also far in the lower tail, where the cdf itself is 0
double normal_quantile(double p); // minus and plus infinity at 0 and 1; NaN outside

// Quantile of the chi-squared distribution by Wilson and Hilferty's cube, within 1 % from 3 degrees
// of freedom on. Exact values would move the dispersion, and with it verdicts of rollouts under
// way.
double chi_squared_quantile(double p, double degrees);

// ln Gamma, x > 0. std::lgamma writes a global, and Boost's takes several times as long in the
// draws of a simulation.
double log_gamma(double x);

// The root of an increasing function between low and high by bisection: where it turns from
// negative to not negative. An end of the interval when it does not.
template <typename F>
double increasing_root(F&& f, double low, double high, int halvings = 100) {
  for (int i = 0; i < halvings; ++i) {
    const double middle = low + (high - low) / 2;
    if (middle == low || middle == high) break;
    (f(middle) < 0 ? low : high) = middle;
  }
  return low + (high - low) / 2;
}

} // namespace coalmine::judge
