// SPDX-License-Identifier: Apache-2.0
#include "app/store_questions.h"

#include <gtest/gtest.h>

#include <string>

#include "base/hang_for_test.h"

namespace coalmine::app {
namespace {

TEST(StoreQuestions, AStoreThatHangsIsWaitedForOnceAndAskedAgainLater) {
  ManualClock clock;
  const auto hang = std::make_shared<Hang>();
  StoreQuestions questions(clock, std::chrono::milliseconds(20));
  EXPECT_EQ(questions.ask<std::string>([] { return "2.4.0"; }), "2.4.0");
  EXPECT_EQ(questions.ask<int>([hang] {
    hang->wait();
    return 1;
  }),
            std::nullopt);
  EXPECT_EQ(hang->waiting(), 1);
  bool asked = false;
  EXPECT_EQ(questions.ask<int>([&] {
    asked = true;
    return 2;
  }),
            std::nullopt);
  EXPECT_FALSE(asked) << "the same silence is not waited for again";
  clock.advance_ms(30'000);
  EXPECT_EQ(questions.ask<int>([] { return 3; }), 3);
  hang->let_go();
}

TEST(StoreQuestions, AQuestionThatThrowsIsNotAnswered) {
  ManualClock clock;
  StoreQuestions questions(clock);
  EXPECT_EQ(questions.ask<int>([]() -> int { throw std::runtime_error("no"); }), std::nullopt);
}

} // namespace
} // namespace coalmine::app
