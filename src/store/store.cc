// SPDX-License-Identifier: Apache-2.0
#include "store/store.h"

#include "store/rocks_db.h"
#include "store/store_impl.h"

namespace coalmine::store {

Result<std::unique_ptr<Store>> Store::open(Options options, const Clock& clock, SelfMetrics& metrics) {
  TRY_ASSIGN(auto database, open_rocks({options.directory, options.sync_interval_ms, options.disk_reserve_bytes}));
  return open_store(std::move(options), clock, metrics, std::move(database));
}

Result<std::unique_ptr<Store>> open_store(Options options, const Clock& clock, SelfMetrics& metrics, std::unique_ptr<Database> database) {
  auto store = std::make_unique<StoreImpl>(std::move(options), clock, metrics, std::move(database));
  TRY(store->load());
  return store;
}

} // namespace coalmine::store
