// Whether a router can do what a rollout asks of it, before the rollout begins.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>

#include "base/lanes.h"
#include "base/result.h"
#include "rollout/spec.h"
#include "route/router.h"

namespace coalmine::rollout {

// Asks routers on threads of its own, those that are reached at one place in one lane. Safe from
// any thread. Destruction waits a moment for the questions under way; those that hang keep what
// they use.
class RouterProbe {
 public:
  RouterProbe();

  // Waits for at most route::longest_call_ms. failed_precondition: the router lacks what the spec
  // names, or gives the canary most of the traffic already. OK too when it is not there, which may
  // change; then, if it still hangs, router is null.
  Status ask(std::shared_ptr<route::Router>& router, const RolloutSpec& spec);
  // Whoever waits in ask() goes, as unavailable. Any thread.
  void stop();

 private:
  // Where answers are waited for. Shared with questions that outlive this object.
  struct Desk {
    std::mutex mutex;
    std::condition_variable changed;
    bool stopping = false; // guarded by mutex
  };
  const std::shared_ptr<Desk> desk_ = std::make_shared<Desk>();
  Lanes lanes_; // by route::endpoint
};

} // namespace coalmine::rollout
