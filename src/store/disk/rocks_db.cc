// SPDX-License-Identifier: Apache-2.0
#include "store/disk/rocks_db.h"

#include <fmt/format.h>
#include <rocksdb/convenience.h>
#include <rocksdb/db.h>
#include <rocksdb/utilities/checkpoint.h>
#include <rocksdb/write_batch.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <filesystem>
#include <limits>
#include <mutex>
#include <shared_mutex>

#include "base/executor.h"
#include "base/log.h"
#include "store/disk/disk.h"
#include "store/disk/rocks_open.h"

namespace coalmine::store {
namespace {

// Estimated bytes that RocksDB adds to each row.
constexpr std::uint64_t kRowOverhead = 64;

rocksdb::Slice slice(std::string_view text) { return {text.data(), text.size()}; }
std::string_view view(const rocksdb::Slice& s) { return {s.data(), s.size()}; }
std::string_view name_of(Family family) { return kFamilyNames[static_cast<std::size_t>(family)]; }

std::uint64_t size_of(const WriteSet& set) {
  std::uint64_t out = 0;
  for (const auto& op : set.ops()) out += op.key.size() + op.value.size() + kRowOverhead;
  return out;
}

bool only_erases(const WriteSet& set) {
  for (const auto& op : set.ops()) {
    if (op.kind == WriteSet::Kind::put) return false;
  }
  return true;
}

// Owns the RocksDB instance and the thread that syncs its log. Thread-safe. RocksDB never leaves
// the state it gets into when a write of its log fails, and stops the process when that log is
// synced or flushed afterwards. So writes are refused before the disk is full, this class syncs the
// log files itself, and after a failed write it closes the instance and opens it again.
class RocksDatabase final : public Database {
 public:
  RocksDatabase(RocksOptions options, OpenedRocks opened)
      : options_(std::move(options)), free_space_(options_.directory), damaged_(opened.damaged) {
    db_ = std::move(opened.db);
    families_ = std::move(opened.families);
    watcher_ = std::make_unique<Executor>(Executor::Options{"store-sync", 1, 1});
    (void)watcher_->try_submit([this] { watch_until_stopped(); });
  }

  ~RocksDatabase() override {
    {
      std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    wake_.notify_all();
    watcher_.reset();
    (void)sync();
    close();
  }

  Status write(const WriteSet& set) override {
    TRY(check_room(set));
    TRY(recover());
    const std::shared_lock in_use(use_mutex_);
    TRY(check_open());
    rocksdb::WriteBatch batch;
    for (const auto& op : set.ops()) {
      rocksdb::Status added;
      switch (op.kind) {
        case WriteSet::Kind::put: added = batch.Put(handle(op.family), op.key, op.value); break;
        case WriteSet::Kind::erase: added = batch.Delete(handle(op.family), op.key); break;
        case WriteSet::Kind::erase_range:
          added = batch.DeleteRange(handle(op.family), op.key, op.value);
          break;
      }
      if (!added.ok()) return refused("write", added);
    }
    if (const auto written = db_->Write({}, &batch); !written.ok()) {
      mark_failed(written);
      return refused("write", written);
    }
    dirty_ = true;
    return options_.sync_interval_ms <= 0 ? sync() : Status();
  }

  Result<std::optional<std::string>> get(Family family, std::string_view key) const override {
    const std::shared_lock in_use(use_mutex_);
    TRY(check_open());
    std::string value;
    const auto status = db_->Get({}, handle(family), slice(key), &value);
    if (status.IsNotFound()) return std::optional<std::string>();
    if (!status.ok()) {
      return fail(
          is_damage(status) ? ErrorCode::data_loss : ErrorCode::unavailable,
          fmt::format("the store cannot read a {} row: {}", name_of(family), status.ToString()));
    }
    return std::optional(std::move(value));
  }

  std::vector<std::optional<std::string>> get_many(
      Family family, const std::vector<std::string>& keys) const override {
    const std::shared_lock in_use(use_mutex_);
    std::vector<std::optional<std::string>> out(keys.size());
    if (!db_) {
      damaged_ += keys.size();
      return out;
    }
    std::vector<rocksdb::Slice> slices(keys.begin(), keys.end());
    std::vector<rocksdb::PinnableSlice> values(keys.size());
    std::vector<rocksdb::Status> statuses(keys.size());
    db_->MultiGet({}, handle(family), keys.size(), slices.data(), values.data(), statuses.data());
    for (std::size_t i = 0; i < keys.size(); ++i) {
      if (statuses[i].ok()) {
        out[i].emplace(values[i].data(), values[i].size());
      } else if (!statuses[i].IsNotFound()) {
        ++damaged_;
      }
    }
    return out;
  }

  Status scan(Family family, std::string_view from, std::string_view to,
              const Visit& visit) const override {
    const std::shared_lock in_use(use_mutex_);
    TRY(check_open());
    rocksdb::ReadOptions read;
    const rocksdb::Slice upper = slice(to);
    if (!to.empty()) read.iterate_upper_bound = &upper;
    const std::unique_ptr<rocksdb::Iterator> it(db_->NewIterator(read, handle(family)));
    Status result;
    std::string last(from);
    it->Seek(slice(from));
    while (true) {
      for (; it->Valid(); it->Next()) {
        last.assign(it->key().data(), it->key().size());
        if (!visit(view(it->key()), view(it->value()))) return result;
      }
      const auto status = it->status();
      if (status.ok()) return result;
      const std::string sentence =
          fmt::format("the store cannot read all {} rows: {}", name_of(family), status.ToString());
      if (!is_damage(status)) return fail(ErrorCode::unavailable, sentence);
      ++damaged_;
      if (result) result = fail(ErrorCode::data_loss, sentence);
      if (!seek_past_damage(*it, last)) return result;
    }
  }

  Status sync() override {
    auto sizes = sync_logs(options_.directory);
    if (!sizes) return std::unexpected(std::move(sizes).error());
    write_synced(options_.directory, std::move(*sizes));
    return {};
  }

  Status flush() override {
    TRY(recover());
    const std::shared_lock in_use(use_mutex_);
    TRY(check_open());
    if (const auto status = db_->Flush({}, families_); !status.ok()) {
      mark_failed(status);
      return refused("flush", status);
    }
    purge();
    return {};
  }

  Status reclaim(Family family, std::string_view from, std::string_view to) override {
    TRY(recover());
    const std::shared_lock in_use(use_mutex_);
    TRY(check_open());
    const rocksdb::Slice begin = slice(from);
    const rocksdb::Slice end = slice(to);
    (void)rocksdb::DeleteFilesInRange(db_.get(), handle(family), &begin, &end, false);
    return compact_between(family, &begin, &end);
  }

  Status compact(Family family) override {
    TRY(recover());
    const std::shared_lock in_use(use_mutex_);
    TRY(check_open());
    return compact_between(family, nullptr, nullptr);
  }

  Status copy_to(const std::string& directory) override {
    TRY(recover());
    const std::shared_lock in_use(use_mutex_);
    TRY(check_open());
    const std::string links = options_.directory + "/copy";
    std::error_code ignored;
    // Left by a process that was killed while it copied.
    std::filesystem::remove_all(links, ignored);
    // The checkpoint hard-links files that no longer change, so writes wait only shortly. The slow
    // copy follows while writes go on.
    rocksdb::Checkpoint* raw = nullptr;
    auto status = rocksdb::Checkpoint::Create(db_.get(), &raw);
    const std::unique_ptr<rocksdb::Checkpoint> checkpoint(raw);
    if (status.ok())
      status = checkpoint->CreateCheckpoint(links, std::numeric_limits<std::uint64_t>::max());
    if (!status.ok()) return refused("be copied", status);
    auto copied = copy_files(links, directory);
    std::filesystem::remove_all(links, ignored);
    TRY(copied);
    return verify_data_files(directory);
  }

  std::uint64_t disk_bytes() const override { return directory_bytes(options_.directory); }
  std::uint64_t damaged() const override { return damaged_; }

 private:
  rocksdb::ColumnFamilyHandle* handle(Family family) const {
    return families_[static_cast<std::size_t>(family)];
  }

  Status refused(std::string_view what, const rocksdb::Status& status) const {
    return fail(
        ErrorCode::unavailable,
        fmt::format(
            "the store at {} cannot {}: {}. Free disk space or repair the disk; it is tried again "
            "with the next request",
            options_.directory, what, status.ToString()));
  }

  Status check_open() const {
    if (db_) return {};
    return fail(
        ErrorCode::unavailable,
        fmt::format("the store at {} is closed after a failed write and could not be opened again "
                    "yet: free "
                    "disk space or repair the disk; it is tried again with the next request",
                    options_.directory));
  }

  Status check_room(const WriteSet& set) const {
    const std::uint64_t free = free_space_.bytes();
    const std::uint64_t needed =
        only_erases(set) ? options_.reserve_bytes / 8 : options_.reserve_bytes + 2 * size_of(set);
    if (options_.reserve_bytes == 0 || free >= needed) return {};
    return fail(ErrorCode::unavailable,
                fmt::format("the disk of {} is full: {} bytes are free and {} are kept in reserve. "
                            "Free disk space; nothing was stored and the "
                            "same may be sent again",
                            options_.directory, free, options_.reserve_bytes));
  }

  void mark_failed(const rocksdb::Status& status) {
    if (status.IsCorruption()) mend_ = true;
    failed_ = true;
  }

  // After a failure, closes the database and opens it again, which verifies the files.
  Status recover() {
    if (!failed_) return {};
    const std::unique_lock alone(use_mutex_);
    if (!failed_) return {};
    const auto now = std::chrono::steady_clock::now();
    if (now < next_recovery_)
      return fail(ErrorCode::unavailable,
                  fmt::format("the store at {} failed a write and is opened again within "
                              "{} ms: send again then",
                              options_.directory, options_.recover_pause_ms));
    next_recovery_ = now + std::chrono::milliseconds(options_.recover_pause_ms);
    close();
    auto opened = open_rocks_directory(options_.directory, mend_);
    if (!opened) return std::unexpected(std::move(opened).error());
    db_ = std::move(opened->db);
    families_ = std::move(opened->families);
    damaged_ += opened->damaged;
    background_errors_ = 0;
    mend_ = false;
    failed_ = false;
    log_info("the store was opened again after a failed write",
             {{"directory", options_.directory}});
    return {};
  }

  void close() {
    if (!db_) return;
    for (auto* family : families_) (void)db_->DestroyColumnFamilyHandle(family);
    families_.clear();
    (void)db_->Close();
    db_.reset();
  }

  // use_mutex_ held.
  Status compact_between(Family family, const rocksdb::Slice* begin, const rocksdb::Slice* end) {
    rocksdb::CompactRangeOptions options;
    options.bottommost_level_compaction = rocksdb::BottommostLevelCompaction::kForce;
    if (const auto status = db_->CompactRange(options, handle(family), begin, end); !status.ok()) {
      mark_failed(status);
      return refused("give space back", status);
    }
    purge();
    return {};
  }

  // Deletes unneeded files at once, so that the next measurement of the size is right.
  void purge() {
    (void)db_->DisableFileDeletions();
    (void)db_->EnableFileDeletions(true);
  }

  // Runs once a second, or once per sync interval.
  void watch_until_stopped() {
    constexpr std::int64_t kOwnPaceMs = 1000;
    const auto pace = std::chrono::milliseconds(
        options_.sync_interval_ms > 0 ? options_.sync_interval_ms : kOwnPaceMs);
    std::unique_lock lock(mutex_);
    while (!wake_.wait_for(lock, pace, [this] { return stopping_; })) {
      lock.unlock();
      watch_background();
      if (options_.sync_interval_ms > 0 && dirty_.exchange(false)) {
        if (const auto status = sync(); !status) {
          dirty_ = true;
          log_error("store sync failed", {{"error", status.error().message}});
        }
      }
      lock.lock();
    }
  }

  // After a failed flush or compaction, RocksDB silently does neither any more. So the next write
  // opens the database again.
  void watch_background() {
    const std::shared_lock in_use(use_mutex_);
    std::uint64_t errors = 0;
    for (auto* family : families_) {
      std::uint64_t of_family = 0;
      if (db_ &&
          db_->GetIntProperty(family, rocksdb::DB::Properties::kBackgroundErrors, &of_family))
        errors += of_family;
    }
    if (errors <= background_errors_.exchange(errors)) return;
    log_error("the store could not rewrite its files in the background; it will be opened again",
              {{"directory", options_.directory}});
    // A full disk is freed after some time. An error that returns soon means damage, which
    // verifying the files finds.
    constexpr auto kAtOnce = std::chrono::minutes(10);
    const auto now = std::chrono::steady_clock::now();
    if (last_background_error_ && now - *last_background_error_ < kAtOnce &&
        free_space_.bytes() > options_.reserve_bytes) {
      mend_ = true;
    }
    last_background_error_ = now;
    failed_ = true;
  }

  const RocksOptions options_;
  const FreeSpace free_space_;
  // Held exclusively while the instance is replaced.
  mutable std::shared_mutex use_mutex_;
  std::unique_ptr<rocksdb::DB> db_; // guarded by use_mutex_; null: closed after a failure
  std::vector<rocksdb::ColumnFamilyHandle*> families_;    // likewise; owned by db_
  std::chrono::steady_clock::time_point next_recovery_{}; // likewise
  std::atomic<bool> dirty_{false};
  std::atomic<bool> failed_{false};
  std::atomic<bool> mend_{false};
  std::atomic<std::uint64_t> background_errors_{0};
  // Watcher thread only.
  std::optional<std::chrono::steady_clock::time_point> last_background_error_;
  mutable std::atomic<std::uint64_t> damaged_;
  std::mutex mutex_;
  std::condition_variable wake_;
  bool stopping_ = false; // guarded by mutex_
  std::unique_ptr<Executor> watcher_;
};

} // namespace

Result<std::unique_ptr<Database>> open_rocks(const RocksOptions& options) {
  TRY_ASSIGN(auto opened, open_rocks_directory(options.directory, false));
  return std::make_unique<RocksDatabase>(options, std::move(opened));
}

} // namespace coalmine::store
