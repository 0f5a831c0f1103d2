// Tasks by lane: what hangs in one lane delays that lane alone.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "base/executor.h"
#include "base/guarded.h"

namespace coalmine {

// Queues in front of an Executor, one for each lane. At most per_lane tasks of a lane are with the
// executor at once; the rest wait in their lane, in order. Safe from any thread.
class Lanes {
 public:
  // A task that was accepted.
  class Task;

  struct Options {
    Executor::Options pool; // queue_limit counts the tasks that wait in one lane
    std::size_t per_lane = 1;
    // Tasks of one lane that were given up and have not ended. With more the lane takes nothing.
    std::size_t most_given_up = 8;
  };

  explicit Lanes(Options options);
  // Drops what waits, then as Executor.
  ~Lanes();
  Lanes(const Lanes&) = delete;
  Lanes& operator=(const Lanes&) = delete;

  // Null: the lane is full.
  [[nodiscard]] std::shared_ptr<Task> try_submit(const std::string& lane,
                                                 std::move_only_function<void()> run);
  // A task that waits is dropped. One that runs goes on and no longer counts: the next task of its
  // lane takes its place. A task that has ended stays so.
  void give_up(const std::shared_ptr<Task>& task);

 private:
  struct Lane {
    std::deque<std::shared_ptr<Task>> waiting;
    std::size_t active = 0; // with the executor and not given up
    std::size_t given_up = 0;
  };
  struct Book {
    std::map<std::string, Lane, std::less<>> lanes; // those with tasks
    Executor* pool = nullptr;                       // null: stopping, nothing begins any more
    std::size_t per_lane = 1;
  };
  using SharedBook = std::shared_ptr<Guarded<Book>>;

  // Hands the next task of the lane over, if one waits and may begin.
  static void begin_next(const SharedBook& shared, const std::string& lane);
  static void run(const SharedBook& shared, const std::shared_ptr<Task>& task);

  const Options options_;
  Executor pool_;
  const SharedBook book_; // shared with tasks that hang, which may outlive this object
};

} // namespace coalmine
