// Implements the interfaces of cohort/ on the embedded store.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <vector>

#include "cohort/cohorts.h"
#include "cohort/count_feed.h"
#include "store/store.h"

namespace coalmine::datasource {

// The unit of exponential durations that an application sends under our name, in seconds. They are
// milliseconds unless it says otherwise, as the classic ones are. 0: derived, thus already in the
// form of telemetry/durations.h.
double seconds_per_unit(const SeriesData& data);
// Brings them into that form.
void to_durations(std::vector<ExponentialSample>& samples, double seconds_per_unit);

// Thread-safe. store outlives the result (and the feeds that it opens).
std::unique_ptr<cohort::CohortSource> make_store_cohort_source(const store::Store& store);
std::unique_ptr<cohort::CountFeedSource> make_store_count_feed_source(const store::Store& store);

} // namespace coalmine::datasource
