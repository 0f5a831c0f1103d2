// File system calls that bypass RocksDB: free space, syncing log files, and the record of synced
// sizes.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace coalmine::store {

// Bytes that this user may still write on the directory's file system; 0 when unknown.
std::uint64_t free_bytes(const std::string& directory);
// free_bytes for frequent calls: it opens the path only once, because opening costs ten times as
// much as asking. Thread-safe.
class FreeSpace {
 public:
  explicit FreeSpace(const std::string& directory);
  ~FreeSpace();
  FreeSpace(const FreeSpace&) = delete;
  FreeSpace& operator=(const FreeSpace&) = delete;
  std::uint64_t bytes() const;

 private:
  const int descriptor_;
};

// The sum of the sizes of the files in the directory, without sub-directories. Files may be added
// and removed meanwhile.
std::uint64_t directory_bytes(const std::string& directory);

// The sorted names of the files that end with `ending`.
std::vector<std::string> files_ending(const std::string& directory, std::string_view ending);

// Syncs every *.log file and the directory. Done without RocksDB, whose SyncWAL stops the process
// when a write has failed before it. On success returns how long each file was when its sync began.
// unavailable: the disk refused.
Result<std::map<std::string, std::uint64_t>> sync_logs(const std::string& directory);

// The file `synced` says how long the log files and the manifest were when they were last known to
// be on disk. A file that is shorter at the next start was not cut by a crash. Text lines "name
// size", then XXH3-64 of them in hex; not synced itself.
void write_synced(const std::string& directory, std::map<std::string, std::uint64_t> sizes);

// Copies every file of one directory into another, which it makes. The copy is synced on return.
Status copy_files(const std::string& from, const std::string& to);

// Files whose whole records end before the size in `synced`, and the newest log file if it is gone.
struct Shortage {
  bool manifest = false;         // it must not be used
  std::vector<std::string> logs; // names of log files that are cut or gone
};
Shortage find_shortage(const std::string& directory);

} // namespace coalmine::store
