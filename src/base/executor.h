// A bounded pool of worker threads.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace coalmine {

// Runs tasks in the order given, each on one of N threads. try_submit is safe from any thread and
// never blocks: a full queue refuses, so that the caller can tell its client to come back later.
// Destruction finishes every accepted task, then joins.
class Executor {
 public:
  struct Options {
    std::string name; // shown by the operating system, at most 15 characters
    std::size_t threads = 1;
    std::size_t queue_limit = 1024; // tasks waiting, not those running
    int nice = 0; // above 0: the operating system prefers other threads of this process
  };

  explicit Executor(Options options);
  ~Executor();
  Executor(const Executor&) = delete;
  Executor& operator=(const Executor&) = delete;

  [[nodiscard]] bool try_submit(std::move_only_function<void()> task);
  std::size_t queued() const;

 private:
  void work();

  const Options options_;
  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::move_only_function<void()>> queue_;
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

} // namespace coalmine
