// SPDX-License-Identifier: Apache-2.0
#include "judge/stats/asymptotic.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

#include "judge/stats/special.h"

namespace coalmine::judge {
namespace {

bool positive(double v) { return std::isfinite(v) && v > 0; }

} // namespace

double mean_of(const Moments& arm) { return arm.count > 0 ? arm.sum / arm.count : kNaN; }

double variance_of(const Moments& arm) {
  if (!(arm.count > 1)) return kNaN;
  return std::max(0.0, (arm.sum_of_squares - arm.sum * arm.sum / arm.count) / (arm.count - 1));
}

double msprt_log_e(double difference, double variance, double tau2, Sides sides) {
  if (!positive(variance) || !positive(tau2) || !std::isfinite(difference)) return 0;
  const double whole = variance + tau2;
  double out =
      0.5 * std::log(variance / whole) + tau2 * difference * difference / (2 * variance * whole);
  if (sides == Sides::one)
    out += std::numbers::ln2 +
           log_normal_cdf(difference * std::sqrt(tau2) / std::sqrt(variance * whole));
  return out;
}

double asymptotic_halfwidth(double variance, double tau2, double alpha) {
  if (!positive(variance) || !positive(tau2) || !positive(alpha)) return kInfinity;
  const double whole = variance + tau2;
  return std::sqrt(variance * whole / tau2 * std::log(whole / (variance * alpha * alpha)));
}

} // namespace coalmine::judge
