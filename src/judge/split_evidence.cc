// SPDX-License-Identifier: Apache-2.0
#include "judge/split_evidence.h"

#include <array>

#include "judge/stats/count_process.h"

namespace coalmine::judge {
namespace {

// How firmly the prior of the alternative sits around the asked split.
constexpr double kPriorRequests = 10'000;

} // namespace

double log_split_evidence(double canary_requests, double stable_requests, double asked) {
  const std::array counts = {canary_requests, stable_requests};
  const std::array shares = {asked, 1 - asked};
  const std::array prior = {kPriorRequests * asked, kPriorRequests * (1 - asked)};
  return dirichlet_multinomial_log_bf(counts, shares, prior);
}

} // namespace coalmine::judge
