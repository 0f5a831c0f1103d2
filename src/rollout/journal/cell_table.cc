// SPDX-License-Identifier: Apache-2.0
#include "rollout/journal/cell_table.h"

#include <fmt/format.h>

#include "base/log.h"
#include "rollout/journal/sqlite_statement.h"

namespace coalmine::rollout {
namespace {

constexpr std::string_view kCellSchema = R"sql(
create table if not exists cells(
  rollout_id integer not null,
  from_ms integer not null,       -- Unix milliseconds; each cell begins where the one before ends
  to_ms integer not null,
  cell blob not null);            -- docs/formats.md
create unique index if not exists cells_of_rollout on cells(rollout_id, from_ms);
create table if not exists cell_texts(
  rollout_id integer not null,
  number integer not null,        -- what the cells call it
  text text not null,
  primary key(rollout_id, number)) without rowid;
create table if not exists cell_books(
  rollout_id integer primary key,
  bytes integer not null,         -- of its cells and texts
  memory blob not null);          -- what is known behind the newest cell
)sql";
constexpr std::string_view kKeepCells = "keep cells in the journal";
constexpr std::string_view kReadCells = "read kept cells in the journal";
constexpr std::string_view kEraseCells = "erase kept cells in the journal";
// Read, or erased, at once: others wait meanwhile.
constexpr std::size_t kPageRows = 256;
constexpr std::size_t kPageBytes = std::size_t{4} << 20;
constexpr std::int64_t kErasedAtOnce = 256;

std::int64_t number_of(RolloutId id) { return static_cast<std::int64_t>(id.value); }

// Bytes of a rollout's cells; 0: none.
Result<std::int64_t> bytes_of(sqlite3* db, std::int64_t id) {
  Statement ask(db, "select bytes from cell_books where rollout_id=?");
  ask.bind(id);
  TRY_ASSIGN(const bool row, ask.next(kKeepCells));
  return row ? ask.integer(0) : 0;
}

Status write_batch(sqlite3* db, const CellBatch& batch, std::int64_t before) {
  const auto id = number_of(batch.id);
  std::int64_t bytes = before;
  // "or replace": a commit that failed may have reached the disk after all, and comes again.
  Statement text(db, "insert or replace into cell_texts values(?,?,?)");
  for (const auto& one : batch.texts) {
    text.again();
    text.bind(id).bind(static_cast<std::int64_t>(one.number)).bind(std::string_view(one.text));
    TRY(text.run(kKeepCells));
    bytes += static_cast<std::int64_t>(one.text.size());
  }
  Statement cell(db, "insert or replace into cells values(?,?,?,?)");
  for (const auto& row : batch.rows) {
    cell.again();
    cell.bind(id).bind(row.from_ms).bind(row.to_ms).bind_blob(row.cell);
    TRY(cell.run(kKeepCells));
    bytes += static_cast<std::int64_t>(row.cell.size());
  }
  Statement book(db, "insert or replace into cell_books values(?,?,?)");
  book.bind(id).bind(bytes).bind_blob(batch.memory);
  return book.run(kKeepCells);
}

} // namespace

Status make_cell_tables(sqlite3* db) {
  if (sqlite3_exec(db, kCellSchema.data(), nullptr, nullptr, nullptr) == SQLITE_OK) return {};
  return std::unexpected(sqlite_error(db, "make the journal's tables of cells"));
}

Status write_cells(sqlite3* db, std::span<const CellBatch> batches, const CellLimits& limits) {
  for (const auto& batch : batches) {
    TRY_ASSIGN(const auto before, bytes_of(db, number_of(batch.id)));
    const auto most = static_cast<std::int64_t>(limits.rollout_bytes);
    if (before > most) continue; // what is kept is its beginning, without a gap
    TRY(write_batch(db, batch, before));
    if (before + static_cast<std::int64_t>(batch.bytes()) > most) {
      log_warn(
          "a rollout has as many cells in the journal as are kept; a restart reads later ones "
          "from the telemetry again",
          {{"rollout", std::to_string(batch.id.value)}});
    }
  }
  return {};
}

Result<bool> erase_ended_cells(sqlite3* db) {
  std::int64_t id = 0;
  {
    Statement ended(db,
                    "select rollout_id from cell_books where rollout_id not in "
                    "(select id from rollouts where ended_ms=0) limit 1");
    TRY_ASSIGN(const bool found, ended.next(kEraseCells));
    if (!found) return false;
    id = ended.integer(0);
  }
  Statement erase(db,
                  "delete from cells where rowid in (select rowid from cells where rollout_id=? "
                  "order by from_ms desc limit ?)");
  erase.bind(id).bind(kErasedAtOnce);
  TRY(erase.run(kEraseCells));
  if (sqlite3_changes(db) > 0) return true;
  for (const auto* table : {"cell_texts", "cell_books"}) {
    Statement rest(db, fmt::format("delete from {} where rollout_id=?", table));
    rest.bind(id);
    TRY(rest.run(kEraseCells));
  }
  return true;
}

Result<KeptTexts> read_texts(sqlite3* db, RolloutId id) {
  KeptTexts out;
  Statement ask(db, "select number, text from cell_texts where rollout_id=? order by number");
  ask.bind(number_of(id));
  for (;;) {
    TRY_ASSIGN(const bool row, ask.next(kReadCells));
    if (!row) break;
    out.texts.push_back({static_cast<std::uint64_t>(ask.integer(0)), ask.text(1)});
  }
  Statement book(db, "select memory from cell_books where rollout_id=?");
  book.bind(number_of(id));
  TRY_ASSIGN(const bool row, book.next(kReadCells));
  if (row) out.memory = book.blob(0);
  return out;
}

Result<KeptRows> read_cells(sqlite3* db, RolloutId id, std::int64_t from_ms) {
  Statement ask(db,
                "select from_ms, to_ms, cell from cells where rollout_id=? and from_ms>=? "
                "order by from_ms");
  ask.bind(number_of(id)).bind(from_ms);
  KeptRows out;
  for (std::size_t bytes = 0;;) {
    TRY_ASSIGN(const bool row, ask.next(kReadCells));
    if (!row) return out;
    if (out.rows.size() >= kPageRows || bytes >= kPageBytes) {
      out.is_last = false;
      return out;
    }
    out.rows.push_back({ask.integer(0), ask.integer(1), ask.blob(2)});
    bytes += out.rows.back().cell.size();
  }
}

Status erase_cells(sqlite3* db, RolloutId id, std::int64_t from_ms) {
  Statement erase(db, "delete from cells where rollout_id=? and from_ms>=?");
  erase.bind(number_of(id)).bind(from_ms);
  return erase.run(kEraseCells);
}

} // namespace coalmine::rollout
