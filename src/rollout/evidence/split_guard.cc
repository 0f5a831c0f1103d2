// SPDX-License-Identifier: Apache-2.0
#include "rollout/evidence/split_guard.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "judge/stats/count_process.h"

namespace coalmine::rollout {
namespace {

constexpr double kPriorRequests = 10'000;

} // namespace

SplitCheck check_split(double canary_requests, double stable_requests, double asked) {
  SplitCheck out;
  const double total = canary_requests + stable_requests;
  if (!(total > 0) || !std::isfinite(total)) return out;
  out.observed = canary_requests / total;
  if (!(asked > 0) || !(asked < 1)) return out;
  const std::array counts = {canary_requests, stable_requests};
  const std::array shares = {asked, 1 - asked};
  const std::array prior = {kPriorRequests * asked, kPriorRequests * (1 - asked)};
  const double evidence = judge::dirichlet_multinomial_log_bf(counts, shares, prior);
  const double off = std::abs(out.observed - asked);
  out.broken =
      evidence >= std::log(1 / kSplitAlpha) && off > kSplitTolerance * std::min(asked, 1 - asked);
  if (out.broken) {
    out.sentence = fmt::format(
        "The traffic split is broken: the canary got {:.3g}% of {:.0f} requests where {:.3g}% were "
        "asked for; the tracks are not "
        "compared until that is mended (look at the router, sticky sessions, retries and instances "
        "without a track)",
        out.observed * 100, total, asked * 100);
  }
  return out;
}

} // namespace coalmine::rollout
