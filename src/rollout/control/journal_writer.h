// Journal writes, in batches on a thread of their own.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <utility>
#include <vector>

#include "base/executor.h"
#include "base/guarded.h"
#include "base/result.h"
#include "rollout/control/control_thread.h"
#include "rollout/control/controller.h"
#include "rollout/journal/journal.h"

namespace coalmine::rollout {

// Appends records in the order they come. A batch that the disk refuses is tried again every
// kRetryMs; meanwhile records wait in memory. Each record of a written batch is answered
// by one event::JournalSynced.
// Called on the control thread unless said otherwise. Destruction finishes the write under way.
// journal, deps and control outlive it.
class JournalWriter {
 public:
  // Called on the control thread after every try to write a batch, before waiters get
  // their reply: the outbox entries of the batch and how the write went.
  using OnTried = std::function<void(const std::vector<notify::OutboxEntry>&, const Status&)>;
  JournalWriter(Journal& journal, const ControllerDeps& deps, const ControlThread& control,
                OnTried on_tried);

  void record(JournalRecord record);
  // reply: once, on the control thread, when the journal has the rollout's lines up to sequence, or
  // has refused them.
  void when_synced(RolloutId id, std::uint64_t sequence, std::function<void(Status)> reply);
  // Takes back the records of a rollout that never began.
  void forget(RolloutId id);

  // Tries again after a failure. now_ms: steady.
  void tick(std::int64_t now_ms);
  // Why the journal cannot be written; "" when it can. Any thread.
  std::string problem() const {
    return problem_.with([](const std::string& problem) { return problem; });
  }
  // When tick() has something to do, steady milliseconds; INT64_MAX: never.
  std::int64_t due() const { return flush_at_; }

 private:
  struct Waiter {
    RolloutId id;
    std::uint64_t sequence = 0;
    std::function<void(Status)> reply;
  };
  struct Pending {
    std::deque<JournalRecord> records;
  };
  // The newest line of each record in a batch.
  using Written = std::vector<std::pair<RolloutId, std::uint64_t>>;

  void schedule_flush();
  void flush(); // pool thread
  void flushed(const Written& written, const Status& status);
  void note_health(const Status& status);
  void drop_quiet_looks(Pending& pending);

  // Const after construction.
  Journal& journal_; // append() on the pool thread only
  const ControllerDeps& deps_;
  const ControlThread& control_;
  const OnTried on_tried_;
  // Control thread only.
  std::vector<Waiter> waiters_;
  bool flushing_ = false;
  bool broken_ = false;
  std::int64_t flush_at_ = INT64_MAX; // steady; after a failure
  // Own synchronisation. The pool is last: its tasks use the members above.
  Guarded<Pending> pending_;
  Guarded<std::string> problem_;
  Executor pool_;
};

// While the disk refuses, looks beyond this many records are left out of the journal.
inline constexpr std::size_t kMaxPendingRecords = 10'000;

} // namespace coalmine::rollout
