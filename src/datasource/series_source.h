// Rollouts judged on Prometheus-like data: implements the interfaces of cohort/ on a Queryable
// without start times (a remote server, a recording).
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>

#include "cohort/cohorts.h"
#include "cohort/count_feed.h"
#include "cohort/metric_source.h"
#include "datasource/series_names.h"
#include "promql/expressions.h"
#include "promql/queryable.h"

namespace coalmine::datasource {

// An instance first seen within the window (for a feed: after the origin) began at 0. For an
// instance seen before, its newest sample before the window is the baseline. Where start times are
// known as well (the embedded store), both rules give the same counts for every process that
// exported before the window or started within it. data must outlive the result.
std::unique_ptr<cohort::CohortSource> make_series_cohort_source(const promql::Queryable& data,
                                                                SeriesNames names);
// The user's own metrics. Start times are used if data has them (the embedded store). data and
// expressions must outlive the result.
std::unique_ptr<cohort::MetricSource> make_series_metric_source(
    const promql::Queryable& data, const promql::ExpressionSource& expressions, SeriesNames names);
std::unique_ptr<cohort::CountFeedSource> make_series_count_feed_source(
    const promql::Queryable& data, SeriesNames names);

// Tells cohorts apart.
std::string key_of(const cohort::CohortSelector& cohort);

} // namespace coalmine::datasource
