// Whether traffic is split as it was asked to be. Pure.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace coalmine::rollout {

// A share that is off by less does not spoil a comparison, and balancers that count connections or
// round weights are off by as much.
inline constexpr double kSplitTolerance = 0.15; // of the smaller of the two shares asked for
inline constexpr double kSplitAlpha = 0.001;

struct SplitCheck {
  bool broken = false;
  double observed = 0;  // the canary's share of the requests; 0 without requests
  std::string sentence; // when broken: what was seen and what was asked, and what to look at
};

// The sample ratio test of the requests of both tracks against the canary's share asked for, with
// the Dirichlet-multinomial e-process (judge/count_process.h, prior 10,000 times the shares): it
// may be asked at every look. Broken: the evidence is beyond 1 / kSplitAlpha and the share is off
// by more than kSplitTolerance. asked of 0 or 1 is no split: never broken. cause: what the router
// knows of it, a clause; "": nothing.
SplitCheck check_split(double canary_requests, double stable_requests, double asked,
                       const std::string& cause = "");

} // namespace coalmine::rollout
