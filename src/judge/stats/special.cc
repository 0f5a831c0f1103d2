// SPDX-License-Identifier: Apache-2.0
#include "judge/stats/special.h"

#include <algorithm>
#include <boost/math/special_functions/erf.hpp>
#include <cmath>
#include <numbers>

namespace coalmine::judge {
namespace {

constexpr double kHalfLogTwoPi = 0.91893853320467274178;

// ln Gamma(x) = (x - 1/2) ln x - x + ln(2 pi)/2 + stirling(x), for x >= 10.
double stirling(double x) {
  const double r = 1 / x, s = r * r;
  return r * (1.0 / 12 -
              s * (1.0 / 360 -
                   s * (1.0 / 1260 - s * (1.0 / 1680 - s * (1.0 / 1188 - s * 691.0 / 360360)))));
}

// Lentz's continued fraction of the incomplete beta function (Abramowitz & Stegun 26.5.8).
double beta_fraction(double a, double b, double x) {
  constexpr double kTiny = 1e-300;
  constexpr int kMaxTerms = 2'000'000;
  const auto away_from_zero = [](double v) { return std::abs(v) < kTiny ? kTiny : v; };
  double c = 1;
  double d = 1 / away_from_zero(1 - (a + b) * x / (a + 1));
  double h = d;
  for (int i = 1; i <= kMaxTerms; ++i) {
    const double m = i;
    const double even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
    d = 1 / away_from_zero(1 + even * d);
    c = away_from_zero(1 + even / c);
    h *= d * c;
    const double odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
    d = 1 / away_from_zero(1 + odd * d);
    c = away_from_zero(1 + odd / c);
    h *= d * c;
    if (std::abs(d * c - 1) < 1e-16) break;
  }
  return h;
}

} // namespace

// A term that is smaller by exp(this) has no digit in the sum; most bets are far behind the best,
// and exp is most of the cost of a look.
constexpr double kNoDigit = -45;

double log_sum_exp(std::span<const double> terms) {
  double top = -kInfinity;
  for (const double t : terms) top = std::max(top, t);
  if (!std::isfinite(top)) return top;
  double sum = 0;
  for (const double t : terms) sum += t - top > kNoDigit ? std::exp(t - top) : 0;
  return top + std::log(sum);
}

double log_mean_exp(std::span<const double> terms) {
  return log_sum_exp(terms) - std::log(static_cast<double>(terms.size()));
}

double log_gamma(double x) {
  if (!(x > 0)) return std::numeric_limits<double>::quiet_NaN();
  double shift = 0;
  while (x < 10) { // Gamma(x) = Gamma(x + 1) / x
    shift += std::log(x);
    x += 1;
  }
  return (x - 0.5) * std::log(x) - x + kHalfLogTwoPi + stirling(x) - shift;
}

double log_beta(double a, double b) {
  if (a > b) std::swap(a, b);
  if (b < 10) return log_gamma(a) + log_gamma(b) - log_gamma(a + b);
  // The large logarithms of Gamma(b) and Gamma(a + b) cancel; the remainder is written out.
  const double gap = stirling(b) - stirling(a + b);
  if (a < 10) return log_gamma(a) + a - a * std::log(a + b) - (b - 0.5) * std::log1p(a / b) + gap;
  return -0.5 * std::log(b) + kHalfLogTwoPi + stirling(a) + gap +
         (a - 0.5) * std::log(a / (a + b)) - b * std::log1p(a / b);
}

double log_incomplete_beta(double a, double b, double x) {
  if (x >= 1) return log_beta(a, b);
  if (!(x > 0)) return -kInfinity;
  if (x < (a + 1) / (a + b + 2))
    return a * std::log(x) + b * std::log1p(-x) - std::log(a) + std::log(beta_fraction(a, b, x));
  const double rest =
      b * std::log1p(-x) + a * std::log(x) - std::log(b) + std::log(beta_fraction(b, a, 1 - x));
  const double whole = log_beta(a, b);
  return whole + std::log1p(-std::exp(std::min(0.0, rest - whole)));
}

double normal_cdf(double z) { return 0.5 * std::erfc(-z / std::numbers::sqrt2); }

double log_normal_cdf(double z) {
  if (z > -30) return std::log(normal_cdf(z));
  // Asymptotic series of Mills' ratio.
  const double s = 1 / (z * z);
  return -0.5 * z * z - kHalfLogTwoPi - std::log(-z) + std::log1p(-s * (1 - 3 * s * (1 - 5 * s)));
}

double normal_quantile(double p) {
  if (!(p >= 0) || p > 1) return std::numeric_limits<double>::quiet_NaN();
  if (p == 0) return -kInfinity;
  if (p == 1) return kInfinity;
  // No long double: it is slower, and gives no digit that counts here.
  using Policy = boost::math::policies::policy<boost::math::policies::promote_double<false>>;
  return -std::numbers::sqrt2 * boost::math::erfc_inv(2 * p, Policy());
}

double chi_squared_quantile(double p, double degrees) {
  const double s = 2 / (9 * degrees);
  const double cube = 1 - s + normal_quantile(p) * std::sqrt(s);
  return cube <= 0 ? 0 : degrees * cube * cube * cube;
}

} // namespace coalmine::judge
