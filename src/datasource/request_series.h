// Turns the series of a Prometheus-like source into the request families that every judge
// counts. Pure.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "cohort/cohort_sums.h"
#include "datasource/series_names.h"
#include "datasource/sparse_histogram.h"
#include "promql/queryable.h"

namespace coalmine::datasource {

// Matchers that select all counted metrics of a cohort, so that one selection reads all families.
// cohort's matchers as the server spells them.
std::vector<Matcher> cohort_matchers(const cohort::CohortSelector& cohort,
                                     const SeriesNames& names);
std::vector<Matcher> request_matchers(const cohort::CohortSelector& cohort,
                                      const SeriesNames& names);

// What a reader that comes again remembers: the totals of histograms that name only filled buckets,
// by series id.
using SparseTotals = std::map<std::uint64_t, SparseTotal>;

// Sorts the selected series into families. Labels are those of the embedded store (service_name,
// instance, http_route …), under whatever spelling they came. source is `sent` for counters,
// `histogram` for the counts of a duration histogram and `spans` for what a collector counts from
// spans. All are returned that the source has; of each, an instance has one metric only, the best
// that it reports. A histogram's buckets at one moment become one sample. Moments with a missing
// bucket are left out.
//
// Series that several servers collected from the same process (replica_labels) are one series.
//
// failures: which statuses count as errors. An error counter of the application's own counts what
// it counts; requests with a status that the rule names count beside it.
//
// totals: those of the reads before, which it continues; may be null, then every read begins anew.
cohort::CohortFamilies request_families(std::vector<promql::Series> series,
                                        const SeriesNames& names, const FailureRule& failures,
                                        SparseTotals* totals = nullptr);

// Keeps only the best source with requests of each instance (counters, else histogram, else spans),
// as the embedded store does.
void choose_sources(cohort::CohortFamilies& families);

} // namespace coalmine::datasource
