// Telemetry for commands that work without a running server: a Prometheus-compatible server, or a
// recording.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "base/clock.h"
#include "base/result.h"
#include "cohort/cohorts.h"
#include "cohort/count_feed.h"
#include "cohort/metric_source.h"
#include "config/config.h"
#include "promql/expressions.h"
#include "promql/queryable.h"

namespace coalmine::lab {

// Owns its parts. One thread at a time, like the command that uses it.
struct TelemetrySource {
  std::unique_ptr<Clock> clock;
  std::unique_ptr<net::HttpClient> http;
  std::unique_ptr<promql::Queryable> data;
  std::unique_ptr<cohort::CohortSource> cohorts;
  std::unique_ptr<cohort::CountFeedSource> counts;
  const promql::ExpressionSource* expressions = nullptr;
  std::unique_ptr<promql::ExpressionSource> own_expressions; // of a recording
  std::unique_ptr<cohort::MetricSource> metrics;
  std::string name;                      // for messages: its URL or path
  std::optional<std::int64_t> newest_ms; // of a recording: its last sample, which is its "now"
};

// where: http(s)://… asks a server (with the credentials and names of the config's
// stores.prometheus, if there is one), anything else is the path of a recording. "": the config's
// own store. invalid_argument when there is none.
Result<TelemetrySource> open_source(const std::string& where, const config::Config& config);

} // namespace coalmine::lab
