// The store's interface to RocksDB: ordered byte strings in six families, atomic writes, background
// sync.
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

// The content of each family is described in docs/formats.md.
enum class Family : std::uint8_t { log, series, chunks, spans, meta, head };
inline constexpr std::array<std::string_view, 6> kFamilyNames = {"log",   "series", "chunks",
                                                                 "spans", "meta",   "head"};

// The operations of one write, in order. Either all are applied or none.
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

// Thread-safe. Tests wrap the real one in one that fails.
class Database {
 public:
  virtual ~Database() = default;

  // On return the operating system has the data, so it survives the death of this process.
  // unavailable: nothing was applied, and the caller may try again.
  virtual Status write(const WriteSet& set) = 0;
  virtual Result<std::optional<std::string>> get(Family family, std::string_view key) const = 0;
  // Returns one answer per key. An unreadable value is nullopt and counted in damaged(); the others
  // are still returned.
  virtual std::vector<std::optional<std::string>> get_many(
      Family family, const std::vector<std::string>& keys) const = 0;
  // Calls visit for every key in [from, to) in order until it returns false. to "": to the end.
  // visit must not call back into the database. data_loss: damaged parts of the range were left
  // out; all visited rows are sound.
  using Visit = std::function<bool(std::string_view key, std::string_view value)>;
  virtual Status scan(Family family, std::string_view from, std::string_view to,
                      const Visit& visit) const = 0;

  virtual Status sync() = 0;
  // Writes RocksDB's memory into data files, so that the log files of that memory can be deleted.
  // Slow.
  virtual Status flush() = 0;
  // Gives the space of an erased range back to the file system. Rows still in the range are removed
  // too. Slow.
  virtual Status reclaim(Family family, std::string_view from, std::string_view to) = 0;
  // Gives the space of all erased and replaced rows of a family back to the file system. Rewrites
  // the whole family.
  virtual Status compact(Family family) = 0;
  // Makes a copy that is consistent at one moment, while writes go on. The directory must not exist
  // yet. The copy is synced and verified.
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
  // After a failed write the database is closed and opened again before the next write, but not
  // more often than this.
  std::int64_t recover_pause_ms = 1000;
};
// Opens or makes the database. Damaged files are moved to `lost`, logged, and counted in damaged().
Result<std::unique_ptr<Database>> open_rocks(const RocksOptions& options);

} // namespace coalmine::store
