// Evidence from counts of events without a denominator, and from the traffic split. Pure functions.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>

namespace coalmine::judge {

// ln of the Dirichlet-multinomial Bayes factor of counts against the fixed shares theta0 (Lindon
// and Malek, arXiv 2011.03567): an e-process for "the next event falls on arm i with probability
// theta0[i]". alpha: the prior's parameters. With alpha = 10000 theta0 it is the sample ratio test
// of the observed split. NaN when sizes differ or a share is not positive where events were seen.
double dirichlet_multinomial_log_bf(std::span<const double> counts, std::span<const double> theta0,
                                    std::span<const double> alpha);

// The same on two arms with the prior Beta(a, b) cut to shares above theta0: only too many events
// of the canary count. For raw event counts under a fixed split theta0.
double one_sided_beta_log_bf(double x1, double x0, double theta0, double a, double b);

} // namespace coalmine::judge
