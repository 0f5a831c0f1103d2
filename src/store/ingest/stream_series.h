// Finds the stored series of a metric stream.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>

#include "base/result.h"
#include "store/ingest/stage.h"
#include "telemetry/batch.h"

namespace coalmine::store {

// OpenTelemetry identifies a stream by resource, instrumentation scope, metric name, kind and
// attributes; Prometheus identifies a series by labels. Invariant: two streams never share a
// series, and two series of applications never have equal labels.
//
// The first stream that has some labels owns them plainly. That is nearly always the only one. A
// later stream with the same labels gets further labels that say what is different about it:
// otel_scope_name and the like, otel_metric_name (a name that reads alike in Prometheus's form), or
// otel_metric_type. The series' row says who owns it, so the answer is the same whatever else is in
// the request, and after a restart.
//
// Where the resource does not tell processes apart, the start of the count does: the first process
// owns the series, a further one gets otel_start_time.
//
// process_start_ms: of a process that does not own the series; 0: none. resource_exhausted: the
// service has too many series.
Result<SeriesInfo*> series_of_stream(Stage& stage,
                                     const std::shared_ptr<const MetricSeries>& stream,
                                     std::int64_t process_start_ms = 0);

} // namespace coalmine::store
