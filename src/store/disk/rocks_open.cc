// SPDX-License-Identifier: Apache-2.0
#include "store/disk/rocks_open.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <rocksdb/listener.h>
#include <rocksdb/options.h>
#include <rocksdb/sst_file_reader.h>
#include <rocksdb/table.h>
#include <rocksdb/write_batch.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdarg>
#include <cstdio>
#include <filesystem>

#include "base/log.h"
#include "store/disk/disk.h"
#include "store/disk/rocks_db.h"

namespace coalmine::store {
namespace {

namespace fs = std::filesystem;

// A key that none of our rows uses. While a directory is rebuilt, a row with it gives every family
// a data file.
constexpr std::string_view kMarker = "\xff\xff\xff\xffmend";
constexpr std::size_t kSalvageBatchBytes = 4 << 20;

// Forwards RocksDB's own log messages to our log, and counts the records that it dropped from its
// log files while reading them. Thread-safe.
class RocksLog final : public rocksdb::Logger {
 public:
  RocksLog() : rocksdb::Logger(rocksdb::InfoLogLevel::WARN_LEVEL) {}
  using rocksdb::Logger::Logv;
  void Logv(const char* format, va_list arguments) override {
    std::array<char, 512> line{};
    std::vsnprintf(line.data(), line.size(), format, arguments);
    const std::string_view text(line.data());
    if (text.find(": dropping ") == std::string_view::npos) return;
    ++dropped_;
    log_error("damaged records of a log file are skipped", {{"why", std::string(text)}});
  }
  std::size_t dropped() const { return dropped_; }

 private:
  std::atomic<std::size_t> dropped_{0};
};

// Turns off RocksDB's own recovery. After a full disk it would try to go on, and stop the process
// at the log file that failed.
class NoOwnRecovery final : public rocksdb::EventListener {
 public:
  void OnErrorRecoveryBegin(rocksdb::BackgroundErrorReason, rocksdb::Status,
                            bool* auto_recovery) override {
    *auto_recovery = false;
  }
};

rocksdb::DBOptions database_options() {
  rocksdb::DBOptions options;
  options.create_if_missing = true;
  options.create_missing_column_families = true;
  // A torn or damaged record is skipped, and the acknowledged records after it are kept. Gaps are
  // noticed by the numbers of the log.
  options.wal_recovery_mode = rocksdb::WALRecoveryMode::kSkipAnyCorruptedRecords;
  options.max_total_wal_size = 64ULL << 20;
  options.db_write_buffer_size = 128ULL << 20;
  options.max_manifest_file_size = 4ULL << 20;
  options.max_background_jobs = 2;
  options.max_open_files = 512;
  options.allow_fallocate = false; // so that the measured free space is exact
  options.info_log = std::make_shared<RocksLog>();
  options.listeners.push_back(std::make_shared<NoOwnRecovery>());
  options.max_bgerror_resume_count = 0;
  return options;
}

rocksdb::ColumnFamilyOptions family_options(Family family) {
  rocksdb::ColumnFamilyOptions options;
  options.write_buffer_size = 32ULL << 20;
  options.compression = rocksdb::kLZ4Compression;
  options.bottommost_compression = rocksdb::kZSTD;
  rocksdb::BlockBasedTableOptions table;
  // cache_index_and_filter_blocks stays off: with it and a small cache, point reads are ten times
  // slower (measured).
  table.block_size = family == Family::spans ? 64 << 10 : 16 << 10;
  options.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
  return options;
}

std::vector<rocksdb::ColumnFamilyDescriptor> descriptors() {
  std::vector<rocksdb::ColumnFamilyDescriptor> out;
  out.emplace_back(rocksdb::kDefaultColumnFamilyName, family_options(Family::meta));
  for (std::size_t i = 0; i < kFamilyNames.size(); ++i) {
    out.emplace_back(std::string(kFamilyNames[i]), family_options(static_cast<Family>(i)));
  }
  return out;
}

rocksdb::Status try_open(const std::string& directory, OpenedRocks& out) {
  std::vector<rocksdb::ColumnFamilyHandle*> handles;
  rocksdb::DB* raw = nullptr;
  const auto options = database_options();
  const auto status = rocksdb::DB::Open(options, directory, descriptors(), &handles, &raw);
  out.damaged += static_cast<const RocksLog&>(*options.info_log).dropped();
  if (!status.ok()) return status;
  out.db.reset(raw);
  // RocksDB requires a family named default; we keep nothing in it.
  (void)raw->DestroyColumnFamilyHandle(handles.front());
  handles.erase(handles.begin());
  out.families = std::move(handles);
  return status;
}

void close(OpenedRocks& opened) {
  for (auto* family : opened.families) (void)opened.db->DestroyColumnFamilyHandle(family);
  opened.families.clear();
  (void)opened.db->Close();
  opened.db.reset();
}

// The process that holds the LOCK file of a directory: " (process 1234)", or "" when the kernel
// does not say.
std::string lock_holder(const std::string& directory) {
  const int fd = ::open((directory + "/LOCK").c_str(), O_RDWR | O_CLOEXEC);
  if (fd < 0) return "";
  struct flock lock{};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  const bool known = ::fcntl(fd, F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
  ::close(fd);
  return known ? fmt::format(" (process {})", lock.l_pid) : "";
}

bool is_locked(const rocksdb::Status& status) {
  const auto text = status.ToString();
  return text.find("lock hold by current process") != std::string::npos ||
         text.find("lock file") != std::string::npos;
}

Error open_error(const std::string& directory, const rocksdb::Status& status) {
  const std::string text = status.ToString();
  // Opening and closing a file on which this process holds a lock would drop the lock (POSIX).
  // Hence the two cases.
  const bool ours = text.find("lock hold by current process") != std::string::npos;
  if (is_locked(status)) {
    return {ErrorCode::failed_precondition,
            fmt::format("the data directory {} is held by another coalmine{}: stop that one or "
                        "choose another directory",
                        directory, ours ? " in this process" : lock_holder(directory))};
  }
  return {
      ErrorCode::unavailable,
      fmt::format("the data directory {} does not open: {}. Check its permissions and free space",
                  directory, text)};
}

// True for a missing or broken file, false when the disk or a permission refuses.
bool is_repairable(const rocksdb::Status& status) {
  if (status.IsIOError()) return status.ToString().find("No such file") != std::string::npos;
  return is_damage(status);
}

void move_to_lost(const std::string& directory, const std::string& name) {
  std::error_code error;
  const auto lost = fs::path(directory) / "lost";
  fs::create_directories(lost, error);
  auto to = lost / name;
  for (int n = 1; fs::exists(to, error); ++n) to = lost / fmt::format("{}.{}", name, n);
  fs::rename(fs::path(directory) / name, to, error);
  log_error("a damaged file of the telemetry store is put aside",
            {{"file", to.string()}, {"why", error ? error.message() : "damaged"}});
}

rocksdb::Status verify_file(const std::string& path) {
  rocksdb::SstFileReader reader{rocksdb::Options(database_options(), family_options(Family::meta))};
  const auto status = reader.Open(path);
  return status.ok() ? reader.VerifyChecksum() : status;
}

// Moves the data files that fail their checksums to `lost`. Returns their names in there.
std::vector<std::string> put_damaged_aside(const std::string& directory) {
  std::vector<std::string> out;
  for (const auto& name : files_ending(directory, ".sst")) {
    if (verify_file((fs::path(directory) / name).string()).ok()) continue;
    move_to_lost(directory, name);
    out.push_back(name);
  }
  return out;
}

// RocksDB's repair finds a family only by its data files, and drops log records of other families.
// So each family gets a data file. It comes from a temporary database, where the families have the
// same numbers because they are made in the same order.
Status add_family_files(const std::string& directory) {
  const auto side = (fs::path(directory) / "mend").string();
  std::error_code error;
  fs::remove_all(side, error);
  OpenedRocks fresh;
  auto status = try_open(side, fresh);
  if (status.ok()) {
    for (auto* family : fresh.families) {
      if (status.ok())
        status = fresh.db->Put({}, family, rocksdb::Slice(kMarker.data(), kMarker.size()), "");
    }
    if (status.ok()) status = fresh.db->Flush({}, fresh.families);
    close(fresh);
  }
  if (!status.ok()) return std::unexpected(open_error(side, status));
  // File numbers that are free in the directory and below those that the repair will use.
  std::uint64_t number = 0;
  for (const auto& name : files_ending(side, ".sst")) {
    fs::path to;
    do {
      to = fs::path(directory) / fmt::format("{:06}.sst", ++number);
    } while (fs::exists(to) || fs::exists(fs::path(directory) / fmt::format("{:06}.log", number)));
    fs::copy_file(fs::path(side) / name, to, error);
    if (error)
      return fail(ErrorCode::unavailable,
                  fmt::format("{} cannot be written: {}", to.string(), error.message()));
  }
  return {};
}

// Puts the readable rows of a file in `lost` back, except where a newer row exists. A row that only
// this file had marked as erased comes back; the store takes such rows for old.
std::size_t salvage(const std::string& directory, const std::string& name, OpenedRocks& to) {
  rocksdb::SstFileReader reader{rocksdb::Options(database_options(), family_options(Family::meta))};
  if (!reader.Open((fs::path(directory) / "lost" / name).string()).ok()) return 0;
  const auto properties = reader.GetTableProperties();
  const auto family =
      std::ranges::find(kFamilyNames, properties ? properties->column_family_name : std::string());
  if (family == kFamilyNames.end()) return 0;
  auto* handle = to.families[static_cast<std::size_t>(family - kFamilyNames.begin())];
  const std::unique_ptr<rocksdb::Iterator> it(reader.NewIterator({}));
  rocksdb::WriteBatch batch;
  std::size_t rows = 0;
  std::string last;
  std::string newer;
  it->SeekToFirst();
  for (;;) {
    for (; it->Valid(); it->Next()) {
      last.assign(it->key().data(), it->key().size());
      if (last == kMarker || !to.db->Get({}, handle, it->key(), &newer).IsNotFound()) continue;
      (void)batch.Put(handle, it->key(), it->value());
      ++rows;
      if (batch.GetDataSize() < kSalvageBatchBytes) continue;
      if (!to.db->Write({}, &batch).ok()) return rows;
      batch.Clear();
    }
    if (it->status().ok() || !seek_past_damage(*it, last)) break;
  }
  (void)to.db->Write({}, &batch);
  return rows;
}

void remove_markers(const std::string& directory, OpenedRocks& opened) {
  const auto side = fs::path(directory) / "mend";
  std::error_code error;
  if (!fs::exists(side, error)) return;
  for (auto* family : opened.families) {
    if (!opened.db->Delete({}, family, rocksdb::Slice(kMarker.data(), kMarker.size())).ok()) return;
  }
  fs::remove_all(side, error);
}

// When repair fails, everything is moved to `lost` and the store starts empty.
Result<OpenedRocks> start_over(const std::string& directory, const rocksdb::Status& why) {
  log_error(
      "the telemetry store cannot be repaired; it starts empty and its files are kept in lost",
      {{"directory", directory}, {"why", why.ToString()}});
  OpenedRocks out;
  for (const auto& name : files_ending(directory, "")) {
    if (name == "lost" || name == "LOCK") continue;
    move_to_lost(directory, name);
    ++out.damaged;
  }
  if (const auto status = try_open(directory, out); !status.ok())
    return std::unexpected(open_error(directory, status));
  return out;
}

Result<OpenedRocks> mend_and_open(const std::string& directory, const std::string& why) {
  log_error("the telemetry store is damaged; its files are verified and it is put together anew",
            {{"directory", directory}, {"why", why}});
  const auto lost = put_damaged_aside(directory);
  TRY(add_family_files(directory));
  OpenedRocks out;
  auto status = rocksdb::RepairDB(directory, database_options(), descriptors());
  if (status.ok()) status = try_open(directory, out);
  if (status.IsNoSpace() || is_locked(status))
    return std::unexpected(open_error(directory, status));
  if (!status.ok()) return start_over(directory, status);
  std::size_t rows = 0;
  for (const auto& name : lost) rows += salvage(directory, name, out);
  remove_markers(directory, out);
  out.damaged += std::max<std::size_t>(1, lost.size());
  log_error("the telemetry store was put together anew",
            {{"directory", directory},
             {"damaged_files", std::to_string(lost.size())},
             {"rows_saved_from_them", std::to_string(rows)}});
  return out;
}

// True when the data files exist but the file that lists them does not. RocksDB would then start
// empty and delete them.
bool current_is_gone(const std::string& directory) {
  if (fs::exists(fs::path(directory) / "CURRENT")) return false;
  return !files_ending(directory, ".sst").empty() || !files_ending(directory, ".log").empty();
}

using Key = std::string; // a number of fixed width, big-endian

bool increase(Key& key, std::size_t at) {
  std::fill(key.begin() + static_cast<std::ptrdiff_t>(at) + 1, key.end(), '\0');
  for (std::size_t i = at + 1; i-- > 0;) {
    key[i] = static_cast<char>(static_cast<unsigned char>(key[i]) + 1);
    if (key[i] != '\0') return true;
  }
  return false;
}

Key middle(const Key& low, const Key& high) {
  Key out(low.size(), '\0');
  unsigned carry = 0;
  std::vector<unsigned> sum(low.size());
  for (std::size_t i = low.size(); i-- > 0;) {
    const unsigned s =
        static_cast<unsigned char>(low[i]) + static_cast<unsigned char>(high[i]) + carry;
    sum[i] = s & 0xff;
    carry = s >> 8;
  }
  for (std::size_t i = 0; i < out.size(); ++i) {
    out[i] = static_cast<char>((sum[i] | carry << 8) >> 1);
    carry = sum[i] & 1;
  }
  return out;
}

} // namespace

Status verify_data_files(const std::string& directory) {
  for (const auto& name : files_ending(directory, ".sst")) {
    const auto path = (fs::path(directory) / name).string();
    if (const auto status = verify_file(path); !status.ok()) {
      return fail(ErrorCode::data_loss, fmt::format("{} is damaged: {}", path, status.ToString()));
    }
  }
  return {};
}

bool seek_past_damage(rocksdb::Iterator& it, const std::string& after) {
  constexpr std::size_t kWidth = 24;
  const auto sound = [&](const Key& key) {
    it.Seek(key);
    return it.status().ok();
  };
  Key low = after;
  low.resize(std::max(kWidth, after.size() + 1), '\0');
  // Widens the step until a readable place is found, then searches back for the first one.
  Key high;
  for (std::size_t at = low.size(); at-- > 0 && high.empty();) {
    Key key = low;
    if (increase(key, at) && sound(key)) high = key;
  }
  for (Key key = low; high.empty();) {
    if (!increase(key, 0)) return false;
    if (sound(key)) high = key;
  }
  while (true) {
    const Key key = middle(low, high);
    if (key <= low || key >= high) break;
    (sound(key) ? high : low) = key;
  }
  return sound(high);
}

Result<OpenedRocks> open_rocks_directory(const std::string& directory, bool mend) {
  std::error_code error;
  fs::create_directories(directory, error);
  if (error) {
    return fail(
        ErrorCode::failed_precondition,
        fmt::format("the data directory {} cannot be made: {}. Choose one that coalmine may write",
                    directory, error.message()));
  }
  if (mend) return mend_and_open(directory, "damage was found while it ran");
  if (current_is_gone(directory)) return mend_and_open(directory, "the file CURRENT is missing");
  const auto shortage = find_shortage(directory);
  if (shortage.manifest)
    return mend_and_open(
        directory, "the manifest is shorter than it was, or its records do not follow each other");
  OpenedRocks out;
  if (const auto status = try_open(directory, out); !status.ok()) {
    if (is_locked(status) || !is_repairable(status))
      return std::unexpected(open_error(directory, status));
    return mend_and_open(directory, status.ToString());
  }
  for (const auto& log : shortage.logs) {
    log_error("a log file of the telemetry store is shorter than it was",
              {{"directory", directory}, {"file", log}});
  }
  out.damaged += shortage.logs.size();
  remove_markers(directory, out);
  return out;
}

} // namespace coalmine::store
