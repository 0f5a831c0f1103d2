// SPDX-License-Identifier: Apache-2.0
#include "rollout/evidence/split_guard.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "judge/suspended.h"

namespace coalmine::rollout {

SplitCheck check_split(double canary_requests, double stable_requests, double asked,
                       const std::string& cause) {
  SplitCheck out;
  const double total = canary_requests + stable_requests;
  if (!(total > 0) || !std::isfinite(total)) return out;
  out.observed = canary_requests / total;
  if (!(asked > 0) || !(asked < 1)) return out;
  const double evidence = judge::log_split_evidence(canary_requests, stable_requests, asked);
  const double off = std::abs(out.observed - asked);
  out.broken =
      evidence >= std::log(1 / kSplitAlpha) && off > kSplitTolerance * std::min(asked, 1 - asked);
  if (out.broken) {
    const std::string why =
        cause.empty() ? "look at the router, sticky sessions, retries and instances without a track"
                      : cause;
    out.sentence = fmt::format(
        "The traffic split is broken: the canary got {:.3g}% of {:.0f} requests where {:.3g}% were "
        "asked for; the tracks are not compared until that is fixed ({})",
        out.observed * 100, total, asked * 100, why);
  }
  return out;
}

} // namespace coalmine::rollout
