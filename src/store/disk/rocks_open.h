// Opens the RocksDB directory, even when files are damaged. Sound files are used; damaged files are
// moved away and reported.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <rocksdb/db.h>

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"

namespace coalmine::store {

struct OpenedRocks {
  std::unique_ptr<rocksdb::DB> db;
  // By Family; owned by db, released before it is closed.
  std::vector<rocksdb::ColumnFamilyHandle*> families;
  std::size_t damaged = 0; // files found damaged while opening
};

// mend: verify every data file first, because RocksDB found damage while it ran. Damaged files are
// moved to `lost` inside the directory, and the rows that can still be read in them are put back.
// failed_precondition: another process has the directory; unavailable: the disk refuses.
Result<OpenedRocks> open_rocks_directory(const std::string& directory, bool mend);

// data_loss: a data file fails its checksums.
Status verify_data_files(const std::string& directory);

// Moves an iterator, stopped by damage behind the key `after`, to the first readable place behind
// the damage. Returns false when nothing readable follows.
bool seek_past_damage(rocksdb::Iterator& it, const std::string& after);

inline bool is_damage(const rocksdb::Status& status) {
  return status.IsCorruption() || status.IsNotFound() || status.IsPathNotFound() ||
         status.IsInvalidArgument() || (status.IsIOError() && !status.IsNoSpace());
}

} // namespace coalmine::store
