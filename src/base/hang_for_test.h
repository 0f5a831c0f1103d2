// What hangs until it is let go: a router behind a name server that is gone, a webhook, a task.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <future>

namespace coalmine {

// Any thread; let_go once. What hangs may outlive the test, so it is shared with it.
class Hang {
 public:
  void wait() const {
    ++waiting_;
    gone_.wait();
    --waiting_;
  }
  void let_go() { promise_.set_value(); }
  int waiting() const { return waiting_; }

 private:
  std::promise<void> promise_;
  std::shared_future<void> gone_ = promise_.get_future().share();
  mutable std::atomic<int> waiting_ = 0;
};

} // namespace coalmine
