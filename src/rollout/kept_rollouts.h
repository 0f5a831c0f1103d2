// How many rollouts that have ended are kept.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>

namespace coalmine::rollout {

// Of those that have ended; those that run are all kept. The newest of each service is kept beyond
// this. At least 1.
struct KeptRollouts {
  std::size_t in_memory = 200; // what the API, the page and the CLI show
  std::size_t in_journal = 1000;
};

} // namespace coalmine::rollout
