// What hangs delays itself alone.
// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <future>
#include <memory>
#include <string>

#include "base/hang_for_test.h"
#include "rollout/control/controller_for_test.h"

namespace coalmine::rollout {
namespace {

// Hangs in some of its calls until it is let go, as a router behind a name server that is gone
// does. Shared with calls that outlive the controller.
struct HangingCalls {
  Hang hang;
  std::atomic<bool> set = false, panic = false, read = false; // which calls hang
  std::atomic<double> weight = 0;
};
class HangingRouter final : public route::Router {
 public:
  explicit HangingRouter(std::shared_ptr<HangingCalls> calls) : calls_(std::move(calls)) {}
  std::string describe() const override { return "hanging"; }
  Result<route::Applied> set(route::Weight weight) override {
    if (calls_->set) {
      calls_->hang.wait();
      return fail(ErrorCode::deadline_exceeded, "too late");
    }
    calls_->weight = weight.canary;
    return route::Applied{.asked = weight, .applied = weight, .elapsed_ms = 0, .detail = "set"};
  }
  Result<route::Applied> panic() override {
    if (calls_->panic) {
      calls_->hang.wait();
      return fail(ErrorCode::deadline_exceeded, "too late");
    }
    calls_->weight = 0;
    return route::Applied{.asked = {0}, .applied = {0}, .elapsed_ms = 0, .detail = "set"};
  }
  Result<route::Weight> read() override {
    if (calls_->read) {
      calls_->hang.wait();
      return fail(ErrorCode::deadline_exceeded, "too late");
    }
    return route::Weight{calls_->weight};
  }

 private:
  const std::shared_ptr<HangingCalls> calls_;
};

// A rollout on a router of its own beside one that hangs.
class HangingRouterTest : public ControllerTest {
 protected:
  HangingRouterTest() {
    set_router(spec_, "dead.example:9999");
    other_ = spec_;
    other_.service = "cart-service";
    set_router(other_, "alive.example:9999");
  }
  static void set_router(RolloutSpec& spec, const std::string& socket, int timeout_ms = 20) {
    route::HaproxyOptions options;
    options.socket = socket;
    options.timeout_ms = timeout_ms;
    spec.router = options;
  }
  void open_both() {
    auto hanging = deps();
    hanging.make_router =
        [dead = dead_, alive = alive_](
            const route::RouterOptions& options) -> Result<std::unique_ptr<route::Router>> {
      const bool is_dead = route::endpoint(options).contains("dead");
      return std::make_unique<HangingRouter>(is_dead ? dead : alive);
    };
    open(std::move(hanging), {spec_, other_});
  }
  RolloutId start_of(const std::string& service) {
    const auto id = controller_->start(request_of(service, "2.4.0", "2.3.0"));
    EXPECT_TRUE(id) << (id ? "" : id.error().message);
    return id.value_or(RolloutId{});
  }
  ~HangingRouterTest() override {
    controller_.reset();
    dead_->hang.let_go();
  }

  const std::shared_ptr<HangingCalls> dead_ = std::make_shared<HangingCalls>();
  const std::shared_ptr<HangingCalls> alive_ = std::make_shared<HangingCalls>();
  RolloutSpec other_;
};

TEST_F(HangingRouterTest, DelaysItsOwnRolloutOnly) {
  dead_->set = true;
  open_both();
  start_of("checkout-service");
  ASSERT_TRUE(eventually([&] { return dead_->hang.waiting() > 0; }));
  const auto other = start_of("cart-service");
  ASSERT_TRUE(reaches(other, Phase::promoted));
}

TEST_F(HangingRouterTest, AStartGivesUpTheQuestionThatHangs) {
  dead_->read = true;
  open_both();
  start_of("checkout-service");
  EXPECT_GT(dead_->hang.waiting(), 0);
  const auto other = start_of("cart-service");
  ASSERT_TRUE(reaches(other, Phase::promoted));
}

TEST_F(HangingRouterTest, AStartThatHangsHoldsUpNoOtherAndNoStop) {
  dead_->read = true;
  set_router(spec_, "dead.example:9999", 3'600'000);
  open_both();
  auto hanging = std::async(std::launch::async, [&] {
    return controller_->start(request_of("checkout-service", "2.4.0", "2.3.0"));
  });
  ASSERT_TRUE(eventually([&] { return dead_->hang.waiting() > 0; }));
  ASSERT_TRUE(reaches(start_of("cart-service"), Phase::promoted));
  controller_->prepare_stop();
  const auto stopped = hanging.get();
  ASSERT_FALSE(stopped);
  EXPECT_EQ(stopped.error().code, ErrorCode::unavailable);
}

TEST_F(HangingRouterTest, AHangingCallIsGivenUpAndSaidSo) {
  dead_->set = true;
  open_both();
  const auto id = start_of("checkout-service");
  const std::string said =
      "HAProxy at dead.example:9999 has not answered; the call was given up after 0.1 s";
  ASSERT_TRUE(eventually([&] {
    return std::ranges::any_of(controller_->get(id)->log,
                               [&](const LogEntry& entry) { return entry.text.contains(said); });
  }));
}

TEST_F(HangingRouterTest, PanicPassesASetThatHangs) {
  open_both();
  const auto id = start_of("checkout-service");
  ASSERT_TRUE(eventually([&] { return dead_->weight > 0; }));
  dead_->set = true; // the next step's
  ASSERT_TRUE(eventually([&] { return dead_->hang.waiting() > 0; }));
  EXPECT_TRUE(controller_->command(id, Command::abort, "ops", "it hangs"));
  ASSERT_TRUE(reaches(id, Phase::aborted));
  EXPECT_EQ(dead_->weight, 0);
}

TEST_F(HangingRouterTest, ARollbackEndsWhenThePanicThatHangsWasGivenUp) {
  dead_->panic = true;
  open_both();
  const auto id = start_of("checkout-service");
  ASSERT_TRUE(eventually([&] { return dead_->weight > 0; }));
  EXPECT_TRUE(controller_->command(id, Command::abort, "ops", "it is bad"));
  ASSERT_TRUE(eventually([&] { return dead_->hang.waiting() > 0; }));
  dead_->panic = false; // the router answers again; the call that hangs never does
  ASSERT_TRUE(reaches(id, Phase::aborted));
  EXPECT_EQ(dead_->weight, 0);
}

} // namespace
} // namespace coalmine::rollout
