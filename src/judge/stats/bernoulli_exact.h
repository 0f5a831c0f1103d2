// Evidence that the canary's rate is higher, exact for Bernoulli counts: for rates that are not
// small (conversion, the body of a latency distribution), where the Poisson bound of
// linear_margin.h wastes a factor of about 1/(1-p). A safe test of two proportions in the manner of
// Turner, Ly and Grunwald (arXiv 2106.02693), one-sided: stable's rate is estimated from the past,
// the canary's is that with its odds multiplied by a bet, and each cell's factor is the likelihood
// of that pair against their common mean. Pure value; any thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>

#include "judge/stats/linear_margin.h"

namespace coalmine::judge {

inline constexpr double kExactFrom = 0.1; // rates from here on take the Bernoulli process

inline constexpr std::array<double, 12> kOddsBets = {1.05, 1.1, 1.2, 1.35, 1.5, 1.75,
                                                     2,    2.5, 3,   4,    6,   10};

// H0: p1 <= p0 in every cell; both may move with time.
class BernoulliProcess {
 public:
  // Prior knowledge of stable, from before the first cell. It only makes the first bets better.
  BernoulliProcess(double past_bad = 0, double past_requests = 0)
      : sums_{{}, past_bad, past_requests} {}
  // Cells with more bad events than requests are left out.
  void add(const Cell& cell, double phi = 1);
  // Adds a cell and returns what it adds to ln E of each bet.
  std::array<double, kOddsBets.size()> take(const Cell& cell, double phi = 1);
  double log_e() const;

  struct Sums {
    std::array<double, kOddsBets.size()> gain{};
    double past_bad = 0;
    double past_requests = 0;
  };

 private:
  Sums sums_;
};

} // namespace coalmine::judge
