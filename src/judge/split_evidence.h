// Evidence that requests are not split between the tracks as asked. Pure; any thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace coalmine::judge {

// ln of an e-value against "each request goes to the canary with probability asked" (0 < asked <
// 1). It may be looked at after every request: it reaches ln(1/alpha) with probability at most
// alpha where the split is as asked.
double log_split_evidence(double canary_requests, double stable_requests, double asked);

} // namespace coalmine::judge
