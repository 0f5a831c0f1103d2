// Rollouts judged on Prometheus-like data: the questions of query/cohorts.h and query/count_feed.h,
// answered from a Queryable that has no start times (a remote server, a recording).
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "cohort/cohorts.h"
#include "cohort/count_feed.h"
#include "cohort/metric_source.h"
#include "datasource/request_series.h"
#include "promql/expressions.h"
#include "promql/queryable.h"

namespace coalmine::datasource {

// data outlives both. An instance that is first seen within the window (for a feed: after the
// origin) began at 0; of one that was seen before, the newest sample before it is the baseline.
// Where start times are known as well (the embedded store), both rules give the same counts for
// every process that exported before the window or started within it.
std::unique_ptr<cohort::CohortSource> make_series_cohort_source(const promql::Queryable& data,
                                                                SeriesNames names);
// Metrics of the user's own. Where data has start times (the embedded store), they are used. data
// and expressions outlive the result.
std::unique_ptr<cohort::MetricSource> make_series_metric_source(
    const promql::Queryable& data, const promql::ExpressionSource& expressions, SeriesNames names);
std::unique_ptr<cohort::CountFeedSource> make_series_count_feed_source(
    const promql::Queryable& data, SeriesNames names);

} // namespace coalmine::datasource
