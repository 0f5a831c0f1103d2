// How often a configuration is wrong on stable's own traffic: reads the newest of it from a
// telemetry source, measures the rates of replay_rates.h and says them in words. For `replay` and
// `check --source`.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "config/config.h"
#include "datasource/series_names.h"
#include "lab/replay_rates.h"
#include "lab/sources.h"
#include "promql/queryable.h"
#include "rollout/spec.h"

namespace coalmine::lab {

// A service and where its telemetry is. What it refers to outlives it.
struct ServiceTelemetry {
  const rollout::RolloutSpec& spec;
  const TelemetrySource& source;
  datasource::SeriesNames names{}; // of its metrics and labels
};
datasource::SeriesNames names_of(const config::Config& config);

// A point at every step for each combination of these labels that a track's series have then.
// Times in milliseconds since 1970.
Result<std::vector<promql::Series>> seen_series(const ServiceTelemetry& telemetry, Track track,
                                                const std::vector<std::string>& by,
                                                std::int64_t from_ms, std::int64_t to_ms,
                                                std::int64_t step_ms);

// The times and the draws of the rates.
struct RatesOptions {
  std::int64_t from_ms = 0; // at most the newest twelve hours are read
  std::int64_t to_ms = 0;
  std::size_t canary_processes = 1;
  std::vector<double> injected{}; // shares of errors for rates beside A/A
  int runs = 200;                 // of each kind
  std::uint64_t seed = 1;
};
// Made-up releases are judged without the trial of stable (TryStable), which could only lower the
// rates of rollbacks.
Result<SplitRates> rates_on_stable(const ServiceTelemetry& telemetry, const RatesOptions& options);

// The A/A rates by request and by process, or why there are none. Lines.
std::string equal_rates_text(const SplitRates& rates);
// The rates with injected errors. "": there are none.
std::string injected_rates_text(const SplitRates& rates);
boost::json::array by_request_json(const SplitRates& rates);
boost::json::object by_process_json(const SplitRates& rates);

// "7m45s".
std::string minutes_text(double minutes);

// What `check --source` says of one service of a config.
struct StableRates {
  std::string service;
  std::string source;       // its URL or path
  Result<SplitRates> rates; // its error: why they are not known
};
// Of each service of the config, as far as the newest twelve hours of the source go. where: as
// open_source takes it.
std::vector<StableRates> rates_of_services(const config::Config& config, const std::string& where,
                                           int runs, std::uint64_t seed);
std::string text_of(const StableRates& found);
boost::json::object json_of(const StableRates& found);

} // namespace coalmine::lab
