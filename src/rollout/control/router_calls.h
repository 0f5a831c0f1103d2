// Calls of traffic routers, on a pool of their own.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>

#include "base/executor.h"
#include "base/guarded.h"
#include "base/result.h"
#include "rollout/control/control_thread.h"
#include "rollout/control/controller.h"
#include "rollout/machine.h"

namespace coalmine::rollout {

// Keeps one router for each running rollout and calls it off the control thread. Every call is
// answered by one event::RouterDone, also when it fails or the queue is full.
// Called on the control thread. Destruction finishes the calls under way (routers have their own
// timeouts). deps and control outlive it.
class RouterCalls {
 public:
  RouterCalls(const ControllerDeps& deps, const ControlThread& control);

  // router may be null: it is then made on first use. A router that cannot be made is tried again
  // with the next call.
  void add(RolloutId id, const route::RouterOptions& options,
           std::unique_ptr<route::Router> router);
  // The rollout has a router: add() came before.
  void call(RolloutId id, const effect::CallRouter& call);
  // Calls under way keep their router until they end; those that wait for a thread are not made.
  void remove(RolloutId id);

 private:
  // The router of one rollout, made on first use.
  struct Slot {
    route::RouterOptions options; // const after construction
    Guarded<std::shared_ptr<route::Router>> router;
    std::atomic<bool> is_removed = false; // calls that still wait are not made
  };

  // Any thread.
  Result<std::shared_ptr<route::Router>> router_of(Slot& slot) const;
  event::RouterDone run(Slot& slot, const effect::CallRouter& call) const;

  // Const after construction.
  const ControllerDeps& deps_;
  const ControlThread& control_;
  // Control thread only.
  std::map<std::uint64_t, std::shared_ptr<Slot>> slots_; // by rollout
  // Own synchronisation. Last: its tasks use the members above.
  Executor pool_;
};

} // namespace coalmine::rollout
