// The journal stays as large as what is kept, however many rollouts come and go.
// SPDX-License-Identifier: Apache-2.0
#include "rollout/journal/pruning.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/log.h"
#include "base/temp_dir_for_test.h"
#include "rollout/journal/codec.h"
#include "rollout/journal/journal.h"
#include "rollout/journal/sqlite_statement.h"

namespace coalmine::rollout::testing {
namespace {

class PruningTest : public ::testing::Test {
 protected:
  PruningTest() { set_log_level(LogLevel::off); }

  void open() {
    journal_.reset();
    auto journal = open_journal({.directory = directory_.string(),
                                 .reserve_bytes = 0,
                                 .kept = {.in_memory = 10, .in_journal = 30},
                                 .sync = false});
    ASSERT_TRUE(journal) << journal.error().message;
    journal_ = std::move(*journal);
  }
  // Row counts of all tables, and the pages of the file.
  std::map<std::string, std::int64_t> sizes() const {
    std::map<std::string, std::int64_t> out;
    sqlite3* db = nullptr;
    EXPECT_EQ(sqlite3_open((directory_ / "rollouts.db").c_str(), &db), SQLITE_OK);
    for (const auto* table :
         {"rollouts", "events", "outbox", "cells", "cell_texts", "cell_books"}) {
      Statement ask(db, fmt::format("select count(*) from {}", table));
      EXPECT_TRUE(ask.next("count").value_or(false));
      out[table] = ask.integer(0);
    }
    {
      Statement pages(db, "pragma page_count");
      EXPECT_TRUE(pages.next("count").value_or(false));
      out["pages"] = pages.integer(0);
    }
    sqlite3_close(db);
    return out;
  }
  static JournalRecord record(std::uint64_t id, std::uint64_t sequence, const std::string& service,
                              std::int64_t ended_ms = 0) {
    State state;
    state.plan.id = RolloutId{id};
    const auto spec = default_spec(service);
    for (const auto& step : spec.steps)
      state.plan.steps.push_back({.spec = step, .started_ms = 0, .ended_ms = 0, .outcome = ""});
    if (ended_ms != 0) state.position.phase = Phase::promoted;
    state.end.ended_ms = ended_ms;
    state.sequence = sequence;
    JournalRecord r;
    r.id = state.plan.id;
    r.lines = {{sequence, 1'000, "look", "a look that saw something", "coalmine"}};
    r.event_json = encode_event(event::Noted{"look", "text"}, {1'000, 1'000});
    r.state_json = encode_state(state);
    if (sequence == 1) r.spec_json = encode_spec(spec);
    r.service = service;
    r.phase = to_string(state.position.phase);
    r.ended_ms = ended_ms;
    r.outbox = {{.event_id = fmt::format("{}-{}-0", id, sequence), .id = r.id, .body = "{}"}};
    return r;
  }
  void append(JournalRecord record) {
    ASSERT_TRUE(journal_->append(std::vector{std::move(record)}));
    ASSERT_TRUE(journal_->prune());
  }
  // A whole life: looks with their cells, and an end.
  void live(std::uint64_t id, const std::string& service) {
    for (std::uint64_t sequence = 1; sequence < 8; ++sequence) {
      append(record(id, sequence, service));
      CellBatch batch{.id = RolloutId{id}, .rows = {}, .texts = {}, .memory = "memory"};
      batch.texts = {{sequence, fmt::format("/route/{}", sequence)}};
      for (std::int64_t i = 0; i < 10; ++i) {
        const auto from_ms = static_cast<std::int64_t>(sequence) * 10 + i;
        batch.rows.push_back({from_ms, from_ms + 1, std::string(300, 'x')});
      }
      ASSERT_TRUE(journal_->keep_cells(std::vector{std::move(batch)}));
    }
    append(record(id, 8, service, static_cast<std::int64_t>(1'000 + id)));
  }
  std::vector<std::uint64_t> loaded() const {
    std::vector<std::uint64_t> out;
    const auto stored = journal_->load();
    EXPECT_TRUE(stored) << (stored ? "" : stored.error().message);
    if (!stored) return out;
    for (const auto& rollout : *stored) out.push_back(rollout.state.plan.id.value);
    return out;
  }

  const TempDir temporary_;
  const std::filesystem::path directory_ = temporary_.path();
  std::unique_ptr<Journal> journal_;
};

TEST_F(PruningTest, HundredsOfRolloutsLeaveNoMoreThanThoseThatAreKept) {
  open();
  append(record(1, 1, "running"));
  live(2, "seldom-released");
  for (std::uint64_t id = 3; id <= 60; ++id) live(id, "shop");
  const auto full = sizes();
  for (std::uint64_t id = 61; id <= 400; ++id) live(id, "shop");
  while (journal_->wants_upkeep()) ASSERT_TRUE(journal_->prune());
  const auto now = sizes();
  EXPECT_EQ(now.at("rollouts"), 31) << "1 runs, 30 have ended";
  EXPECT_EQ(now.at("events"), 1 + 30 * 8);
  EXPECT_EQ(now.at("outbox"), 1 + 30 * 8);
  EXPECT_EQ(now.at("cells"), 0);
  EXPECT_EQ(now.at("cell_texts"), 0);
  EXPECT_EQ(now.at("cell_books"), 0);
  EXPECT_LE(now.at("pages"), full.at("pages") + full.at("pages") / 10);
  std::vector<std::uint64_t> expected = {2};
  for (std::uint64_t id = 391; id <= 400; ++id) expected.push_back(id);
  expected.push_back(1);
  EXPECT_EQ(loaded(), expected) << "the last of each service, the newest, and those that run";
  open();
  EXPECT_EQ(loaded(), expected);
  EXPECT_EQ(journal_->newest_id().value_or(0), 400u);
}

// A person may look after a release for weeks: when it ends, it is the newest that has ended.
TEST_F(PruningTest, WhatCountsIsWhenARolloutEnded) {
  open();
  for (std::uint64_t sequence = 1; sequence < 20; ++sequence)
    append(record(1, sequence, "patient"));
  for (std::uint64_t id = 2; id <= 100; ++id) live(id, "shop");
  append(record(1, 20, "patient", 1'000'000));
  append(record(101, 1, "patient"));
  append(record(101, 2, "patient", 1'000'001));
  while (journal_->wants_upkeep()) ASSERT_TRUE(journal_->prune());
  const auto kept = loaded();
  EXPECT_NE(std::ranges::find(kept, 1u), kept.end());
  EXPECT_EQ(journal_->events(RolloutId{1}).value_or(std::vector<std::string>()).size(), 20u);
}

// Rollouts all ran when the one that began last ended first: its number is never given again.
TEST_F(PruningTest, TheGreatestIdStays) {
  open();
  for (std::uint64_t id = 1; id <= 50; ++id) append(record(id, 1, "shop"));
  append(record(50, 2, "shop", 1'000));
  for (std::uint64_t id = 1; id < 50; ++id)
    append(record(id, 2, "shop", static_cast<std::int64_t>(1'000 + id)));
  while (journal_->wants_upkeep()) ASSERT_TRUE(journal_->prune());
  EXPECT_EQ(sizes().at("rollouts"), 30);
  EXPECT_EQ(journal_->newest_id().value_or(0), 50u);
}

// An older coalmine kept everything: it goes without any further rollout.
TEST_F(PruningTest, WhatIsThereAlreadyGoesBitByBit) {
  open();
  std::vector<JournalRecord> records;
  for (std::uint64_t id = 1; id <= 200; ++id) {
    for (std::uint64_t sequence = 1; sequence < 10; ++sequence)
      records.push_back(record(id, sequence, "shop"));
    records.push_back(record(id, 10, "shop", static_cast<std::int64_t>(1'000 + id)));
  }
  ASSERT_TRUE(journal_->append(records));
  open();
  int calls = 0;
  while (journal_->wants_upkeep()) {
    ASSERT_TRUE(journal_->prune());
    ASSERT_LT(++calls, 1'000);
  }
  EXPECT_GT(calls, 10) << "nobody waits for all of it at once";
  EXPECT_EQ(sizes().at("rollouts"), 30);
  EXPECT_EQ(sizes().at("events"), 300);
}

} // namespace
} // namespace coalmine::rollout::testing
