// SPDX-License-Identifier: Apache-2.0
#include "store/rocks_db.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <rocksdb/convenience.h>
#include <rocksdb/db.h>
#include <rocksdb/options.h>
#include <rocksdb/table.h>
#include <rocksdb/write_batch.h>
#include <unistd.h>

#include <atomic>
#include <condition_variable>
#include <filesystem>
#include <mutex>
#include <shared_mutex>

#include "base/executor.h"
#include "base/log.h"

namespace coalmine::store {
namespace {

namespace fs = std::filesystem;

rocksdb::Slice slice(std::string_view text) { return {text.data(), text.size()}; }
std::string_view view(const rocksdb::Slice& s) { return {s.data(), s.size()}; }

ErrorCode code_of(const rocksdb::Status& status) { return status.IsCorruption() ? ErrorCode::data_loss : ErrorCode::unavailable; }

rocksdb::DBOptions database_options() {
  rocksdb::DBOptions options;
  options.create_if_missing = true;
  options.create_missing_column_families = true;
  // A torn or damaged record costs itself and not what was acknowledged after it; gaps are noticed by the log's numbers.
  options.wal_recovery_mode = rocksdb::WALRecoveryMode::kSkipAnyCorruptedRecords;
  options.max_total_wal_size = 64ULL << 20;
  options.db_write_buffer_size = 128ULL << 20;
  options.max_background_jobs = 2;
  options.max_open_files = 512;
  options.keep_log_file_num = 2;
  options.info_log_level = rocksdb::InfoLogLevel::ERROR_LEVEL;
  return options;
}

rocksdb::ColumnFamilyOptions family_options(Family family) {
  rocksdb::ColumnFamilyOptions options;
  options.write_buffer_size = 32ULL << 20;
  options.compression = rocksdb::kLZ4Compression;
  options.bottommost_compression = rocksdb::kZSTD;
  rocksdb::BlockBasedTableOptions table;
  // cache_index_and_filter_blocks stays off: with it and a small cache, point reads are ten times slower (measured).
  table.block_size = family == Family::spans ? 64 << 10 : 16 << 10;
  options.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
  return options;
}

// Who has the LOCK file of a directory, as far as the kernel tells: ", process 1234" or "".
std::string lock_holder(const std::string& directory) {
  const int fd = ::open((directory + "/LOCK").c_str(), O_RDWR | O_CLOEXEC);
  if (fd < 0) return "";
  struct flock lock {};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  const bool known = ::fcntl(fd, F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
  ::close(fd);
  return known ? fmt::format(" (process {})", lock.l_pid) : "";
}

Error open_error(const std::string& directory, const rocksdb::Status& status) {
  const std::string text = status.ToString();
  // Looking at a lock of our own would drop it (POSIX), hence the two cases.
  const bool ours = text.find("lock hold by current process") != std::string::npos;
  if (ours || text.find("lock file") != std::string::npos) {
    return {ErrorCode::failed_precondition,
            fmt::format("the data directory {} is held by another coalmine{}: stop that one or choose another directory", directory,
                        ours ? " in this process" : lock_holder(directory))};
  }
  return {code_of(status), fmt::format("the data directory {} does not open: {}. Check its permissions and free space; a damaged "
                                       "directory can be moved away, coalmine then starts empty",
                                       directory, text)};
}

// Owns the RocksDB instance and the thread that syncs its log. Thread-safe.
class RocksDatabase final : public Database {
 public:
  RocksDatabase(std::string directory, std::unique_ptr<rocksdb::DB> db, std::vector<rocksdb::ColumnFamilyHandle*> families,
                std::int64_t sync_interval_ms)
      : directory_(std::move(directory)), db_(std::move(db)), families_(std::move(families)), sync_interval_ms_(sync_interval_ms) {
    if (sync_interval_ms_ > 0) {
      syncer_ = std::make_unique<Executor>(Executor::Options{"store-sync", 1, 1});
      (void)syncer_->try_submit([this] { sync_until_stopped(); });
    }
  }

  ~RocksDatabase() override {
    {
      std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    wake_.notify_all();
    syncer_.reset();
    (void)sync();
    for (auto* family : families_) (void)db_->DestroyColumnFamilyHandle(family);
    (void)db_->Close();
  }

  Status write(const WriteSet& set) override {
    rocksdb::WriteBatch batch;
    for (const auto& op : set.ops()) {
      rocksdb::Status added;
      switch (op.kind) {
        case WriteSet::Kind::put: added = batch.Put(handle(op.family), op.key, op.value); break;
        case WriteSet::Kind::erase: added = batch.Delete(handle(op.family), op.key); break;
        case WriteSet::Kind::erase_range: added = batch.DeleteRange(handle(op.family), op.key, op.value); break;
      }
      if (!added.ok()) return refused("write", added);
    }
    const std::shared_lock log_in_use(log_mutex_);
    // After a full disk RocksDB refuses writes until it is told to try again.
    if (failed_.exchange(false)) {
      if (const auto resumed = db_->Resume(); !resumed.ok()) {
        failed_ = true;
        return refused("resume writing", resumed);
      }
    }
    rocksdb::WriteOptions options;
    options.sync = sync_interval_ms_ <= 0;
    if (const auto written = db_->Write(options, &batch); !written.ok()) {
      failed_ = true;
      return refused("write", written);
    }
    dirty_ = true;
    return {};
  }

  Result<std::optional<std::string>> get(Family family, std::string_view key) const override {
    std::string value;
    const auto status = db_->Get({}, handle(family), slice(key), &value);
    if (status.IsNotFound()) return std::optional<std::string>();
    if (!status.ok()) return fail(code_of(status), fmt::format("the store cannot read a {} row: {}", name_of(family), status.ToString()));
    return std::optional(std::move(value));
  }

  std::vector<std::optional<std::string>> get_many(Family family, const std::vector<std::string>& keys) const override {
    std::vector<std::optional<std::string>> out(keys.size());
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

  Status scan(Family family, std::string_view from, std::string_view to, const Visit& visit) const override {
    rocksdb::ReadOptions options;
    const rocksdb::Slice upper = slice(to);
    if (!to.empty()) options.iterate_upper_bound = &upper;
    const std::unique_ptr<rocksdb::Iterator> it(db_->NewIterator(options, handle(family)));
    for (it->Seek(slice(from)); it->Valid(); it->Next()) {
      if (!visit(view(it->key()), view(it->value()))) return {};
    }
    if (it->status().ok()) return {};
    ++damaged_;
    return fail(code_of(it->status()), fmt::format("the store cannot read all {} rows: {}", name_of(family), it->status().ToString()));
  }

  Status sync() override {
    const std::unique_lock log_at_rest(log_mutex_);
    if (failed_) return fail(ErrorCode::unavailable, "the store's log is not synced: an earlier write failed and none succeeded since");
    const auto status = db_->FlushWAL(true);
    return status.ok() ? Status() : refused("sync", status);
  }

  Status flush() override {
    const auto status = db_->Flush({}, families_);
    if (!status.ok()) return refused("flush", status);
    purge();
    return {};
  }

  Status reclaim(Family family, std::string_view from, std::string_view to) override {
    const rocksdb::Slice begin = slice(from);
    const rocksdb::Slice end = slice(to);
    (void)rocksdb::DeleteFilesInRange(db_.get(), handle(family), &begin, &end, false);
    rocksdb::CompactRangeOptions options;
    options.bottommost_level_compaction = rocksdb::BottommostLevelCompaction::kForce;
    const auto status = db_->CompactRange(options, handle(family), &begin, &end);
    if (!status.ok()) return refused("give space back", status);
    purge();
    return {};
  }

  std::uint64_t disk_bytes() const override {
    std::uint64_t total = 0;
    std::error_code error;
    for (auto it = fs::directory_iterator(directory_, error); !error && it != fs::directory_iterator(); it.increment(error)) {
      std::error_code gone; // files come and go beneath us
      const auto size = it->file_size(gone);
      if (!gone) total += size;
    }
    return total;
  }

  std::uint64_t damaged() const override { return damaged_; }

 private:
  rocksdb::ColumnFamilyHandle* handle(Family family) const { return families_[static_cast<std::size_t>(family)]; }
  static std::string_view name_of(Family family) { return kFamilyNames[static_cast<std::size_t>(family)]; }

  Status refused(std::string_view what, const rocksdb::Status& status) const {
    return fail(ErrorCode::unavailable, fmt::format("the store at {} cannot {}: {}. Free disk space or repair the disk; it is tried again "
                                                    "with the next request",
                                                    directory_, what, status.ToString()));
  }

  // Files that are no longer needed go now and not some time later, so that what is measured next is true.
  void purge() {
    (void)db_->DisableFileDeletions();
    (void)db_->EnableFileDeletions(true);
  }

  void sync_until_stopped() {
    std::unique_lock lock(mutex_);
    while (!wake_.wait_for(lock, std::chrono::milliseconds(sync_interval_ms_), [this] { return stopping_; })) {
      if (!dirty_.exchange(false)) continue;
      lock.unlock();
      if (const auto status = sync(); !status) {
        dirty_ = true;
        failed_ = true;
        log_error("store sync failed", {{"error", status.error().message}});
      }
      lock.lock();
    }
  }

  const std::string directory_;
  const std::unique_ptr<rocksdb::DB> db_;
  const std::vector<rocksdb::ColumnFamilyHandle*> families_; // owned by db_, given back in the destructor
  const std::int64_t sync_interval_ms_;
  std::atomic<bool> dirty_{false};
  std::atomic<bool> failed_{false};
  // Exclusive while the log is synced: RocksDB stops the process when a log is synced whose write just failed.
  std::shared_mutex log_mutex_;
  mutable std::atomic<std::uint64_t> damaged_{0};
  std::mutex mutex_;
  std::condition_variable wake_;
  bool stopping_ = false; // guarded by mutex_
  std::unique_ptr<Executor> syncer_;
};

} // namespace

Result<std::unique_ptr<Database>> open_rocks(const std::string& directory, std::int64_t sync_interval_ms) {
  std::error_code error;
  fs::create_directories(directory, error);
  if (error) {
    return fail(ErrorCode::failed_precondition,
                fmt::format("the data directory {} cannot be made: {}. Choose one that coalmine may write", directory, error.message()));
  }
  std::vector<rocksdb::ColumnFamilyDescriptor> descriptors;
  descriptors.emplace_back(rocksdb::kDefaultColumnFamilyName, family_options(Family::meta));
  for (std::size_t i = 0; i < kFamilyNames.size(); ++i) {
    descriptors.emplace_back(std::string(kFamilyNames[i]), family_options(static_cast<Family>(i)));
  }
  std::vector<rocksdb::ColumnFamilyHandle*> handles;
  rocksdb::DB* raw = nullptr;
  const auto status = rocksdb::DB::Open(database_options(), directory, descriptors, &handles, &raw);
  if (!status.ok()) return std::unexpected(open_error(directory, status));
  std::unique_ptr<rocksdb::DB> db(raw);
  (void)db->DestroyColumnFamilyHandle(handles.front()); // RocksDB insists on a family named default; we keep nothing in it
  handles.erase(handles.begin());
  return std::make_unique<RocksDatabase>(directory, std::move(db), std::move(handles), sync_interval_ms);
}

} // namespace coalmine::store
