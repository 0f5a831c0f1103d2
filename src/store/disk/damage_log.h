// Counts and logs damage found in stored data.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

#include "base/self_metrics.h"
#include "store/disk/rocks_db.h"

namespace coalmine::store {

// Thread-safe. metrics must outlive it.
class DamageLog {
 public:
  DamageLog(SelfMetrics& metrics, std::string directory);
  // Reports that damaged pieces were skipped. what: the kind of data, such as "chunks". count: the
  // number of pieces.
  void skipped(std::string_view what, const std::string& why, double count = 1) const;

 private:
  Counter& total_;
  const std::string directory_;
};

// A database, and the log for damage found in it. Both must outlive every holder of a Backing.
struct Backing {
  Database& database;
  const DamageLog& damage;
};

} // namespace coalmine::store
