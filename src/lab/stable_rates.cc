// SPDX-License-Identifier: Apache-2.0
#include "lab/stable_rates.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json/value.hpp>
#include <cmath>
#include <string_view>
#include <utility>

#include "base/clock.h"
#include "datasource/label_spelling.h"
#include "datasource/prometheus.h"
#include "datasource/request_series.h"
#include "promql/syntax/printer.h"
#include "rollout/evidence/cohort_selector.h"
#include "rollout/evidence/evidence_feed.h"

namespace coalmine::lab {
namespace {

namespace json = boost::json;

constexpr std::int64_t kSampleMs = 60'000;
// Stable's traffic for the made-up releases: the newest of it.
constexpr std::int64_t kStableMs = 12 * 60 * 60'000;

Result<Silences> silences_of_stable(const ServiceTelemetry& telemetry, std::int64_t from_ms,
                                    std::int64_t to_ms) {
  const auto instance_labels = telemetry.names.instance_labels;
  auto by = instance_labels;
  by.emplace_back("service_version");
  TRY_ASSIGN(const auto seen, seen_series(telemetry, Track::stable, by, from_ms, to_ms, kSampleMs));
  return find_silences(seen, kSampleMs, instance_labels);
}

// Stable on both sides: its cells whatever the canary did.
Result<std::vector<CountCell>> stable_cells(const ServiceTelemetry& telemetry, std::int64_t from_ms,
                                            std::int64_t to_ms) {
  const auto& source = *telemetry.source.counts;
  cohort::CountFeedRequest request;
  request.canary = request.stable = cohort_selector(telemetry.spec, Track::stable, "");
  request.origin_ms = from_ms;
  cohort::GridOptions options;
  options.origin_ms = from_ms;
  options.ignore_routes = telemetry.spec.ignore_routes;
  options.own_routes = telemetry.spec.critical_routes;
  options.min_route_requests = telemetry.spec.min_route_requests;
  options.unseen_instances_begin_at_zero = source.traits().unseen_instances_begin_at_zero;
  cohort::CountGrid grid(options);
  const auto feed = source.open(std::move(request));
  TRY(feed->read(grid, to_ms));
  auto out = grid.close(to_ms);
  for (auto& cell : out) rollout::mark_baseline(cell, 0);
  return out;
}

double percent_of(int part, const SplitRate& rate) {
  return rate.runs == 0 ? 0 : 100.0 * part / rate.runs;
}

std::string rolled_back_text(const SplitRate& rate) {
  return fmt::format("{} of {} rolled back, {:.1f}% ({:.1f}% to {:.1f}%); {:.1f}% promoted",
                     rate.rolled_back, rate.runs, percent_of(rate.rolled_back, rate),
                     rate.interval.low * 100, rate.interval.high * 100,
                     percent_of(rate.promoted, rate));
}

std::string data_text(const SplitRate& rate) {
  return rate.minutes_with_data >= 120
             ? fmt::format("{:.1f} h with telemetry", rate.minutes_with_data / 60)
             : fmt::format("{:.0f} min with telemetry", rate.minutes_with_data);
}

std::string by_process_text(const ProcessRate& by_process) {
  constexpr std::string_view kName = "  by process: ";
  if (by_process.known == ProcessesKnown::one_process)
    return fmt::format(
        "{}cannot be known, because stable has one process only: nothing shows what pods alone do "
        "to a comparison\n",
        kName);
  if (by_process.known == ProcessesKnown::too_little_data)
    return fmt::format(
        "{}cannot be known, because no two processes of stable have telemetry for one rollout and "
        "the half hour before it\n",
        kName);
  auto out = fmt::format(
      "{}{}\n    {} of the {} processes of stable that can be drawn {} the canary, with the share "
      "of the traffic that it has ({})\n    what pods do by themselves is in it: pauses, bursts, "
      "lasting differences. The shares of the steps are not\n",
      kName, rolled_back_text(by_process.rate), by_process.canary, by_process.processes,
      by_process.canary == 1 ? "is" : "are", data_text(by_process.rate));
  if (by_process.independent < by_process.rate.runs)
    out += fmt::format(
        "    the interval is that of {:.0f} independent releases: more draw the same data again, "
        "or a process that ends as before\n",
        std::max(1.0, std::floor(by_process.independent)));
  return out;
}

json::object rate_json(const SplitRate& rate) {
  return {{"injected", rate.injected},
          {"runs", rate.runs},
          {"rolled_back", rate.rolled_back},
          {"promoted", rate.promoted},
          {"median_minutes", rate.median_minutes},
          {"rolled_back_interval", {rate.interval.low, rate.interval.high}},
          {"minutes_with_data", rate.minutes_with_data}};
}

} // namespace

datasource::SeriesNames names_of(const config::Config& config) {
  return config.server.prometheus ? config.server.prometheus->names : datasource::SeriesNames{};
}

Result<std::vector<promql::Series>> seen_series(const ServiceTelemetry& telemetry, Track track,
                                                const std::vector<std::string>& by,
                                                std::int64_t from_ms, std::int64_t to_ms,
                                                std::int64_t step_ms) {
  const auto matchers =
      datasource::request_matchers(cohort_selector(telemetry.spec, track, ""), telemetry.names);
  const datasource::LabelSpelling spelling(*telemetry.source.data, telemetry.names);
  std::string labels;
  for (const auto& name : by) {
    for (const auto& label : spelling.of_label(name, to_ms))
      labels += (labels.empty() ? "" : ", ") + promql::label_text(label);
  }
  std::vector<promql::Series> seen;
  for (const auto& spelled : spelling.of(matchers, to_ms)) {
    const auto query =
        fmt::format("count by ({}) ({})", labels, datasource::selector_text(spelled));
    TRY_ASSIGN(auto found,
               telemetry.source.expressions->evaluate_range(query, from_ms, to_ms, step_ms));
    for (auto& series : found) {
      series.labels = datasource::with_plain_names(series.labels);
      seen.push_back(std::move(series));
    }
  }
  return seen;
}

Result<SplitRates> rates_on_stable(const ServiceTelemetry& telemetry, const RatesOptions& options) {
  const auto from_ms = std::max(options.from_ms, options.to_ms - kStableMs);
  TRY_ASSIGN(const auto cells, stable_cells(telemetry, from_ms, options.to_ms));
  TRY_ASSIGN(auto silences, silences_of_stable(telemetry, from_ms, options.to_ms));
  // A split of requests says nothing about the user's own metrics.
  auto spec = telemetry.spec;
  std::erase_if(spec.signals, [](const judge::SignalSpec& s) { return judge::is_metric(s.kind); });
  return measure_rates({.spec = spec,
                        .cells = cells,
                        .silences = std::move(silences),
                        .canary_processes = options.canary_processes,
                        .injected = options.injected,
                        .runs = options.runs,
                        .seed = options.seed});
}

std::string minutes_text(double minutes) {
  const auto seconds = static_cast<std::int64_t>(minutes * 60 + 0.5);
  return seconds >= 60 ? fmt::format("{}m{:02}s", seconds / 60, seconds % 60)
                       : fmt::format("{}s", seconds);
}

std::string equal_rates_text(const SplitRates& rates) {
  if (rates.by_request.empty())
    return "No rates: stable's telemetry does not cover one rollout and the half hour before it "
           "without a gap.\n";
  const auto& equal = rates.by_request.front();
  return fmt::format(
      "A/A: stable against itself, so every rollback is false (95% intervals)\n"
      "  by request: {}\n"
      "    each request goes to the canary at random, in the shares of the steps ({})\n    what "
      "pods "
      "do by themselves is not in it: it is on both sides alike\n{}",
      rolled_back_text(equal), data_text(equal), by_process_text(rates.by_process));
}

std::string injected_rates_text(const SplitRates& rates) {
  std::string out;
  for (const auto& rate : rates.by_request) {
    if (rate.injected == 0) continue;
    if (out.empty()) out = "A/B: errors added to the canary, by request\n";
    out += fmt::format("  +{:.1f}pp: caught {:.0f}% ({:.0f}% to {:.0f}%){}, {:.0f}% promoted\n",
                       rate.injected * 100, percent_of(rate.rolled_back, rate),
                       rate.interval.low * 100, rate.interval.high * 100,
                       rate.rolled_back > 0 ? ", median " + minutes_text(rate.median_minutes) : "",
                       percent_of(rate.promoted, rate));
  }
  return out;
}

json::array by_request_json(const SplitRates& rates) {
  json::array out;
  for (const auto& rate : rates.by_request) out.push_back(rate_json(rate));
  return out;
}

json::object by_process_json(const SplitRates& rates) {
  const auto& by_process = rates.by_process;
  if (by_process.known != ProcessesKnown::yes) {
    const bool one = by_process.known == ProcessesKnown::one_process;
    return {{"unknown", one ? "one_process" : "too_little_data"}};
  }
  auto out = rate_json(by_process.rate);
  out["processes"] = by_process.processes;
  out["canary_processes"] = by_process.canary;
  out["independent_releases"] = by_process.independent;
  return out;
}

std::vector<StableRates> rates_of_services(const config::Config& config, const std::string& where,
                                           int runs, std::uint64_t seed) {
  std::vector<StableRates> out;
  const auto source = open_source(where, config);
  const SystemClock clock;
  for (const auto& spec : config.specs) {
    if (!source) {
      out.push_back({spec.service, where, std::unexpected(source.error())});
      continue;
    }
    const auto to_ms = source->newest_ms.value_or(clock.wall_ms());
    out.push_back(
        {spec.service, source->name,
         rates_on_stable(
             {spec, *source, names_of(config)},
             {.from_ms = to_ms - kStableMs, .to_ms = to_ms, .runs = runs, .seed = seed})});
  }
  return out;
}

std::string text_of(const StableRates& found) {
  return fmt::format("{} on its own traffic in {}\n{}", found.service, found.source,
                     found.rates ? equal_rates_text(*found.rates)
                                 : fmt::format("No rates: {}.\n", found.rates.error().message));
}

json::object json_of(const StableRates& found) {
  json::object out{{"service", found.service}, {"source", found.source}};
  if (!found.rates) {
    out["unknown"] = found.rates.error().message;
    return out;
  }
  out["rates"] = by_request_json(*found.rates);
  out["by_process"] = by_process_json(*found.rates);
  return out;
}

} // namespace coalmine::lab
