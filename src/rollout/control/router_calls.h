// Calls of traffic routers, off the control thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "base/guarded.h"
#include "base/lanes.h"
#include "base/result.h"
#include "rollout/control/control_thread.h"
#include "rollout/control/controller.h"
#include "rollout/machine.h"

namespace coalmine::rollout {

// Keeps one router for each running rollout and calls it off the control thread. Every call is
// answered by one event::RouterDone, also when it fails, hangs or cannot wait. Routers that are
// reached at one place share a lane, so one that hangs delays its own rollouts only; panic has a
// lane beside it. A call that hangs is given up: it is answered, and its late answer is dropped.
// Called on the control thread. Destruction waits a few seconds for the calls under way; those that
// hang keep what they use. deps and control outlive it.
class RouterCalls {
 public:
  RouterCalls(const ControllerDeps& deps, const ControlThread& control);
  ~RouterCalls();
  RouterCalls(const RouterCalls&) = delete;
  RouterCalls& operator=(const RouterCalls&) = delete;

  // router may be null: it is then made on first use. A router that cannot be made is tried again
  // with the next call.
  void add(RolloutId id, const route::RouterOptions& options,
           std::shared_ptr<route::Router> router);
  // The rollout has a router: add() came before.
  void call(RolloutId id, const effect::CallRouter& call);
  // Calls under way keep their router until they end; those that wait for a thread are not made.
  void remove(RolloutId id);
  // Gives up the calls that hang. To be called at least once a second.
  void tick();

 private:
  // The router of one rollout, made on first use.
  struct Slot {
    // Const after construction.
    route::RouterOptions options;
    MakeRouter make;
    Guarded<std::shared_ptr<route::Router>> router;
    std::atomic<bool> is_removed = false; // calls that still wait are not made
  };

  // A call that has not been answered. The time is not the Clock's: what hangs does so in real
  // time.
  struct Pending {
    RolloutId id;
    effect::CallRouter call;
    std::string endpoint;
    std::int64_t limit_ms = 0;
    std::chrono::steady_clock::time_point give_up_at;
    std::shared_ptr<Lanes::Task> task;
  };
  // How a call gets back; null once this object is gone.
  using Port = Guarded<RouterCalls*>;

  // Lane thread, perhaps after this object is gone.
  static Result<std::shared_ptr<route::Router>> router_of(Slot& slot);
  static event::RouterDone run(Slot& slot, const effect::CallRouter& call);
  // Lane thread.
  void answered(std::uint64_t number, event::RouterDone done);
  // Control thread.
  void deliver(RolloutId id, std::string_view outcome, event::RouterDone done);

  // Const after construction.
  const ControllerDeps& deps_;
  const ControlThread& control_;
  // Control thread only.
  std::map<std::uint64_t, std::shared_ptr<Slot>> slots_; // by rollout
  std::map<std::uint64_t, Pending> pending_;             // by number
  std::uint64_t newest_ = 0;                             // number of a call
  // Own synchronisation.
  const std::shared_ptr<Port> port_ = std::make_shared<Port>(this);
  Lanes lanes_;
};

} // namespace coalmine::rollout
