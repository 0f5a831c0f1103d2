// Approximate evidence on a difference of means, from count, sum and sum of squares only:
// asymptotic confidence sequences (Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas, arXiv
// 2103.06476) and the mixture SPRT that they invert. The guarantee holds in the limit of many
// observations; verdicts that rest on it are labelled approximate. Pure functions.
// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace coalmine::judge {

// One arm's observations so far.
struct Moments {
  double count = 0;
  double sum = 0;
  double sum_of_squares = 0;
};
double mean_of(const Moments& arm);     // NaN without observations
double variance_of(const Moments& arm); // of one observation, unbiased; NaN below two observations

enum class Sides { one, two };
// ln E against "no difference" (Sides::one: "not larger") for the observed difference of means, its
// variance and the square of the effect worth detecting. 0 when variance or tau2 are not positive
// numbers: no evidence.
double msprt_log_e(double difference, double variance, double tau2, Sides sides);
// Half the width of the two-sided confidence sequence of the difference at level 1 - alpha.
// Infinity when it is not defined.
double asymptotic_halfwidth(double variance, double tau2, double alpha);

// Fewer observations in an arm than this decide nothing.
inline constexpr double kMinAsymptoticCount = 200;

} // namespace coalmine::judge
