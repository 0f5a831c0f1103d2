// What a Core remembers stays as large as what is kept, however many rollouts come and go.
// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "rollout/control/controller_for_test.h"
#include "rollout/control/core.h"

namespace coalmine::rollout {
namespace {

// Every effect is lost but what has changed and what is forgotten.
class Listener final : public EffectSink {
 public:
  std::set<std::uint64_t> known;
  std::vector<std::uint64_t> gone;
  void record(JournalRecord) override {}
  void call_router(const State&, const effect::CallRouter&) override {}
  void take_look(const State&, const effect::TakeLook&) override {}
  void changed(const State& state, const SharedVector<LogEntry>&) override {
    known.insert(state.plan.id.value);
  }
  void forgotten(RolloutId id) override {
    known.erase(id.value);
    gone.push_back(id.value);
  }
};

class CoreMemoryTest : public ::testing::Test {
 protected:
  static constexpr std::size_t kKept = 20;
  void start(std::uint64_t id, const std::string& service) {
    core_.start({RolloutId{id}, std::make_shared<const RolloutSpec>(default_spec(service)),
                 fmt::format("2.{}.0", id), fmt::format("1.{}.0", id), "test"});
  }
  void end(std::uint64_t id) {
    ASSERT_TRUE(core_.command(RolloutId{id}, {Command::abandon, "test", "its router is gone"}));
    ASSERT_TRUE(core_.find(RolloutId{id}) != nullptr) << "whoever asked can see it";
  }

  ManualClock clock_;
  Listener sink_;
  Core core_{clock_, sink_, kKept};
};

TEST_F(CoreMemoryTest, ThousandsOfRolloutsLeaveTheNewest) {
  start(1, "running");
  start(2, "seldom-released");
  end(2);
  for (std::uint64_t id = 3; id <= 3'000; ++id) {
    clock_.advance_ms(20'000);
    start(id, fmt::format("service-{}", id % 3));
    end(id);
    core_.deliver(RolloutId{id}, event::Noted{"notify", "told the team"});
    ASSERT_LE(core_.size(), kKept + 1);
    ASSERT_EQ(sink_.known.size(), core_.size());
  }
  EXPECT_EQ(sink_.gone.size(), 2'999 - kKept);
  EXPECT_NE(core_.find(RolloutId{1}), nullptr) << "it runs";
  EXPECT_NE(core_.find(RolloutId{2}), nullptr) << "the last one of its service";
  EXPECT_EQ(core_.find(RolloutId{2'981}), nullptr);
  EXPECT_NE(core_.find(RolloutId{2'982}), nullptr);
  core_.deliver(RolloutId{3}, event::Noted{"notify", "a late answer"});
  EXPECT_EQ(core_.command(RolloutId{3}, {Command::abort, "test", ""}).error().code,
            ErrorCode::not_found);
  EXPECT_EQ(core_.size(), kKept + 1);
}

// A clock that is set back makes what ends now look older than what ended before.
TEST_F(CoreMemoryTest, WhatHasJustEndedIsNeverForgotten) {
  for (std::uint64_t id = 1; id <= 100; ++id) {
    clock_.set_wall_ms(1'000'000'000 - static_cast<std::int64_t>(id) * 1'000);
    start(id, "shop");
    end(id);
  }
  EXPECT_EQ(core_.size(), kKept);
}

TEST_F(CoreMemoryTest, ManyServicesKeepTheirLastOne) {
  for (std::uint64_t id = 1; id <= 1'000; ++id) {
    start(id, fmt::format("service-{}", id % 50));
    end(id);
  }
  EXPECT_EQ(core_.size(), 50u);
}

// With threads and a journal: what is shown, and what is on disk.
TEST_F(ControllerTest, RolloutsThatEndedLongAgoAreForgotten) {
  controller_.reset();
  spec_.steps[0].analyze_ms = 3'600'000;
  ControllerOptions options{.journal_directory = directory_.string(), .reserve_bytes = 0};
  options.kept = {.in_memory = 4, .in_journal = 8};
  auto opened = Controller::open(options, deps(), {spec_});
  ASSERT_TRUE(opened) << opened.error().message;
  controller_ = std::move(*opened);
  RolloutId last;
  for (int i = 0; i < 20; ++i) {
    last = start();
    ASSERT_TRUE(controller_->command(last, Command::abort, "me", "enough"));
    ASSERT_TRUE(eventually([&] { return controller_->get(last)->phase == Phase::aborted; }));
  }
  ASSERT_EQ(controller_->list().size(), 4u);
  EXPECT_EQ(controller_->list().front()->id.value, last.value);
  EXPECT_FALSE(controller_->get(RolloutId{last.value - 4}).has_value());
  EXPECT_EQ(controller_->command(RolloutId{1}, Command::pause, "me", "").error().code,
            ErrorCode::not_found);
  opened = Controller::open(options, deps(), {spec_});
  EXPECT_FALSE(opened) << "one process at a time";
  controller_.reset();
  opened = Controller::open(options, deps(), {spec_});
  ASSERT_TRUE(opened) << opened.error().message;
  controller_ = std::move(*opened);
  EXPECT_EQ(controller_->list().size(), 4u);
  EXPECT_EQ(start().value, last.value + 1);
}

} // namespace
} // namespace coalmine::rollout
