// The thin wall around RocksDB: ordered bytes in six families, one atomic write, a background sync.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace coalmine::store {

// docs/formats.md says what is in each.
enum class Family : std::uint8_t { log, series, chunks, spans, meta, head };
inline constexpr std::array<std::string_view, 6> kFamilyNames = {"log",   "series", "chunks",
                                                                 "spans", "meta",   "head"};

// What one write does, in order; all of it or nothing.
class WriteSet {
 public:
  enum class Kind : std::uint8_t { put, erase, erase_range };
  struct Op {
    Kind kind;
    Family family;
    std::string key;
    std::string value; // erase_range: the first key that stays
  };
  void put(Family family, std::string key, std::string value) {
    ops_.push_back({Kind::put, family, std::move(key), std::move(value)});
  }
  void erase(Family family, std::string key) {
    ops_.push_back({Kind::erase, family, std::move(key), {}});
  }
  void erase_range(Family family, std::string from, std::string to) {
    ops_.push_back({Kind::erase_range, family, std::move(from), std::move(to)});
  }
  bool empty() const { return ops_.empty(); }
  const std::vector<Op>& ops() const { return ops_; }

 private:
  std::vector<Op> ops_;
};

// Thread-safe. Tests put a failing one in front of the real one.
class Database {
 public:
  virtual ~Database() = default;

  // In the operating system's hands when it returns, so that it survives the death of this process.
  // unavailable: nothing of it was applied and the same may be tried again.
  virtual Status write(const WriteSet& set) = 0;
  virtual Result<std::optional<std::string>> get(Family family, std::string_view key) const = 0;
  // As many answers as keys. A value that cannot be read is data_loss only for itself: it is
  // nullopt and counted in damaged().
  virtual std::vector<std::optional<std::string>> get_many(
      Family family, const std::vector<std::string>& keys) const = 0;
  // Calls visit for every key in [from, to) in order until it returns false. to "": to the end.
  // visit must not call back into the database. data_loss: parts of the range are damaged and were
  // left out; what was visited is sound.
  using Visit = std::function<bool(std::string_view key, std::string_view value)>;
  virtual Status scan(Family family, std::string_view from, std::string_view to,
                      const Visit& visit) const = 0;

  virtual Status sync() = 0;
  // Memory into data files, so that the log files that covered it can go. Slow.
  virtual Status flush() = 0;
  // Gives the space of an erased range back to the file system; whatever is left in it goes too.
  // Slow.
  virtual Status reclaim(Family family, std::string_view from, std::string_view to) = 0;
  // Gives the space of all that was erased or replaced in a family back to the file system. Reads
  // and writes all of it.
  virtual Status compact(Family family) = 0;
  // A copy that is consistent at one moment while writes go on, in a directory that does not exist
  // yet, synced and verified.
  virtual Status copy_to(const std::string& directory) = 0;
  virtual std::uint64_t disk_bytes() const = 0;
  virtual std::uint64_t damaged() const = 0;
};

struct RocksOptions {
  std::string directory;
  std::int64_t sync_interval_ms = 1000; // <= 0: every write is synced before it returns
  // Writes are refused as unavailable while less than this is free on the disk, so that RocksDB
  // always finds room for its own files; writes that only erase are refused at an eighth of it.
  std::uint64_t reserve_bytes = 32ULL << 20;
  // After a write that RocksDB failed, the database is closed and opened again before the next one,
  // at most this often.
  std::int64_t recover_pause_ms = 1000;
};
// Damaged files are moved to `lost`, logged, and counted in damaged().
Result<std::unique_ptr<Database>> open_rocks(const RocksOptions& options);

} // namespace coalmine::store
