// The durable record of every rollout: what happened, what was decided, and the notifications that
// are still to be sent.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "notify/outbox.h"
#include "rollout/journal/cell_store.h"
#include "rollout/kept_rollouts.h"
#include "rollout/machine.h"

namespace coalmine::rollout {

// One step of one rollout: written whole or not at all.
struct JournalRecord {
  RolloutId id;
  std::vector<LogEntry> lines; // at least one
  std::string event_json;      // the event that led here (encode_event)
  std::string state_json;      // the state after it (encode_state)
  std::string spec_json;       // only with a rollout's first record
  std::vector<notify::OutboxEntry> outbox;
  // Columns for people.
  std::string service;
  std::string canary_version;
  std::string stable_version;
  std::string phase;
  std::size_t step = 0;
  double weight_asked = 0;
  std::string reason;
  std::int64_t started_ms = 0;
  std::int64_t ended_ms = 0;
};

struct StoredRollout {
  State state;                // with its spec (without secrets)
  SharedVector<LogEntry> log; // lines that have a text, oldest first, at most kMaxLogLines
};

inline constexpr std::size_t kMaxLogLines = 500;

// Thread-safe; every call may block on the disk, so none is made on the control thread. An
// interface so that simulations can keep a journal in memory across simulated crashes.
class Journal : public notify::Outbox, public CellStore {
 public:
  // All records in one transaction, on disk when it returns. On failure nothing was written.
  virtual Status append(std::span<const JournalRecord> records) = 0;
  // Whether append() and prune() should be called although there is nothing to write: space that
  // was reserved for the end of a rollout had to be given back, or there is something to erase. Any
  // thread.
  virtual bool wants_upkeep() const { return false; }
  // Erases a little of what is not kept any more: rollouts that ended long ago, with their events
  // and notices (KeptRollouts::in_journal), and the cells of all that have ended. On failure the
  // next call tries again.
  virtual Status prune() { return {}; }
  // The newest that have ended (KeptRollouts::in_memory), in the order in which they did, and then
  // every rollout that has not.
  virtual Result<std::vector<StoredRollout>> load() = 0;
  virtual Result<std::uint64_t> newest_id() = 0;
  // The recorded events of one rollout (encode_event), in order: what fold() is fed.
  virtual Result<std::vector<std::string>> events(RolloutId id) = 0;
};

struct JournalOptions {
  std::string directory; // made when missing, for the owner only; one process at a time
  std::uint64_t reserve_bytes = 8u << 20;
  CellLimits cells{};
  KeptRollouts kept{};
  bool sync = true; // false: faster and not safe against power loss; for simulations
};
// unavailable: another process has it; failed_precondition: written by a newer version; data_loss:
// damaged.
Result<std::unique_ptr<Journal>> open_journal(JournalOptions options);

} // namespace coalmine::rollout
