// The real world behind the Core: router calls, looks, journal writes and notifications.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "rollout/control/cell_keeper.h"
#include "rollout/control/control_thread.h"
#include "rollout/control/controller.h"
#include "rollout/control/core.h"
#include "rollout/control/journal_writer.h"
#include "rollout/control/looks.h"
#include "rollout/control/notices.h"
#include "rollout/control/router_calls.h"

namespace coalmine::rollout {

// Wires the four kinds of effects to the Core. Each kind has a pool of its own, so that no kind
// waits behind another; answers come back as events posted to the control thread.
// Called on the control thread unless said otherwise. Destruction finishes what is under way
// (routers and targets have their own timeouts). deps, journal and the callbacks outlive it.
class Effects final : public EffectSink {
 public:
  // Called on the control thread.
  using OnChange = std::function<void(const State&, const SharedVector<LogEntry>&)>;
  using OnForget = std::function<void(RolloutId)>;
  Effects(const ControllerDeps& deps, Journal& journal, ControlThread control, OnChange on_change,
          OnForget on_forget);
  ~Effects() override;

  // router may be null: it is then made on first use.
  void add_router(RolloutId id, const route::RouterOptions& options,
                  std::shared_ptr<route::Router> router);
  // reply: once, on the control thread, when the journal has the rollout's lines up to sequence, or
  // has refused them.
  void when_synced(RolloutId id, std::uint64_t sequence, std::function<void(Status)> reply);
  // Takes back records of a rollout that never began.
  void forget(RolloutId id);
  // Queues a notification of an earlier process.
  void enqueue(notify::OutboxEntry entry, const RolloutSpec& spec);
  // Retries journal writes and notifications that are due, and gives up router calls that hang.
  void tick();
  // Of targets and sources nothing is asked any more, and what they do not answer is as if it had
  // not been asked. Any thread.
  void prepare_stop() {
    notices_.stop();
    looks_.stop();
  }
  // When tick() has something to do, steady milliseconds; INT64_MAX: never.
  std::int64_t due() const { return std::min(journal_.due(), notices_.due()); }
  // Controller's. Any thread.
  std::vector<std::string> troubles() const;
  // CPU time of one look, microseconds, a running average. Any thread.
  std::int64_t look_cost_us() const { return looks_.cost_us(); }

  void record(JournalRecord record) override;
  void call_router(const State& state, const effect::CallRouter& call) override;
  void take_look(const State& state, const effect::TakeLook& look) override;
  void changed(const State& state, const SharedVector<LogEntry>& log) override;
  void forgotten(RolloutId id) override;

 private:
  // Const after construction.
  const ControllerDeps& deps_;
  const ControlThread control_;
  const OnChange on_change_;
  const OnForget on_forget_;
  // Control thread only; each answers through control_. The journal is last: its tries reach the
  // notices.
  RouterCalls routers_;
  CellKeeper cells_;
  Looks looks_;
  Notices notices_;
  JournalWriter journal_;
};

} // namespace coalmine::rollout
