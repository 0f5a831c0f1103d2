// SPDX-License-Identifier: Apache-2.0
#include "rollout/journal/pruning.h"

#include <cstdint>
#include <string_view>

#include "rollout/journal/cell_table.h"
#include "rollout/journal/sqlite_statement.h"

namespace coalmine::rollout {
namespace {

constexpr std::string_view kPrune = "erase old rollouts in the journal";
constexpr std::int64_t kEventsAtOnce = 512;

// The rollout that ended longest ago and is not kept; 0: none.
Result<std::int64_t> rollout_to_prune(sqlite3* db, std::size_t ended_kept) {
  Statement count(db, "select count(*) from rollouts where ended_ms<>0");
  TRY_ASSIGN([[maybe_unused]] const bool row, count.next(kPrune));
  if (count.integer(0) <= static_cast<std::int64_t>(ended_kept)) return 0;
  Statement oldest(db,
                   "select id from rollouts where ended_ms<>0 "
                   "and id<(select max(id) from rollouts) and id not in (select id from "
                   "(select id, max(ended_ms) from rollouts where ended_ms<>0 group by service)) "
                   "order by ended_ms, id limit 1");
  TRY_ASSIGN(const bool found, oldest.next(kPrune));
  return found ? oldest.integer(0) : 0;
}

} // namespace

Status make_ended_index(sqlite3* db) {
  Statement make(db, "create index if not exists rollouts_ended on rollouts(ended_ms, service)");
  return make.run("make the journal's index of ended rollouts");
}

// Its events first: what is left of it in between is still counted as a rollout.
Result<bool> prune_a_little(sqlite3* db, std::size_t ended_kept) {
  TRY_ASSIGN(const bool erased_cells, erase_ended_cells(db));
  if (erased_cells) return true;
  TRY_ASSIGN(const auto id, rollout_to_prune(db, ended_kept));
  if (id == 0) return false;
  Statement events(db,
                   "delete from events where rollout_id=?1 and sequence in (select sequence from "
                   "events where rollout_id=?1 order by sequence limit ?2)");
  events.bind(id).bind(kEventsAtOnce);
  TRY(events.run(kPrune));
  if (sqlite3_changes(db) > 0) return true;
  for (const auto* sql :
       {"delete from outbox where rollout_id=?", "delete from rollouts where id=?"}) {
    Statement rest(db, sql);
    rest.bind(id);
    TRY(rest.run(kPrune));
  }
  return true;
}

} // namespace coalmine::rollout
