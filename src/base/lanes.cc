// SPDX-License-Identifier: Apache-2.0
#include "base/lanes.h"

#include <cstdint>
#include <utility>

namespace coalmine {

class Lanes::Task {
 public:
  enum class Place { waiting, running, given_up, ended };
  Task(std::string in, std::move_only_function<void()> what)
      : lane(std::move(in)), work(std::move(what)) {}

  const std::string lane;
  std::move_only_function<void()> work; // whoever runs the task
  Place place = Place::waiting;         // guarded by the book
};

namespace {

// The lanes have the limits, the pool has none.
Executor::Options without_limit(Executor::Options pool) {
  pool.queue_limit = SIZE_MAX;
  return pool;
}

} // namespace

Lanes::Lanes(Options options)
    : options_(std::move(options)),
      pool_(without_limit(options_.pool)),
      book_(std::make_shared<Guarded<Book>>(
          Book{.lanes = {}, .pool = &pool_, .per_lane = options_.per_lane})) {}

Lanes::~Lanes() {
  auto dropped = book_->with([](Book& book) {
    book.pool = nullptr;
    std::deque<std::shared_ptr<Task>> out;
    for (auto& [name, lane] : book.lanes) {
      for (auto& task : lane.waiting) out.push_back(std::move(task));
      lane.waiting.clear();
    }
    return out;
  });
}

std::shared_ptr<Lanes::Task> Lanes::try_submit(const std::string& lane,
                                               std::move_only_function<void()> run) {
  auto task = std::make_shared<Task>(lane, std::move(run));
  const bool accepted = book_->with([&](Book& book) {
    auto& own = book.lanes[lane];
    if (own.waiting.size() >= options_.pool.queue_limit) return false;
    if (own.given_up >= options_.most_given_up) return false;
    own.waiting.push_back(task);
    return true;
  });
  if (!accepted) return nullptr;
  begin_next(book_, lane);
  return task;
}

void Lanes::begin_next(const SharedBook& shared, const std::string& lane) {
  shared->with([&](Book& book) {
    const auto it = book.lanes.find(lane);
    if (it == book.lanes.end() || book.pool == nullptr) return;
    auto& own = it->second;
    while (!own.waiting.empty() && own.active < book.per_lane) {
      auto task = own.waiting.front();
      // Refused only while the pool stops.
      if (!book.pool->try_submit([shared, task] { Lanes::run(shared, task); })) return;
      own.waiting.pop_front();
      task->place = Task::Place::running;
      ++own.active;
    }
    if (own.waiting.empty() && own.active == 0 && own.given_up == 0) book.lanes.erase(it);
  });
}

void Lanes::run(const SharedBook& shared, const std::shared_ptr<Task>& task) {
  using Place = Task::Place;
  const bool wanted = shared->with([&](Book&) { return task->place == Place::running; });
  // The lane goes on also if the work throws.
  struct End {
    const SharedBook& shared;
    const std::shared_ptr<Task>& task;
    ~End() {
      shared->with([&](Book& book) {
        auto& own = book.lanes[task->lane];
        --(task->place == Place::given_up ? own.given_up : own.active);
        task->place = Place::ended;
      });
      begin_next(shared, task->lane);
    }
  } const end{shared, task};
  if (wanted) std::exchange(task->work, nullptr)();
}

void Lanes::give_up(const std::shared_ptr<Task>& task) {
  book_->with([&](Book& book) {
    auto& own = book.lanes[task->lane];
    if (task->place == Task::Place::waiting) {
      std::erase(own.waiting, task);
      task->place = Task::Place::ended;
    } else if (task->place == Task::Place::running) {
      --own.active;
      ++own.given_up;
      task->place = Task::Place::given_up;
    }
  });
  begin_next(book_, task->lane);
}

} // namespace coalmine
