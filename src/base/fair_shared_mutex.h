// A shared mutex whose writers are not starved by readers.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <mutex>
#include <shared_mutex>

namespace coalmine {

// glibc's lock lets readers in as long as any reader is inside, so that queries could hold up
// ingest without end. Here a waiting writer closes the gate: readers that come later wait for it.
// Use with std::unique_lock and std::shared_lock; not recursive.
class FairSharedMutex {
 public:
  void lock() {
    gate_.lock();
    inner_.lock();
    gate_.unlock();
  }
  void unlock() { inner_.unlock(); }
  void lock_shared() {
    std::lock_guard gate(gate_);
    inner_.lock_shared();
  }
  void unlock_shared() { inner_.unlock_shared(); }

 private:
  std::mutex gate_;
  std::shared_mutex inner_;
};

} // namespace coalmine
