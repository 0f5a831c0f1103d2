// SPDX-License-Identifier: Apache-2.0
#include "rollout/journal/journal.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sqlite3.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <mutex>
#include <utility>

#include "base/log.h"
#include "rollout/journal/cell_table.h"
#include "rollout/journal/codec.h"
#include "rollout/journal/forget_addresses.h"
#include "rollout/journal/pruning.h"
#include "rollout/journal/sqlite_statement.h"

namespace coalmine::rollout {
namespace {

constexpr int kSchemaVersion = 1;
// Slices that one call of prune() erases at most: a few milliseconds each.
constexpr int kPrunedAtOnce = 8;

// The tables, meant to be read by people too (sqlite3 rollouts.db 'select * from events where
// rollout_id = 42').
constexpr std::string_view kSchema = R"sql(
create table rollouts(
  id integer primary key,         -- what every output calls the rollout
  service text not null,
  canary_version text not null,
  stable_version text not null,
  phase text not null,            -- progressing paused rolling_back promoted rolled_back aborted
  step integer not null,          -- from 0
  weight_asked real not null,     -- 0 to 1
  reason text not null,
  started_ms integer not null,    -- Unix milliseconds
  ended_ms integer not null,      -- 0: running
  spec text not null,             -- JSON: the configuration it started with, without secrets
  state text not null);           -- JSON: what a restart goes on from
create table events(
  rollout_id integer not null,
  sequence integer not null,      -- from 1, without gaps
  time_ms integer not null,
  kind text not null,
  text text not null,             -- one sentence; empty for a look that changed nothing
  actor text not null,
  payload text,                   -- JSON: the event; null on further lines of the same event
  primary key(rollout_id, sequence)) without rowid;
create table outbox(
  event_id text primary key,      -- ROLLOUT-SEQUENCE-TARGET
  rollout_id integer not null,
  target integer not null,        -- index into the spec's notify list
  is_signed integer not null,
  body text not null,
  created_ms integer not null,
  attempts integer not null,
  state text not null);           -- waiting delivered given_up
create index outbox_waiting on outbox(state) where state = 'waiting';
)sql";

// An open file descriptor.
class FileHandle {
 public:
  explicit FileHandle(int fd = -1) : fd_(fd) {}
  ~FileHandle() {
    if (fd_ >= 0) ::close(fd_);
  }
  FileHandle(FileHandle&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  FileHandle& operator=(FileHandle&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  int get() const { return fd_; }

 private:
  int fd_;
};

Error system_error(std::string_view what, const std::string& path) {
  return {ErrorCode::unavailable,
          fmt::format("cannot {} {}: {}", what, path, std::strerror(errno))};
}

// The journal in one SQLite database (WAL, synchronous=FULL). Any thread; calls queue behind one
// mutex.
class SqliteJournal final : public Journal {
 public:
  explicit SqliteJournal(JournalOptions options) : options_(std::move(options)) {}
  ~SqliteJournal() override { sqlite3_close_v2(db_); }

  Status open();
  bool wants_upkeep() const override { return reserve_given_back_ || may_prune_; }
  Status prune() override;
  Status append(std::span<const JournalRecord> records) override;
  Result<std::vector<StoredRollout>> load() override;
  Result<std::uint64_t> newest_id() override;
  Result<std::vector<std::string>> events(RolloutId id) override;
  Result<std::vector<notify::OutboxEntry>> undelivered() override;
  Status settle(const std::string& event_id, int attempts, notify::Ending ending) override;
  Status keep_cells(std::span<const CellBatch> batches) override;
  Result<KeptTexts> kept_texts(RolloutId id) override;
  Result<KeptRows> kept_cells(RolloutId id, std::int64_t from_ms) override;
  Status drop_cells(RolloutId id, std::int64_t from_ms) override;

 private:
  std::string file(std::string_view name) const {
    return options_.directory + "/" + std::string(name);
  }
  Status execute(const std::string& sql, std::string_view what);
  Status take_directory();
  Status prepare_schema();
  void keep_reserve();
  void take_reserve_again();
  Status write(std::span<const JournalRecord> records);
  // What may be lost with the power, in a transaction of its own. The caller holds the mutex.
  template <typename Work>
  Status without_sync(std::string_view what, Work work);
  Status write_record(const JournalRecord& record);
  Result<std::vector<LogEntry>> log(std::uint64_t id);

  const JournalOptions options_;
  std::mutex mutex_;
  FileHandle lock_;
  std::atomic<bool> reserve_given_back_ = false;
  std::atomic<bool> may_prune_ = true; // something has ended since there was nothing to erase
  sqlite3* db_ = nullptr;
};

Status SqliteJournal::execute(const std::string& sql, std::string_view what) {
  if (sqlite3_exec(db_, sql.c_str(), nullptr, nullptr, nullptr) == SQLITE_OK) return {};
  return std::unexpected(sqlite_error(db_, what));
}

Status SqliteJournal::take_directory() {
  std::error_code error;
  std::filesystem::create_directories(options_.directory, error);
  if (error) {
    return fail(ErrorCode::unavailable, fmt::format("cannot make the journal directory {}: {}",
                                                    options_.directory, error.message()));
  }
  ::chmod(options_.directory.c_str(), 0700);
  lock_ = FileHandle(::open(file("lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (lock_.get() < 0) return std::unexpected(system_error("open", file("lock")));
  if (::flock(lock_.get(), LOCK_EX | LOCK_NB) != 0) {
    return fail(
        ErrorCode::unavailable,
        fmt::format("the journal in {} is in use by another coalmine; stop it, or give this one a "
                    "directory of its own",
                    options_.directory));
  }
  return {};
}

Status SqliteJournal::open() {
  TRY(take_directory());
  const auto path = file("rollouts.db");
  constexpr int kFlags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
  if (sqlite3_open_v2(path.c_str(), &db_, kFlags, nullptr) != SQLITE_OK)
    return std::unexpected(sqlite_error(db_, "open the journal " + path));
  sqlite3_busy_timeout(db_, 2'000); // an operator's sqlite3 may hold a read lock
  TRY(execute("pragma journal_mode=wal", "open the journal " + path));
  TRY(execute(options_.sync ? "pragma synchronous=full" : "pragma synchronous=off",
              "open the journal " + path));
  TRY(prepare_schema());
  if (const auto forgotten = forget_addresses(db_); !forgotten)
    log_warn("the journal still holds addresses of webhooks", {{"why", forgotten.error().message}});
  TRY(make_cell_tables(db_));
  if (const auto made = make_ended_index(db_); !made) // all is found without it, only slower
    log_warn("the journal has no index of ended rollouts", {{"why", made.error().message}});
  keep_reserve();
  return {};
}

Status SqliteJournal::prepare_schema() {
  std::int64_t version = 0;
  {
    Statement ask(db_, "pragma user_version");
    TRY_ASSIGN(const bool row, ask.next("read the journal's version"));
    if (row) version = ask.integer(0);
  }
  if (version == kSchemaVersion) return {};
  if (version > kSchemaVersion) {
    return fail(ErrorCode::failed_precondition,
                fmt::format("the journal in {} has version {}, this coalmine knows up to {}; use "
                            "the newer coalmine",
                            options_.directory, version, kSchemaVersion));
  }
  TRY(execute("begin immediate", "make the journal's tables"));
  auto made = execute(std::string(kSchema) + fmt::format("pragma user_version={};", kSchemaVersion),
                      "make the journal's tables");
  if (!made) {
    sqlite3_exec(db_, "rollback", nullptr, nullptr, nullptr);
    return made;
  }
  return execute("commit", "make the journal's tables");
}

// A ballast file: given back when the disk is full, so that the end of a rollout can still be
// written.
void SqliteJournal::keep_reserve() {
  if (options_.reserve_bytes == 0) return;
  const auto path = file("reserve");
  const FileHandle reserve(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  const int failed =
      reserve.get() < 0
          ? errno
          : ::posix_fallocate(reserve.get(), 0, static_cast<off_t>(options_.reserve_bytes));
  if (failed != 0)
    log_warn("no space could be reserved for the journal",
             {{"path", path}, {"why", std::strerror(failed)}});
}

// Only when there is space for more than that: on a disk that is still full the next write would
// have to give it back again.
void SqliteJournal::take_reserve_again() {
  std::error_code error;
  const auto space = std::filesystem::space(options_.directory, error);
  if (error || space.available < 2 * options_.reserve_bytes) return;
  reserve_given_back_ = false;
  keep_reserve();
}

Status SqliteJournal::append(std::span<const JournalRecord> records) {
  std::lock_guard lock(mutex_);
  auto status = records.empty() ? Status() : write(records);
  if (status && reserve_given_back_) take_reserve_again();
  if (status || status.error().code == ErrorCode::data_loss) return status;
  if (options_.reserve_bytes == 0 || ::unlink(file("reserve").c_str()) != 0) return status;
  reserve_given_back_ = true;
  log_error("the journal could not be written; its reserved space was given back",
            {{"why", status.error().message}});
  return write(records);
}

Status SqliteJournal::write(std::span<const JournalRecord> records) {
  TRY(execute("begin immediate", "append to the journal"));
  Status status;
  for (const auto& record : records) {
    status = write_record(record);
    if (!status) break;
  }
  if (status) status = execute("commit", "append to the journal");
  if (!status) sqlite3_exec(db_, "rollback", nullptr, nullptr, nullptr);
  if (std::ranges::any_of(records, [](const auto& record) { return record.ended_ms != 0; }))
    may_prune_ = true;
  return status;
}

template <typename Work>
Status SqliteJournal::without_sync(std::string_view what, Work work) {
  TRY(execute("pragma synchronous=normal", what));
  auto status = execute("begin immediate", what);
  if (status) {
    status = work();
    if (status) status = execute("commit", what);
    if (!status) sqlite3_exec(db_, "rollback", nullptr, nullptr, nullptr);
  }
  TRY(execute(options_.sync ? "pragma synchronous=full" : "pragma synchronous=off", what));
  return status;
}

Status SqliteJournal::prune() {
  for (int i = 0; i < kPrunedAtOnce && may_prune_; ++i) {
    std::lock_guard lock(mutex_);
    TRY(without_sync("erase what is not kept in the journal", [this]() -> Status {
      TRY_ASSIGN(may_prune_, prune_a_little(db_, options_.kept.in_journal));
      return {};
    }));
  }
  return {};
}

Status SqliteJournal::write_record(const JournalRecord& r) {
  constexpr std::string_view kWhat = "append to the journal";
  // "or replace": a commit that failed may have reached the disk after all, and the same record
  // comes again.
  const auto id = static_cast<std::int64_t>(r.id.value);
  if (!r.spec_json.empty()) {
    Statement insert(db_, "insert or replace into rollouts values(?,?,?,?,?,?,?,?,?,?,?,?)");
    insert.bind(id).bind(r.service).bind(r.canary_version).bind(r.stable_version).bind(r.phase);
    insert.bind(static_cast<std::int64_t>(r.step))
        .bind(r.weight_asked)
        .bind(r.reason)
        .bind(r.started_ms)
        .bind(r.ended_ms);
    TRY(insert.bind(r.spec_json).bind(r.state_json).run(kWhat));
  } else {
    Statement update(db_,
                     "update rollouts set phase=?, step=?, weight_asked=?, reason=?, ended_ms=?, "
                     "state=? where id=?");
    update.bind(r.phase)
        .bind(static_cast<std::int64_t>(r.step))
        .bind(r.weight_asked)
        .bind(r.reason)
        .bind(r.ended_ms);
    TRY(update.bind(r.state_json).bind(id).run(kWhat));
  }
  bool first = true;
  for (const auto& line : r.lines) {
    Statement insert(db_, "insert or replace into events values(?,?,?,?,?,?,?)");
    insert.bind(id)
        .bind(static_cast<std::int64_t>(line.sequence))
        .bind(line.time_ms)
        .bind(line.kind)
        .bind(line.text);
    insert.bind(line.actor);
    TRY((first ? insert.bind(r.event_json) : insert.bind_null()).run(kWhat));
    first = false;
  }
  for (const auto& entry : r.outbox) {
    Statement insert(db_, "insert or ignore into outbox values(?,?,?,?,?,?,?,'waiting')");
    insert.bind(entry.event_id).bind(id).bind(static_cast<std::int64_t>(entry.target));
    insert.bind(static_cast<std::int64_t>(entry.is_signed ? 1 : 0))
        .bind(entry.body)
        .bind(entry.created_ms);
    TRY(insert.bind(static_cast<std::int64_t>(entry.attempts)).run(kWhat));
  }
  return {};
}

Result<std::vector<LogEntry>> SqliteJournal::log(std::uint64_t id) {
  Statement ask(
      db_,
      "select sequence, time_ms, kind, text, actor from events where rollout_id=? and text<>'' "
      "order by sequence desc limit ?");
  ask.bind(static_cast<std::int64_t>(id)).bind(static_cast<std::int64_t>(kMaxLogLines));
  std::vector<LogEntry> lines;
  for (;;) {
    TRY_ASSIGN(const bool row, ask.next("read the journal"));
    if (!row) break;
    lines.push_back({static_cast<std::uint64_t>(ask.integer(0)), ask.integer(1), ask.text(2),
                     ask.text(3), ask.text(4)});
  }
  std::ranges::reverse(lines);
  return lines;
}

Result<std::vector<StoredRollout>> SqliteJournal::load() {
  std::lock_guard lock(mutex_);
  Statement ask(db_,
                "select id, spec, state from rollouts where ended_ms=0 or id in "
                "(select id from rollouts where ended_ms<>0 order by ended_ms desc, id desc limit "
                "?) or id in (select id from (select id, max(ended_ms) from rollouts where "
                "ended_ms<>0 group by service)) order by ended_ms=0, ended_ms, id");
  ask.bind(static_cast<std::int64_t>(options_.kept.in_memory));
  std::vector<StoredRollout> out;
  for (;;) {
    TRY_ASSIGN(const bool row, ask.next("read the journal"));
    if (!row) break;
    const auto id = static_cast<std::uint64_t>(ask.integer(0));
    auto spec = decode_spec(ask.text(1));
    auto state = decode_state(ask.text(2));
    if (!spec || !state) {
      const auto& why = !spec ? spec.error() : state.error();
      return fail(ErrorCode::data_loss,
                  fmt::format("rollout {} in {}: {}", id, file("rollouts.db"), why.message));
    }
    StoredRollout stored;
    stored.state = std::move(*state);
    stored.state.plan.spec = std::make_shared<const RolloutSpec>(std::move(*spec));
    TRY_ASSIGN(stored.log, log(id));
    out.push_back(std::move(stored));
  }
  return out;
}

Result<std::uint64_t> SqliteJournal::newest_id() {
  std::lock_guard lock(mutex_);
  Statement ask(db_, "select coalesce(max(id), 0) from rollouts");
  TRY_ASSIGN(const bool row, ask.next("read the journal"));
  return row ? static_cast<std::uint64_t>(ask.integer(0)) : 0;
}

Result<std::vector<std::string>> SqliteJournal::events(RolloutId id) {
  std::lock_guard lock(mutex_);
  Statement ask(
      db_,
      "select payload from events where rollout_id=? and payload is not null order by sequence");
  ask.bind(static_cast<std::int64_t>(id.value));
  std::vector<std::string> out;
  for (;;) {
    TRY_ASSIGN(const bool row, ask.next("read the journal"));
    if (!row) return out;
    out.push_back(ask.text(0));
  }
}

Result<std::vector<notify::OutboxEntry>> SqliteJournal::undelivered() {
  std::lock_guard lock(mutex_);
  Statement ask(
      db_,
      "select event_id, rollout_id, target, is_signed, body, created_ms, attempts from outbox "
      "where state='waiting' order by created_ms");
  std::vector<notify::OutboxEntry> out;
  for (;;) {
    TRY_ASSIGN(const bool row, ask.next("read the journal"));
    if (!row) return out;
    out.push_back({.event_id = ask.text(0),
                   .id = RolloutId{static_cast<std::uint64_t>(ask.integer(1))},
                   .target = static_cast<std::size_t>(ask.integer(2)),
                   .is_signed = ask.integer(3) != 0,
                   .body = ask.text(4),
                   .created_ms = ask.integer(5),
                   .attempts = static_cast<int>(ask.integer(6))});
  }
}

Status SqliteJournal::settle(const std::string& event_id, int attempts, notify::Ending ending) {
  std::lock_guard lock(mutex_);
  Statement update(db_, "update outbox set state=?, attempts=? where event_id=?");
  update
      .bind(ending == notify::Ending::given_up ? std::string_view("given_up")
                                               : std::string_view("delivered"))
      .bind(std::int64_t{attempts});
  return update.bind(event_id).run("note a notification in the journal");
}

// Cells are written without waiting for the disk, so that they delay no weight: they survive the
// death of the process, and those that a power failure takes are read from the telemetry again. The
// space reserved for the end of a rollout is not theirs.
Status SqliteJournal::keep_cells(std::span<const CellBatch> batches) {
  std::lock_guard lock(mutex_);
  return without_sync("keep cells in the journal",
                      [&] { return write_cells(db_, batches, options_.cells); });
}

Result<KeptTexts> SqliteJournal::kept_texts(RolloutId id) {
  std::lock_guard lock(mutex_);
  return read_texts(db_, id);
}

Result<KeptRows> SqliteJournal::kept_cells(RolloutId id, std::int64_t from_ms) {
  std::lock_guard lock(mutex_);
  return read_cells(db_, id, from_ms);
}

Status SqliteJournal::drop_cells(RolloutId id, std::int64_t from_ms) {
  std::lock_guard lock(mutex_);
  return erase_cells(db_, id, from_ms);
}

} // namespace

Result<std::unique_ptr<Journal>> open_journal(JournalOptions options) {
  auto journal = std::make_unique<SqliteJournal>(std::move(options));
  TRY(journal->open());
  return Result<std::unique_ptr<Journal>>(std::move(journal));
}

} // namespace coalmine::rollout
