// Looks at the telemetry of rollouts, on a pool of their own.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>

#include "base/executor.h"
#include "base/self_metrics.h"
#include "judge/judge.h"
#include "rollout/control/control_thread.h"
#include "rollout/control/controller.h"
#include "rollout/evidence/look.h"
#include "rollout/machine.h"

namespace coalmine::rollout {

// Keeps the judge and the evidence feed of each running rollout and takes looks with them off the
// control thread. Every look is answered by one event::Looked, also when the queue is full.
// Called on the control thread unless said otherwise. Destruction finishes the looks under way.
// deps, control and book outlive it.
class Looks {
 public:
  Looks(const ControllerDeps& deps, const ControlThread& control, CellBook& book);

  void take(const State& state, const effect::TakeLook& look);
  // No look begins after this, and what comes of those under way is not told: their sources may be
  // stopped. Any thread.
  void stop() { stopping_ = true; }
  // Looks under way keep their judge until they end.
  void remove(RolloutId id);
  // CPU time of one look, microseconds, a running average. Any thread.
  std::int64_t cost_us() const { return cost_us_; }

 private:
  // Used by the look under way, else by the control thread: a rollout has one look at a time, and a
  // look that takes long is waited for.
  struct Slot {
    std::size_t step = 0;
    std::string canary_version; // that the feed and the metrics filter by
    std::string stable_version;
    std::unique_ptr<judge::Judge> judge;
    std::unique_ptr<EvidenceFeed> feed;    // for a judge that takes cells, and for what is heard
    std::unique_ptr<MetricReader> metrics; // for a judge that takes no cells
  };

  std::shared_ptr<Slot> slot_of(const State& state);
  // A feed where the judge needs one or traffic is moved, and feeds can be made; else null.
  std::unique_ptr<EvidenceFeed> make_feed(const State& state, const judge::Judge& judge) const;
  std::unique_ptr<MetricReader> make_metrics(const State& state, const judge::Judge& judge) const;
  // Pool thread.
  LookResult run(const LookRequest& request, Slot& slot, Counter& looks);
  void export_look(RolloutStatus& status, const LookResult& result) const; // through on_look

  // Const after construction.
  const ControllerDeps& deps_;
  const ControlThread& control_;
  CellBook& book_;
  // Control thread only.
  std::map<std::uint64_t, std::shared_ptr<Slot>> slots_; // by rollout
  // Own synchronisation. The pool is last: its tasks use the members above.
  std::atomic<bool> stopping_ = false;
  std::atomic<std::int64_t> cost_us_ = 0;
  Executor pool_;
};

} // namespace coalmine::rollout
