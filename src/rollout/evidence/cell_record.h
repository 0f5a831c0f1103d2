// The kept cells of a rollout in the journal.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>

#include "rollout/evidence/cell_book.h"
#include "rollout/journal/cell_store.h"

namespace coalmine::rollout {

// keep: takes what is to be written; quick, called on the thread that calls CellRecord::keep. store
// outlives the record.
std::unique_ptr<CellRecord> make_cell_record(CellStore& store, RolloutId id,
                                             std::function<void(CellBatch)> keep);

} // namespace coalmine::rollout
