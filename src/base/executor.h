// A bounded pool of worker threads.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>

namespace coalmine {

// Runs tasks in the order given, each on one of N threads. try_submit is safe from any thread and
// never blocks: a full queue refuses, so that the caller can tell its client to come back later.
// Destruction finishes every accepted task, then joins; with stop_wait it gives up those that take
// longer.
class Executor {
 public:
  struct Options {
    std::string name; // shown by the operating system, at most 15 characters
    std::size_t threads = 1;
    std::size_t queue_limit = 1024; // tasks waiting, not those running
    int nice = 0; // above 0: the operating system prefers other threads of this process
    // A task that has run for longer than patience no longer counts as one of `threads`: another
    // thread takes its place, so that what hangs delays itself alone. At most most_threads run in
    // all; 0: no more than `threads`.
    std::size_t most_threads = 0;
    std::chrono::milliseconds patience{1000};
    // How long destruction waits. Then it drops the tasks that wait and leaves the threads of those
    // that run behind, so such tasks must own all that they use. Nothing: as long as it takes.
    std::optional<std::chrono::milliseconds> stop_wait{};
  };

  explicit Executor(Options options);
  ~Executor();
  Executor(const Executor&) = delete;
  Executor& operator=(const Executor&) = delete;

  [[nodiscard]] bool try_submit(std::move_only_function<void()> task);
  std::size_t queued() const;

 private:
  struct State;
  static void start_thread(const std::shared_ptr<State>& state);
  static void work(const std::shared_ptr<State>& state, std::size_t self);

  // Shared with the threads, which may outlive this object.
  const std::shared_ptr<State> state_;
};

} // namespace coalmine
