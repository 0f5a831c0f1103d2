// The bytes of closed cells in the journal. Grammar: docs/formats.md, "Cells".
//
// Pure. Texts that come again and again (routes, instances, notes) are numbers in a cell; a
// rollout's texts are kept once, beside its cells.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "rollout/evidence/cell_book.h"
#include "rollout/journal/cell_store.h"
#include "telemetry/cell.h"

namespace coalmine::rollout {

// The texts of one rollout's cells, numbered from 1; 0 is "".
class CellTexts {
 public:
  CellTexts() = default;
  // Numbers may be missing: a crash keeps what was written.
  explicit CellTexts(const std::vector<CellText>& kept);
  CellTexts(CellTexts&&) = default;
  CellTexts& operator=(CellTexts&&) = default;

  std::uint64_t number_of(const std::string& text);       // a new one when it has none
  const std::string* text_of(std::uint64_t number) const; // null: unknown
  // The texts that were numbered since the last call.
  std::vector<CellText> take_new() { return std::exchange(new_, {}); }

 private:
  std::map<std::string, std::uint64_t, std::less<>> numbers_;
  std::vector<const std::string*> texts_; // by number - 1; null: unknown
  std::vector<CellText> new_;
};

// cell: rounded (round_counts).
std::string encode_cell(const CountCell& cell, CellTexts& texts);
// data_loss: damaged, or written by a newer version.
Result<CountCell> decode_cell(std::string_view bytes, const CellTexts& texts);

std::string encode_memory(const FeedMemory& memory);
Result<FeedMemory> decode_memory(std::string_view bytes);

} // namespace coalmine::rollout
