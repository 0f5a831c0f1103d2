// What hangs delays itself alone.
// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <future>
#include <memory>
#include <string>

#include "rollout/control/controller_for_test.h"

namespace coalmine::rollout {
namespace {

// Hangs in some of its calls until it is let go, as a router behind a name server that is gone
// does. Shared with calls that outlive the controller.
struct RouterHang {
  std::promise<void> gone;
  std::shared_future<void> opened = gone.get_future().share();
  std::atomic<bool> set = false, panic = false;
  std::atomic<int> hanging = 0;
  std::atomic<double> weight = 0;
  void wait() {
    ++hanging;
    opened.wait();
    --hanging;
  }
};
class HangingRouter final : public route::Router {
 public:
  explicit HangingRouter(std::shared_ptr<RouterHang> hang) : hang_(std::move(hang)) {}
  std::string describe() const override { return "hanging"; }
  Result<route::Applied> set(route::Weight weight) override {
    if (hang_->set) {
      hang_->wait();
      return fail(ErrorCode::deadline_exceeded, "too late");
    }
    hang_->weight = weight.canary;
    return route::Applied{.asked = weight, .applied = weight, .elapsed_ms = 0, .detail = "set"};
  }
  Result<route::Applied> panic() override {
    if (hang_->panic) {
      hang_->wait();
      return fail(ErrorCode::deadline_exceeded, "too late");
    }
    hang_->weight = 0;
    return route::Applied{.asked = {0}, .applied = {0}, .elapsed_ms = 0, .detail = "set"};
  }
  Result<route::Weight> read() override { return route::Weight{hang_->weight}; }

 private:
  const std::shared_ptr<RouterHang> hang_;
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
  static void set_router(RolloutSpec& spec, const std::string& socket) {
    route::HaproxyOptions options;
    options.socket = socket;
    options.timeout_ms = 20;
    spec.router = options;
  }
  void open_both() {
    auto with_hang = deps();
    with_hang.make_router =
        [hang = hang_, alive = alive_](
            const route::RouterOptions& options) -> Result<std::unique_ptr<route::Router>> {
      const bool dead = route::endpoint(options).contains("dead");
      return std::make_unique<HangingRouter>(dead ? hang : alive);
    };
    auto opened = Controller::open({.journal_directory = directory_.string(), .reserve_bytes = 0},
                                   std::move(with_hang), {spec_, other_});
    ASSERT_TRUE(opened) << opened.error().message;
    controller_ = std::move(*opened);
  }
  RolloutId start_of(const std::string& service) {
    const auto id = controller_->start(request_of(service, "2.4.0", "2.3.0"));
    EXPECT_TRUE(id) << (id ? "" : id.error().message);
    return id.value_or(RolloutId{});
  }
  ~HangingRouterTest() override {
    controller_.reset();
    hang_->gone.set_value();
  }

  const std::shared_ptr<RouterHang> hang_ = std::make_shared<RouterHang>();
  const std::shared_ptr<RouterHang> alive_ = std::make_shared<RouterHang>();
  RolloutSpec other_;
};

TEST_F(HangingRouterTest, DelaysItsOwnRolloutOnly) {
  hang_->set = true;
  open_both();
  start_of("checkout-service");
  ASSERT_TRUE(eventually([&] { return hang_->hanging > 0; }));
  const auto other = start_of("cart-service");
  ASSERT_TRUE(reaches(other, Phase::promoted));
}

TEST_F(HangingRouterTest, AHangingCallIsGivenUpAndSaidSo) {
  hang_->set = true;
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
  ASSERT_TRUE(eventually([&] { return hang_->weight > 0; }));
  hang_->set = true; // the next step's
  ASSERT_TRUE(eventually([&] { return hang_->hanging > 0; }));
  EXPECT_TRUE(controller_->command(id, Command::abort, "ops", "it hangs"));
  ASSERT_TRUE(reaches(id, Phase::aborted));
  EXPECT_EQ(hang_->weight, 0);
}

TEST_F(HangingRouterTest, ARollbackEndsWhenThePanicThatHangsWasGivenUp) {
  hang_->panic = true;
  open_both();
  const auto id = start_of("checkout-service");
  ASSERT_TRUE(eventually([&] { return hang_->weight > 0; }));
  EXPECT_TRUE(controller_->command(id, Command::abort, "ops", "it is bad"));
  ASSERT_TRUE(eventually([&] { return hang_->hanging > 0; }));
  hang_->panic = false; // the router answers again; the call that hangs never does
  ASSERT_TRUE(reaches(id, Phase::aborted));
  EXPECT_EQ(hang_->weight, 0);
}

} // namespace
} // namespace coalmine::rollout
