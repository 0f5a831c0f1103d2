// Keeps the closed cells of rollouts in the journal, on a thread of its own.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <memory>
#include <set>
#include <vector>

#include "base/executor.h"
#include "base/guarded.h"
#include "base/self_metrics.h"
#include "rollout/evidence/cell_book.h"
#include "rollout/journal/cell_store.h"

namespace coalmine::rollout {

// What comes while a batch is being written goes into the next one. Cells that the disk refuses are
// tried again with the next ones; when too many wait, those of a rollout are given up until a
// restart, so that what is kept has no gap. Thread-safe. Destruction finishes the write under way.
// store and metrics outlive it.
class CellKeeper final : public CellBook {
 public:
  CellKeeper(CellStore& store, SelfMetrics& metrics);

  std::unique_ptr<CellRecord> open(RolloutId id) override;
  // Nothing is remembered of this rollout any more.
  void ended(RolloutId id);

 private:
  struct Waiting {
    std::vector<CellBatch> batches;
    std::size_t bytes = 0;
    bool is_writing = false;
    std::set<std::uint64_t> given_up; // rollouts
  };
  void keep(CellBatch batch);
  void write(); // pool thread

  CellStore& store_;
  SelfMetrics& metrics_;
  Guarded<Waiting> waiting_;
  // Last: its tasks use the members above.
  Executor pool_;
};

// Bytes that wait while the disk refuses, and that are written in one transaction.
inline constexpr std::size_t kMostWaitingBytes = std::size_t{16} << 20;
inline constexpr std::size_t kWrittenAtOnce = std::size_t{1} << 20;

} // namespace coalmine::rollout
