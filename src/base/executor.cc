// SPDX-License-Identifier: Apache-2.0
#include "base/executor.h"

#include <pthread.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "base/log.h"

namespace coalmine {

struct Executor::State {
  using Time = std::chrono::steady_clock::time_point;
  struct Worker {
    std::thread thread;
    std::optional<Time> busy_since;
    bool ended = false;
  };

  explicit State(Options o)
      : options(std::move(o)), most(std::max(options.threads, options.most_threads)) {}

  const Options options;
  const std::size_t most; // threads
  std::mutex mutex;
  // Guarded by mutex.
  std::condition_variable wake;
  std::condition_variable ended;
  std::deque<std::move_only_function<void()>> queue;
  bool stopping = false;
  std::vector<Worker> workers;

  std::size_t idle() const {
    return static_cast<std::size_t>(
        std::ranges::count_if(workers, [](const Worker& w) { return !w.busy_since && !w.ended; }));
  }

  // From when on the next task may begin: at once, or when a task that runs has lost its place.
  Time next_begin(Time now) const {
    if (most == options.threads) return now;
    std::vector<Time> fresh;
    for (const auto& worker : workers) {
      if (worker.busy_since && now - *worker.busy_since < options.patience)
        fresh.push_back(*worker.busy_since);
    }
    if (fresh.size() < options.threads) return now;
    const auto oldest = fresh.begin() + static_cast<std::ptrdiff_t>(fresh.size() - options.threads);
    std::ranges::nth_element(fresh, oldest);
    return *oldest + options.patience;
  }

  // True when a task is to be taken; false when the thread shall end.
  bool wait_for_task(std::unique_lock<std::mutex>& lock) {
    for (;;) {
      if (queue.empty()) {
        if (stopping) return false;
        wake.wait(lock);
        continue;
      }
      const auto now = std::chrono::steady_clock::now();
      const auto begin = next_begin(now);
      if (begin <= now) return true;
      wake.wait_until(lock, begin);
    }
  }
};

Executor::Executor(Options options) : state_(std::make_shared<State>(std::move(options))) {
  const std::lock_guard lock(state_->mutex);
  state_->workers.reserve(state_->most);
  // One more than may run, if there may be more: it sees when a task has taken too long.
  const auto at_first = std::min(state_->most, state_->options.threads + 1);
  while (state_->workers.size() < at_first) start_thread(state_);
}

// The mutex is held.
void Executor::start_thread(const std::shared_ptr<State>& state) {
  const auto self = state->workers.size();
  auto& worker = state->workers.emplace_back();
  worker.thread = std::thread([state, self] { work(state, self); });
  pthread_setname_np(worker.thread.native_handle(), state->options.name.substr(0, 15).c_str());
}

Executor::~Executor() {
  std::unique_lock lock(state_->mutex);
  state_->stopping = true;
  state_->wake.notify_all();
  const auto all_ended = [this] {
    return std::ranges::all_of(state_->workers, &State::Worker::ended);
  };
  if (!state_->options.stop_wait) {
    state_->ended.wait(lock, all_ended);
  } else if (!state_->ended.wait_for(lock, *state_->options.stop_wait, all_ended)) {
    log_warn("tasks that hang are left behind",
             {{"pool", state_->options.name},
              {"tasks",
               std::to_string(std::ranges::count(state_->workers, false, &State::Worker::ended))}});
  }
  auto dropped = std::exchange(state_->queue, {});
  for (auto& worker : state_->workers) {
    if (!worker.ended) worker.thread.detach();
  }
  lock.unlock();
  // Those that ended need the mutex no more, and no thread is added while stopping.
  for (auto& worker : state_->workers) {
    if (worker.thread.joinable()) worker.thread.join();
  }
}

bool Executor::try_submit(std::move_only_function<void()> task) {
  {
    const std::lock_guard lock(state_->mutex);
    if (state_->stopping || state_->queue.size() >= state_->options.queue_limit) return false;
    state_->queue.push_back(std::move(task));
  }
  state_->wake.notify_one();
  return true;
}

std::size_t Executor::queued() const {
  const std::lock_guard lock(state_->mutex);
  return state_->queue.size();
}

void Executor::work(const std::shared_ptr<State>& state, std::size_t self) {
  // On Linux this sets the priority of this thread only. A refusal costs fairness and nothing else.
  if (state->options.nice > 0)
    setpriority(PRIO_PROCESS, static_cast<id_t>(gettid()), state->options.nice);
  std::unique_lock lock(state->mutex);
  while (state->wait_for_task(lock)) {
    auto task = std::move(state->queue.front());
    state->queue.pop_front();
    state->workers[self].busy_since = std::chrono::steady_clock::now();
    const bool more = state->workers.size() < state->most && !state->stopping;
    if (more && state->idle() == 0) start_thread(state);
    lock.unlock();
    try {
      task();
    } catch (const std::exception& e) {
      log_error("task threw", {{"pool", state->options.name}, {"what", e.what()}});
    }
    task = nullptr; // what it holds goes before the next one waits
    lock.lock();
    state->workers[self].busy_since.reset();
  }
  state->workers[self].ended = true;
  state->ended.notify_all();
  // One may be waiting until a task loses its place, and nothing is left to take.
  state->wake.notify_all();
}

} // namespace coalmine
