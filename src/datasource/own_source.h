// Rollouts judged on the embedded store, however it was filled: by OTLP, or by Prometheus's remote
// write.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "cohort/cohorts.h"
#include "cohort/count_feed.h"
#include "promql/queryable.h"
#include "store/store.h"

namespace coalmine::datasource {

// What remote write brings are series of numbers without start times, the buckets of a histogram
// each on its own, under the names of whatever library made them: they are counted as those of a
// Prometheus are (series_source.h). This is done for a cohort of which the store has no metrics
// that OTLP brought, so that a process which reports in both ways counts once.
//
// It is also done where OTLP brought only spans, and metrics came under a name that the store does
// not count by itself, for example those that a collector makes of spans before it samples them:
// spans may be a part of the requests, and not a fair one.
//
// A feed decides with the first telemetry it sees and stays with it.
//
// data: the same store. Both must outlive the result and the feeds that it opens. Thread-safe.
std::unique_ptr<cohort::CohortSource> make_own_cohort_source(const store::Store& store,
                                                             const promql::Queryable& data);
std::unique_ptr<cohort::CountFeedSource> make_own_count_feed_source(const store::Store& store,
                                                                    const promql::Queryable& data);

} // namespace coalmine::datasource
