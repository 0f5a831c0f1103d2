// Implements the interfaces of cohort/ on the embedded store.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "cohort/cohorts.h"
#include "cohort/count_feed.h"
#include "store/store.h"

namespace coalmine::datasource {

// Thread-safe. store outlives the result (and the feeds that it opens).
std::unique_ptr<cohort::CohortSource> make_store_cohort_source(const store::Store& store);
std::unique_ptr<cohort::CountFeedSource> make_store_count_feed_source(const store::Store& store);

} // namespace coalmine::datasource
