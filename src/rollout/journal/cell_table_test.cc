// Closed cells in the real journal: what is written is there after a restart, and bounded.
// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sqlite3.h>
#include <unistd.h>

#include <filesystem>

#include "base/log.h"
#include "base/temp_dir_for_test.h"
#include "rollout/journal/journal.h"

namespace coalmine::rollout::testing {
namespace {

class CellTableTest : public ::testing::Test {
 protected:
  CellTableTest() { set_log_level(LogLevel::off); }

  std::unique_ptr<Journal> open(CellLimits limits = {}) {
    auto journal = open_journal(
        {.directory = directory_.string(), .reserve_bytes = 0, .cells = limits, .sync = true});
    EXPECT_TRUE(journal) << (journal ? "" : journal.error().message);
    return journal ? std::move(*journal) : nullptr;
  }
  void execute(const std::string& sql) const {
    sqlite3* db = nullptr;
    ASSERT_EQ(sqlite3_open((directory_ / "rollouts.db").c_str(), &db), SQLITE_OK);
    EXPECT_EQ(sqlite3_exec(db, sql.c_str(), nullptr, nullptr, nullptr), SQLITE_OK)
        << sqlite3_errmsg(db);
    sqlite3_close(db);
  }
  // A rollout's row; ended_ms 0: running.
  void put_rollout(int id, int ended_ms) const {
    execute(
        fmt::format("insert into rollouts values({},'shop','2','1','progressing',0,0,'',1,{},"
                    "'{{}}','{{}}')",
                    id, ended_ms));
  }
  static CellBatch batch(std::uint64_t id, std::int64_t from, std::size_t rows,
                         std::size_t bytes = 100) {
    CellBatch out{.id = RolloutId{id}, .rows = {}, .texts = {}, .memory = "memory"};
    for (std::size_t i = 0; i < rows; ++i) {
      const auto begin = from + static_cast<std::int64_t>(i) * 15;
      out.rows.push_back({begin, begin + 15, std::string(bytes, '\0') + std::to_string(begin)});
    }
    return out;
  }
  static std::size_t count(Journal& journal, std::uint64_t id) {
    std::size_t out = 0;
    std::int64_t from = 0;
    for (;;) {
      const auto page = journal.kept_cells(RolloutId{id}, from);
      EXPECT_TRUE(page);
      if (!page) return out;
      for (const auto& row : page->rows) {
        EXPECT_GE(row.from_ms, from) << "in order";
        from = row.to_ms;
      }
      out += page->rows.size();
      if (page->is_last) return out;
    }
  }
  static Status keep(Journal& journal, CellBatch batch) {
    return journal.keep_cells(std::vector{std::move(batch)});
  }

  const TempDir temporary_;
  const std::filesystem::path directory_ = temporary_.path();
};

TEST_F(CellTableTest, CellsAreThereAfterARestart) {
  {
    auto journal = open();
    put_rollout(1, 0);
    auto first = batch(1, 0, 700);
    first.texts = {{1, "/pay"}, {2, "pod@1"}};
    ASSERT_TRUE(keep(*journal, first));
    ASSERT_TRUE(keep(*journal, first)) << "the same again changes nothing";
    auto second = batch(1, 10'500, 2);
    second.texts = {{3, "x"}};
    second.memory = "newer";
    ASSERT_TRUE(keep(*journal, second));
  }
  auto journal = open();
  EXPECT_EQ(count(*journal, 1), 702u);
  EXPECT_EQ(count(*journal, 2), 0u);
  const auto texts = journal->kept_texts(RolloutId{1});
  ASSERT_TRUE(texts);
  ASSERT_EQ(texts->texts.size(), 3u);
  EXPECT_EQ(texts->texts[2].text, "x");
  EXPECT_EQ(texts->memory, "newer");
  const auto page = journal->kept_cells(RolloutId{1}, 15);
  ASSERT_TRUE(page);
  EXPECT_FALSE(page->is_last) << "not all at once";
  EXPECT_EQ(page->rows.front().cell, std::string(100, '\0').append("15"));
  ASSERT_TRUE(journal->drop_cells(RolloutId{1}, 30));
  EXPECT_EQ(count(*journal, 1), 2u);
}

TEST_F(CellTableTest, AJournalFromBeforeOpens) {
  {
    auto journal = open();
    put_rollout(1, 0);
  }
  execute("drop table cells; drop table cell_texts; drop table cell_books;");
  auto journal = open();
  EXPECT_EQ(count(*journal, 1), 0u);
  const auto texts = journal->kept_texts(RolloutId{1});
  ASSERT_TRUE(texts);
  EXPECT_EQ(texts->memory, "");
  ASSERT_TRUE(keep(*journal, batch(1, 0, 3)));
  EXPECT_EQ(count(*journal, 1), 3u);
}

TEST_F(CellTableTest, ARolloutKeepsItsBeginning) {
  auto journal = open({.rollout_bytes = 5'000});
  put_rollout(1, 0);
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(keep(*journal, batch(1, i * 150, 10)));
  const auto kept = count(*journal, 1);
  EXPECT_GE(kept, 40u);
  EXPECT_LE(kept, 60u);
  const auto page = journal->kept_cells(RolloutId{1}, 0);
  ASSERT_TRUE(page);
  for (std::size_t i = 0; i < page->rows.size(); ++i)
    EXPECT_EQ(page->rows[i].from_ms, static_cast<std::int64_t>(i) * 15) << "without a gap";
}

TEST_F(CellTableTest, CellsGoWhenTheirRolloutHasEnded) {
  auto journal = open();
  put_rollout(1, 1'000);
  put_rollout(2, 0);
  for (std::uint64_t id = 1; id <= 3; ++id) // 3 is not in the journal any more
    ASSERT_TRUE(keep(*journal, batch(id, 0, 600)));
  EXPECT_TRUE(journal->wants_upkeep());
  while (journal->wants_upkeep()) ASSERT_TRUE(journal->prune());
  EXPECT_EQ(count(*journal, 1), 0u);
  EXPECT_EQ(count(*journal, 3), 0u);
  EXPECT_EQ(journal->kept_texts(RolloutId{1})->memory, "");
  EXPECT_EQ(count(*journal, 2), 600u) << "it may be read by a restart";
}

} // namespace
} // namespace coalmine::rollout::testing
