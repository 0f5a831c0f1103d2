// The journal's closed cells, as bytes (rollout/evidence/cell_codec.h).
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/ids.h"
#include "base/result.h"

namespace coalmine::rollout {

// A text that cells call by its number.
struct CellText {
  std::uint64_t number = 0;
  std::string text;
};
struct CellRow {
  std::int64_t from_ms = 0;
  std::int64_t to_ms = 0;
  std::string cell; // encode_cell
};

// Further cells of one rollout, with the texts that came new with them, and the memory behind them.
struct CellBatch {
  RolloutId id;
  std::vector<CellRow> rows;
  std::vector<CellText> texts;
  std::string memory; // encode_memory
  std::size_t bytes() const {
    std::size_t sum = memory.size();
    for (const auto& row : rows) sum += row.cell.size();
    for (const auto& one : texts) sum += one.text.size();
    return sum;
  }
};

struct KeptTexts {
  std::vector<CellText> texts;
  std::string memory; // "": none was kept
};
struct KeptRows {
  std::vector<CellRow> rows;
  bool is_last = true;
};

// How much may be kept. A rollout that has more keeps what it has and nothing further.
struct CellLimits {
  std::uint64_t rollout_bytes = std::uint64_t{512} << 20;
};

// Thread-safe; every call may block on the disk.
class CellStore {
 public:
  virtual ~CellStore() = default;
  // All in one transaction. On failure nothing was written. What comes for a rollout that has ended
  // is erased again: only a restart in the middle of one reads cells.
  virtual Status keep_cells(std::span<const CellBatch> batches) = 0;
  virtual Result<KeptTexts> kept_texts(RolloutId id) = 0;
  // The cells that begin at from_ms or later, in order, not more than are read quickly.
  virtual Result<KeptRows> kept_cells(RolloutId id, std::int64_t from_ms) = 0;
  // Erases the cells that begin at from_ms or later.
  virtual Status drop_cells(RolloutId id, std::int64_t from_ms) = 0;
};

} // namespace coalmine::rollout
