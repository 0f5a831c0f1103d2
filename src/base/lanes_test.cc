// SPDX-License-Identifier: Apache-2.0
#include "base/lanes.h"

#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <memory>
#include <string>
#include <vector>

#include "base/hang_for_test.h"

namespace coalmine {
namespace {

using std::chrono::milliseconds;

Lanes::Options usual() {
  return {.pool = {.name = "test",
                   .threads = 1,
                   .queue_limit = 3,
                   .most_threads = 8,
                   .patience = milliseconds(1)},
          .per_lane = 1,
          .most_given_up = 2};
}

TEST(Executor, WhatHangsMakesRoomForTheNext) {
  auto hang = std::make_shared<Hang>();
  Executor pool({.name = "test",
                 .threads = 1,
                 .queue_limit = 10,
                 .most_threads = 3,
                 .patience = milliseconds(1)});
  std::promise<void> done;
  ASSERT_TRUE(pool.try_submit([hang] { hang->wait(); }));
  ASSERT_TRUE(pool.try_submit([hang] { hang->wait(); }));
  ASSERT_TRUE(pool.try_submit([&] { done.set_value(); }));
  done.get_future().wait();
  hang->let_go();
}

TEST(Executor, NoMoreThreadsThanAskedForWhileTasksAreQuick) {
  std::atomic<int> running = 0, most = 0, ran = 0;
  {
    Executor pool({.name = "test",
                   .threads = 2,
                   .queue_limit = 1000,
                   .most_threads = 8,
                   .patience = std::chrono::hours(1)});
    for (int i = 0; i < 200; ++i) {
      ASSERT_TRUE(pool.try_submit([&] {
        const int now = ++running;
        for (int seen = most; seen < now && !most.compare_exchange_weak(seen, now);) {
        }
        ++ran;
        --running;
      }));
    }
  }
  EXPECT_EQ(ran, 200);
  EXPECT_LE(most, 2);
}

TEST(Executor, StoppingDoesNotWaitForTheDead) {
  auto hang = std::make_shared<Hang>();
  auto ended = std::make_shared<std::promise<void>>();
  auto late = ended->get_future();
  {
    Executor pool({.name = "test", .threads = 1, .queue_limit = 10, .stop_wait = milliseconds(10)});
    std::promise<void> begun;
    ASSERT_TRUE(pool.try_submit([hang, ended, &begun] {
      begun.set_value();
      hang->wait();
      ended->set_value();
    }));
    begun.get_future().wait();
    ASSERT_TRUE(pool.try_submit([] { ADD_FAILURE() << "it waited for the one that hangs"; }));
  }
  hang->let_go();
  late.wait(); // the thread that was left behind ends in peace
}

TEST(Lanes, WhatHangsDelaysItsOwnLane) {
  auto hang = std::make_shared<Hang>();
  Lanes lanes(usual());
  ASSERT_NE(lanes.try_submit("dead", [hang] { hang->wait(); }), nullptr);
  std::atomic<bool> behind = false;
  ASSERT_NE(lanes.try_submit("dead", [&] { behind = true; }), nullptr);
  for (int i = 0; i < 20; ++i) {
    std::promise<void> done;
    ASSERT_NE(lanes.try_submit("alive", [&] { done.set_value(); }), nullptr);
    done.get_future().wait();
  }
  EXPECT_FALSE(behind);
  hang->let_go();
}

TEST(Lanes, TasksOfALaneKeepTheirOrder) {
  std::vector<int> order;
  std::promise<void> done;
  Lanes lanes({.pool = {.name = "test", .threads = 4, .queue_limit = 100}, .per_lane = 1});
  for (int i = 0; i < 50; ++i)
    ASSERT_NE(lanes.try_submit("one", [&, i] { order.push_back(i); }), nullptr);
  ASSERT_NE(lanes.try_submit("one", [&] { done.set_value(); }), nullptr);
  done.get_future().wait();
  ASSERT_EQ(order.size(), 50u);
  EXPECT_TRUE(std::ranges::is_sorted(order));
}

TEST(Lanes, AGivenUpTaskMakesRoomAndTooManyFillTheLane) {
  auto hang = std::make_shared<Hang>();
  Lanes lanes(usual());
  for (int i = 0; i < 2; ++i) {
    std::promise<void> begun;
    const auto task = lanes.try_submit("dead", [&begun, hang] {
      begun.set_value();
      hang->wait();
    });
    ASSERT_NE(task, nullptr) << i;
    begun.get_future().wait();
    lanes.give_up(task);
  }
  EXPECT_EQ(lanes.try_submit("dead", [] {}), nullptr) << "two hang already";
  EXPECT_NE(lanes.try_submit("alive", [] {}), nullptr);
  hang->let_go();
}

TEST(Lanes, ATaskThatWaitsAndIsGivenUpNeverRuns) {
  auto hang = std::make_shared<Hang>();
  std::promise<void> done;
  {
    Lanes lanes(usual());
    ASSERT_NE(lanes.try_submit("one", [hang] { hang->wait(); }), nullptr);
    const auto waits = lanes.try_submit("one", [] { ADD_FAILURE() << "it was given up"; });
    ASSERT_NE(waits, nullptr);
    ASSERT_NE(lanes.try_submit("one", [&] { done.set_value(); }), nullptr);
    lanes.give_up(waits);
    hang->let_go();
    done.get_future().wait();
  }
}

TEST(Lanes, AFullLaneRefuses) {
  auto hang = std::make_shared<Hang>();
  Lanes lanes(usual());
  std::promise<void> begun;
  ASSERT_NE(lanes.try_submit("one",
                             [&begun, hang] {
                               begun.set_value();
                               hang->wait();
                             }),
            nullptr);
  begun.get_future().wait();
  int accepted = 0;
  for (int i = 0; i < 6; ++i) accepted += lanes.try_submit("one", [] {}) != nullptr ? 1 : 0;
  EXPECT_EQ(accepted, 3);
  hang->let_go();
}

} // namespace
} // namespace coalmine
