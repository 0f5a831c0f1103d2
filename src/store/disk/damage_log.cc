// SPDX-License-Identifier: Apache-2.0
#include "store/disk/damage_log.h"

#include "base/log.h"

namespace coalmine::store {

DamageLog::DamageLog(SelfMetrics& metrics, std::string directory)
    : total_(metrics.counter("coalmine_store_damaged_total",
                             "Pieces of stored data that could not be read and were skipped.")),
      directory_(std::move(directory)) {}

void DamageLog::skipped(std::string_view what, const std::string& why, double count) const {
  total_.add(count);
  log_error("damaged data skipped",
            {{"what", std::string(what)}, {"why", why}, {"directory", directory_}});
}

} // namespace coalmine::store
