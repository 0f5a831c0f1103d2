// What was promoted is taken back, where that can be done.
// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <string>

#include "rollout/control/controller_for_test.h"

namespace coalmine::rollout {
namespace {

using UndoTest = ControllerTest;

TEST_F(UndoTest, APromotedReleaseIsTakenBack) {
  open();
  const auto id = start();
  const auto early = controller_->command(id, Command::undo, "me", "");
  ASSERT_FALSE(early);
  EXPECT_NE(early.error().message.find("abort ends what runs"), std::string::npos)
      << early.error().message;
  ASSERT_TRUE(reaches(id, Phase::promoted));
  router_.weight = 0;
  const auto moved = controller_->command(id, Command::undo, "me", "");
  ASSERT_FALSE(moved) << "somebody has handed the traffic over";
  EXPECT_NE(moved.error().message.find("there is nothing to take back"), std::string::npos)
      << moved.error().message;
  router_.weight = 1;
  ASSERT_TRUE(controller_->command(id, Command::undo, "me", "wrong invoices"));
  ASSERT_TRUE(reaches(id, Phase::rolled_back));
  EXPECT_EQ(router_.weight, 0);
  EXPECT_EQ(controller_->get(id)->reason, "Taken back by me after its promotion: wrong invoices");
  EXPECT_TRUE(controller_->command(id, Command::undo, "me", "")) << "so already";
  const auto next = start();
  ASSERT_TRUE(reaches(next, Phase::promoted));
  const auto last = controller_->start(request_of("checkout-service", "2.5.0", "2.4.0"));
  EXPECT_FALSE(last) << "the canary has all the traffic";
}

// Traffic goes back to a release that is there, and nowhere else.
TEST_F(UndoTest, NothingIsTakenBackToAStableThatIsNotThere) {
  auto with = deps();
  const auto stable = std::make_shared<Guarded<std::string>>();
  stable->with([](auto& version) { version = "2.3.0"; });
  with.versions = [stable](const RolloutSpec&, Track track) {
    return seen_now(track == Track::canary ? "2.4.0"
                                           : stable->with([](const auto& v) { return v; }));
  };
  open(std::move(with), {spec_});
  const auto id = start();
  ASSERT_TRUE(reaches(id, Phase::promoted));
  const auto refused = [&](const std::string& why) {
    const auto status = controller_->command(id, Command::undo, "me", "");
    EXPECT_FALSE(status) << why;
    if (!status) {
      EXPECT_NE(status.error().message.find(why), std::string::npos) << status.error().message;
    }
    EXPECT_EQ(controller_->get(id)->phase, Phase::promoted);
    EXPECT_EQ(router_.weight, 1);
  };
  router_.stable_down = true;
  refused("rollout 1 cannot be taken back: no stable server is up: stable1 DOWN; bring one up");
  router_.stable_down = false;
  router_.down = true;
  refused("the router does not say that stable is there: connection refused");
  router_.down = false;
  stable->with([](auto& version) { version = "2.4.0"; });
  refused("stable reports as version 2.4.0 now, not 2.3.0, so the old release is not there");
  stable->with([](auto& version) { version = "2.3.0"; });
  EXPECT_TRUE(controller_->command(id, Command::undo, "me", ""));
  EXPECT_TRUE(reaches(id, Phase::rolled_back));
}

TEST_F(UndoTest, OnlyTheNewestReleaseIsTakenBack) {
  open();
  const auto id = start();
  ASSERT_TRUE(reaches(id, Phase::promoted));
  router_.weight = 0;
  const auto next = start();
  ASSERT_TRUE(reaches(next, Phase::promoted));
  const auto refused = controller_->command(id, Command::undo, "me", "");
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message.find("came after it"), std::string::npos)
      << refused.error().message;
  EXPECT_EQ(router_.weight, 1);
}

} // namespace
} // namespace coalmine::rollout
