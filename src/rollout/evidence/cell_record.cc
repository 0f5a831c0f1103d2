// SPDX-License-Identifier: Apache-2.0
#include "rollout/evidence/cell_record.h"

#include <optional>
#include <utility>

#include "base/log.h"
#include "rollout/evidence/cell_codec.h"

namespace coalmine::rollout {
namespace {

class JournalCells final : public CellRecord {
 public:
  JournalCells(CellStore& store, RolloutId id, std::function<void(CellBatch)> keep)
      : store_(store), id_(id), keep_(std::move(keep)) {}

  Result<Page> next() override {
    if (!texts_) {
      TRY_ASSIGN(auto kept, store_.kept_texts(id_));
      texts_.emplace(kept.texts);
      memory_ = std::move(kept.memory);
    }
    TRY_ASSIGN(const auto kept, store_.kept_cells(id_, until_ms_));
    Page page;
    page.is_last = kept.is_last;
    for (const auto& row : kept.rows) {
      auto cell = decode_cell(row.cell, *texts_);
      const bool follows = until_ms_ == 0 || row.from_ms == until_ms_;
      if (!follows || !cell || cell->from_ms != row.from_ms || cell->to_ms != row.to_ms) {
        log_warn(
            "cells that the journal kept cannot be used from here on; the telemetry is read "
            "again",
            {{"rollout", std::to_string(id_.value)}, {"from_ms", std::to_string(row.from_ms)}});
        TRY(store_.drop_cells(id_, row.from_ms));
        page.is_last = true;
        break;
      }
      until_ms_ = row.to_ms;
      page.cells.push_back(std::move(*cell));
    }
    if (page.is_last && !memory_.empty()) {
      if (auto memory = decode_memory(memory_)) page.memory = std::move(*memory);
    }
    return page;
  }

  void keep(std::span<const CountCell> cells, const FeedMemory& memory) override {
    if (!texts_) texts_.emplace();
    CellBatch batch{.id = id_, .rows = {}, .texts = {}, .memory = encode_memory(memory)};
    for (const auto& cell : cells)
      batch.rows.push_back({cell.from_ms, cell.to_ms, encode_cell(cell, *texts_)});
    batch.texts = texts_->take_new();
    keep_(std::move(batch));
  }

 private:
  CellStore& store_;
  const RolloutId id_;
  const std::function<void(CellBatch)> keep_;
  std::optional<CellTexts> texts_; // none: not read yet
  std::string memory_;
  std::int64_t until_ms_ = 0; // end of the newest cell that was given out
};

} // namespace

std::unique_ptr<CellRecord> make_cell_record(CellStore& store, RolloutId id,
                                             std::function<void(CellBatch)> keep) {
  return std::make_unique<JournalCells>(store, id, std::move(keep));
}

} // namespace coalmine::rollout
