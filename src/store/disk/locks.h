// The two locks of a store.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <mutex>

#include "base/fair_shared_mutex.h"

namespace coalmine::store {

// Writers (appends and upkeep) take turns under `write`. State that readers see changes only while
// both locks are held. So a writer may read it under `write` alone, and a reader under `state`,
// shared. `write` is taken first. Nobody waits for the disk while holding `state` exclusively.
struct Locks {
  std::mutex write;
  FairSharedMutex state;
};

} // namespace coalmine::store
