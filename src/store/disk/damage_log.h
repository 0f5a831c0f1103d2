// Damage found in stored data: counted, logged and passed over.
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
  // what: the kind of data, "chunks". count: pieces that were skipped.
  void skipped(std::string_view what, const std::string& why, double count = 1) const;

 private:
  Counter& total_;
  const std::string directory_;
};

// A database and where the damage found in it is reported. Both outlive whoever holds this.
struct Backing {
  Database& database;
  const DamageLog& damage;
};

} // namespace coalmine::store
