// SPDX-License-Identifier: Apache-2.0
#include "app/store_questions.h"

#include <condition_variable>
#include <exception>
#include <mutex>

#include "base/log.h"

namespace coalmine::app {
namespace {

constexpr std::int64_t kSilenceMs = 30'000;

// Where one answer is waited for. Shared with a question that outlives the wait.
struct Desk {
  std::mutex mutex;
  std::condition_variable changed;
  bool done = false; // guarded by mutex
};

} // namespace

StoreQuestions::StoreQuestions(const Clock& clock, std::chrono::milliseconds patience)
    : clock_(clock),
      patience_(patience),
      lanes_({.pool = {.name = "store-questions",
                       .threads = 2,
                       .queue_limit = 16,
                       .most_threads = 8,
                       .patience = std::chrono::milliseconds(100),
                       .stop_wait = std::chrono::milliseconds(1000)},
              .per_lane = 2}) {}

bool StoreQuestions::run(std::function<void()> question) {
  if (clock_.steady_ms() < silent_until_ms_) return false;
  const auto desk = std::make_shared<Desk>();
  const auto task = lanes_.try_submit("store", [desk, question = std::move(question)] {
    try {
      question();
    } catch (const std::exception& e) {
      log_warn("a question to the telemetry store failed", {{"what", e.what()}});
    }
    const std::lock_guard lock(desk->mutex);
    desk->done = true;
    desk->changed.notify_all();
  });
  if (task == nullptr) return false;
  std::unique_lock lock(desk->mutex);
  if (desk->changed.wait_for(lock, patience_, [&] { return desk->done; })) return true;
  lock.unlock();
  lanes_.give_up(task);
  silent_until_ms_ = clock_.steady_ms() + kSilenceMs;
  return false;
}

} // namespace coalmine::app
