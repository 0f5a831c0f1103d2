// The real world behind the Core: router calls, looks, journal writes and notifications on pools of
// their own, so that no kind waits behind another; answers come back as posted events.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/executor.h"
#include "base/guarded.h"
#include "notify/notifier.h"
#include "rollout/control/controller.h"
#include "rollout/control/core.h"
#include "rollout/evidence/look.h"

namespace coalmine::rollout {

// Called on the control thread unless said otherwise. Destruction finishes what is under way
// (routers and targets have their own timeouts). journal, deps and post outlive it.
class Effects final : public EffectSink {
 public:
  using Task = std::move_only_function<void()>;
  struct Callbacks {
    std::function<void(Task)> post;                // runs it on the control thread; any thread
    std::function<void(RolloutId, Event)> deliver; // on the control thread
    std::function<void(const State&, const std::vector<LogEntry>&)>
        changed; // on the control thread
  };
  Effects(const ControllerDeps& deps, Journal& journal, Callbacks callbacks);
  ~Effects() override;

  // router may be null: it is made (and made again) when it is needed.
  void add_router(RolloutId id, const route::RouterOptions& options,
                  std::unique_ptr<route::Router> router);
  // reply: once, on the control thread, when the journal has the rollout's lines up to sequence, or
  // has refused them.
  void when_synced(RolloutId id, std::uint64_t sequence, std::function<void(Status)> reply);
  // Takes back records of a rollout that never began.
  void forget(RolloutId id);
  // Messages of an earlier process.
  void enqueue(notify::OutboxEntry entry, const RolloutSpec& spec);
  // Retries what is due.
  void tick();
  std::int64_t due() const;
  std::int64_t look_cost_us() const { return look_cost_us_; } // a running average

  void record(JournalRecord record) override;
  void call_router(const State& state, const effect::CallRouter& call) override;
  void take_look(const State& state, const effect::TakeLook& look) override;
  void changed(const State& state, const std::vector<LogEntry>& log) override;

 private:
  // The router of one rollout, made on first use.
  struct RouterSlot {
    route::RouterOptions options;
    Guarded<std::shared_ptr<route::Router>> router;
  };
  struct JudgeSlot {
    std::size_t step = 0;
    std::unique_ptr<judge::Judge> judge;
    std::unique_ptr<EvidenceFeed> feed; // for a judge that takes cells, and the guard of the split
    std::atomic<bool> busy = false;     // a look that was given up may still be using it
  };
  struct Waiter {
    RolloutId id;
    std::uint64_t sequence = 0;
    std::function<void(Status)> reply;
  };
  struct Pending {
    std::deque<JournalRecord> records;
  };

  Result<std::shared_ptr<route::Router>> router_of(RouterSlot& slot) const;
  event::RouterDone run_router(RouterSlot& slot, const effect::CallRouter& call) const;
  std::shared_ptr<JudgeSlot> judge_of(const State& state);
  void schedule_flush();
  void flush(); // journal thread
  void flushed(const std::vector<std::pair<RolloutId, std::uint64_t>>& written,
               const Status& status);
  void drop_quiet_looks(Pending& pending);

  const ControllerDeps& deps_;
  Journal& journal_;
  const Callbacks callbacks_;
  std::map<std::uint64_t, std::shared_ptr<RouterSlot>> routers_;
  std::map<std::uint64_t, std::shared_ptr<JudgeSlot>> judges_;
  std::map<std::uint64_t, std::shared_ptr<const RolloutSpec>>
      specs_; // whose notifications may still go out
  std::vector<Waiter> waiters_;
  std::set<std::string> queued_early_; // event ids that were queued before the journal had them
  Guarded<Pending> pending_;
  bool flushing_ = false;
  bool journal_broken_ = false;
  std::int64_t flush_at_ = INT64_MAX; // steady; after a failure
  std::atomic<std::int64_t> look_cost_us_ = 0;
  std::atomic<bool> notifying_ = false;
  notify::Notifier notifier_;
  Executor router_pool_;
  Executor look_pool_;
  Executor notify_pool_;
  Executor journal_pool_;
};

// While the disk refuses, looks beyond this many records are left out of the journal.
inline constexpr std::size_t kMaxPendingRecords = 10'000;

} // namespace coalmine::rollout
