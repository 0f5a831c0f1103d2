// SPDX-License-Identifier: Apache-2.0
#include "rollout/control/cell_keeper.h"

#include <iterator>
#include <utility>

#include "base/log.h"
#include "rollout/evidence/cell_record.h"

namespace coalmine::rollout {
CellKeeper::CellKeeper(CellStore& store, SelfMetrics& metrics)
    : store_(store), metrics_(metrics), pool_({.name = "cells", .threads = 1, .queue_limit = 16}) {}

std::unique_ptr<CellRecord> CellKeeper::open(RolloutId id) {
  return make_cell_record(store_, id, [this](CellBatch batch) { keep(std::move(batch)); });
}

void CellKeeper::ended(RolloutId id) {
  waiting_.with([&](Waiting& waiting) { waiting.given_up.erase(id.value); });
}

void CellKeeper::keep(CellBatch batch) {
  const auto id = batch.id.value;
  bool gives_up = false;
  const bool starts = waiting_.with([&](Waiting& waiting) {
    if (waiting.given_up.contains(id)) return false;
    const auto bytes = batch.bytes();
    if (waiting.bytes + bytes > kMostWaitingBytes) {
      waiting.given_up.insert(id);
      gives_up = true;
    } else {
      waiting.bytes += bytes;
      waiting.batches.push_back(std::move(batch));
    }
    return !std::exchange(waiting.is_writing, true);
  });
  if (gives_up) {
    log_warn(
        "the journal could not keep a rollout's cells for too long; a restart reads later ones "
        "from the telemetry again",
        {{"rollout", std::to_string(id)}});
  }
  if (!starts || pool_.try_submit([this] { write(); })) return;
  waiting_.with([](Waiting& waiting) { waiting.is_writing = false; });
}

void CellKeeper::write() {
  for (;;) {
    std::vector<CellBatch> batches;
    const bool any = waiting_.with([&](Waiting& waiting) {
      std::size_t bytes = 0;
      auto end = waiting.batches.begin();
      for (; end != waiting.batches.end() && bytes < kWrittenAtOnce; ++end) bytes += end->bytes();
      std::move(waiting.batches.begin(), end, std::back_inserter(batches));
      waiting.batches.erase(waiting.batches.begin(), end);
      if (batches.empty()) waiting.is_writing = false;
      return !batches.empty();
    });
    if (!any) return;
    const auto status = store_.keep_cells(batches);
    waiting_.with([&](Waiting& waiting) {
      if (status) {
        for (const auto& batch : batches) waiting.bytes -= batch.bytes();
        return;
      }
      waiting.batches.insert(waiting.batches.begin(), std::make_move_iterator(batches.begin()),
                             std::make_move_iterator(batches.end()));
      waiting.is_writing = false; // the next cells try again
    });
    if (status) continue;
    metrics_
        .counter("coalmine_journal_cell_errors_total",
                 "Writes of closed cells to the journal that failed.")
        .add();
    return;
  }
}

} // namespace coalmine::rollout
