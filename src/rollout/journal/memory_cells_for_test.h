// Kept cells in memory, for tests: they outlive what is killed around them.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "rollout/journal/cell_store.h"

namespace coalmine::rollout::testing {

class MemoryCells final : public CellStore {
 public:
  bool full = false;
  std::size_t page_rows = 5;
  struct Kept {
    std::map<std::int64_t, CellRow> rows; // by begin
    std::vector<CellText> texts;
    std::string memory;
  };
  std::map<std::uint64_t, Kept> rollouts;

  Status keep_cells(std::span<const CellBatch> batches) override {
    if (full) return fail(ErrorCode::resource_exhausted, "the disk is full");
    for (const auto& batch : batches) {
      auto& kept = rollouts[batch.id.value];
      for (const auto& row : batch.rows) kept.rows[row.from_ms] = row;
      kept.texts.insert(kept.texts.end(), batch.texts.begin(), batch.texts.end());
      kept.memory = batch.memory;
    }
    return {};
  }
  Result<KeptTexts> kept_texts(RolloutId id) override {
    const auto& kept = rollouts[id.value];
    return KeptTexts{kept.texts, kept.memory};
  }
  Result<KeptRows> kept_cells(RolloutId id, std::int64_t from_ms) override {
    const auto& rows = rollouts[id.value].rows;
    KeptRows out;
    for (auto it = rows.lower_bound(from_ms); it != rows.end(); ++it) {
      out.is_last = out.rows.size() < page_rows;
      if (!out.is_last) break;
      out.rows.push_back(it->second);
    }
    return out;
  }
  Status drop_cells(RolloutId id, std::int64_t from_ms) override {
    auto& rows = rollouts[id.value].rows;
    rows.erase(rows.lower_bound(from_ms), rows.end());
    return {};
  }
};

} // namespace coalmine::rollout::testing
