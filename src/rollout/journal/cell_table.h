// The tables of closed cells in the journal's database. Private to journal.cc; the caller holds its
// mutex.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sqlite3.h>

#include <span>

#include "rollout/journal/cell_store.h"

namespace coalmine::rollout {

// A journal of an older version has none: they are made empty, and the older version does not mind.
Status make_cell_tables(sqlite3* db);
// Within a transaction.
Status write_cells(sqlite3* db, std::span<const CellBatch> batches, const CellLimits& limits);
Result<KeptTexts> read_texts(sqlite3* db, RolloutId id);
Result<KeptRows> read_cells(sqlite3* db, RolloutId id, std::int64_t from_ms);
Status erase_cells(sqlite3* db, RolloutId id, std::int64_t from_ms);
// Within a transaction: erases a little of the cells of rollouts that have ended. False: there are
// none.
Result<bool> erase_ended_cells(sqlite3* db);

} // namespace coalmine::rollout
