// A journal in memory that outlives its process.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "rollout/journal/codec.h"
#include "rollout/journal/journal.h"
#include "rollout/journal/memory_cells_for_test.h"

namespace coalmine::rollout::testing {

// What a MemoryJournal leaves behind when its process dies.
struct Disk {
  struct Stored {
    std::string spec;
    std::string state;
    std::vector<std::string> events;
    std::vector<LogEntry> log;
  };
  std::map<std::uint64_t, Stored> rollouts;
  std::map<std::string, notify::OutboxEntry> outbox;
  MemoryCells cells;
  bool full = false;
};

class MemoryJournal final : public Journal {
 public:
  explicit MemoryJournal(Disk& disk) : disk_(disk) {}
  Status append(std::span<const JournalRecord> records) override {
    if (disk_.full) return fail(ErrorCode::resource_exhausted, "the disk is full");
    for (const auto& r : records) {
      auto& stored = disk_.rollouts[r.id.value];
      if (!r.spec_json.empty()) stored.spec = r.spec_json;
      stored.state = r.state_json;
      stored.events.push_back(r.event_json);
      for (const auto& line : r.lines) {
        if (!line.text.empty()) stored.log.push_back(line);
      }
      for (const auto& entry : r.outbox) disk_.outbox.emplace(entry.event_id, entry);
    }
    return {};
  }
  Result<std::vector<StoredRollout>> load() override {
    std::vector<StoredRollout> out;
    for (const auto& [id, stored] : disk_.rollouts) {
      StoredRollout rollout;
      TRY_ASSIGN(rollout.state, decode_state(stored.state));
      TRY_ASSIGN(auto spec, decode_spec(stored.spec));
      rollout.state.plan.spec = std::make_shared<const RolloutSpec>(std::move(spec));
      rollout.log = stored.log;
      out.push_back(std::move(rollout));
    }
    return out;
  }
  Result<std::uint64_t> newest_id() override {
    return disk_.rollouts.empty() ? 0 : disk_.rollouts.rbegin()->first;
  }
  Result<std::vector<std::string>> events(RolloutId id) override {
    return disk_.rollouts[id.value].events;
  }
  Result<std::vector<notify::OutboxEntry>> undelivered() override {
    std::vector<notify::OutboxEntry> out;
    for (const auto& [id, entry] : disk_.outbox) out.push_back(entry);
    return out;
  }
  Status settle(const std::string&, int, notify::Ending) override { return {}; }
  Status keep_cells(std::span<const CellBatch> batches) override {
    if (disk_.full) return fail(ErrorCode::resource_exhausted, "the disk is full");
    return disk_.cells.keep_cells(batches);
  }
  Result<KeptTexts> kept_texts(RolloutId id) override { return disk_.cells.kept_texts(id); }
  Result<KeptRows> kept_cells(RolloutId id, std::int64_t from_ms) override {
    return disk_.cells.kept_cells(id, from_ms);
  }
  Status drop_cells(RolloutId id, std::int64_t from_ms) override {
    return disk_.cells.drop_cells(id, from_ms);
  }

 private:
  Disk& disk_;
};

} // namespace coalmine::rollout::testing
