// replay: past releases judged anew, and how often this configuration is wrong on this service's
// own traffic.
// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>
#include <cmath>
#include <iostream>
#include <utility>

#include "base/json_text.h"
#include "base/rfc3339.h"
#include "datasource/label_spelling.h"
#include "datasource/prometheus.h"
#include "datasource/request_series.h"
#include "datasource/series_names.h"
#include "lab/commands.h"
#include "lab/local_question.h"
#include "lab/replay.h"
#include "lab/replay_rates.h"
#include "lab/stable_splits.h"
#include "promql/syntax/printer.h"
#include "rollout/evidence/cohort_selector.h"
#include "rollout/evidence/evidence_feed.h"
#include "rollout/evidence/metric_reader.h"
#include "rollout/evidence/one_shot.h"
#include "rollout/spec.h"

namespace coalmine::lab {
namespace {

namespace json = boost::json;
using lab::ReplayEnd;
using lab::ReplayOutcome;

constexpr std::int64_t kMinuteMs = 60'000;
constexpr std::int64_t kMinStepMs = 60'000;
constexpr std::int64_t kMaxPoints = 10'000;
constexpr std::size_t kMaxReleases = 200;
// A canary that is away for longer has ended; telemetry misses an export now and then.
constexpr std::int64_t kGapMs = 15 * kMinuteMs;
// Stable's traffic for the random splits: the newest of it.
constexpr std::int64_t kStableMs = 12 * 60 * kMinuteMs;
constexpr double kInjected[] = {0.003, 0.01};

// The same configuration with another judge.
struct Column {
  std::string name;
  rollout::RolloutSpec spec;
};

struct Row {
  lab::PastRelease release;
  std::vector<ReplayOutcome> outcomes; // one a column
};

struct Found {
  std::vector<Row> rows;
  SplitRates rates{};
  std::int64_t from_ms = 0;
  std::int64_t to_ms = 0;
};

// Does one replay. Lives for one command.
class Replay {
 public:
  Replay(const LocalQuestion& question, const ReplayFlags& flags)
      : question_(question), flags_(flags) {
    columns_.push_back({"this config", question.spec});
    for (const auto* name : {"sequential", "threshold"}) {
      if (question.spec.judge == name) continue;
      Column other{fmt::format("judge: {}", name), question.spec};
      other.spec.judge = name;
      if (columns_.size() < 3) columns_.push_back(std::move(other));
    }
  }

  const std::vector<Column>& columns() const { return columns_; }

  Result<Found> run() {
    Found out;
    TRY_ASSIGN(out.to_ms, moment_of(flags_.to, question_.now_ms));
    TRY_ASSIGN(out.from_ms, moment_of(flags_.from, out.to_ms));
    if (out.from_ms >= out.to_ms)
      return fail(ErrorCode::invalid_argument, "--from is not before --to");
    TRY_ASSIGN(auto releases, releases_between(out.from_ms, out.to_ms));
    if (releases.size() > kMaxReleases)
      releases.erase(releases.begin(), releases.end() - kMaxReleases);
    std::vector<std::size_t> canaries; // the processes of each release's canary
    for (auto& release : releases) {
      TRY_ASSIGN(auto cells, release_cells(release));
      Row row{std::move(release), {}};
      for (const auto& column : columns_) row.outcomes.push_back(replay_cells(column.spec, cells));
      if (const auto n = canary_processes(cells); n > 0) canaries.push_back(n);
      out.rows.push_back(std::move(row));
    }
    if (flags_.runs > 0) {
      std::ranges::sort(canaries);
      TRY(measure(canaries.empty() ? 1 : canaries[canaries.size() / 2], out));
    }
    return out;
  }

 private:
  // A point at every step for each combination of these labels that a track's series have then.
  Result<std::vector<promql::Series>> seen_of(Track track, const std::vector<std::string>& by,
                                              std::int64_t from_ms, std::int64_t to_ms,
                                              std::int64_t step_ms) const {
    const auto matchers =
        datasource::request_matchers(cohort_selector(question_.spec, track, ""), names());
    const datasource::LabelSpelling spelling(*question_.source.data, names());
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
                 question_.source.expressions->evaluate_range(query, from_ms, to_ms, step_ms));
      for (auto& series : found) {
        series.labels = datasource::with_plain_names(series.labels);
        seen.push_back(std::move(series));
      }
    }
    return seen;
  }

  Result<std::vector<lab::PastRelease>> releases_between(std::int64_t from_ms,
                                                         std::int64_t to_ms) const {
    const auto step = std::max(kMinStepMs, (to_ms - from_ms) / kMaxPoints + 1);
    TRY_ASSIGN(const auto seen, seen_of(Track::canary, {"service_version"}, from_ms, to_ms, step));
    return lab::find_releases(seen, std::max(kGapMs, 3 * step));
  }

  Result<Silences> silences_of_stable(std::int64_t from_ms, std::int64_t to_ms) const {
    const auto instance_labels = names().instance_labels;
    auto by = instance_labels;
    by.emplace_back("service_version");
    TRY_ASSIGN(const auto seen, seen_of(Track::stable, by, from_ms, to_ms, kMinStepMs));
    return find_silences(seen, kMinStepMs, instance_labels);
  }

  datasource::SeriesNames names() const {
    return question_.config.server.prometheus ? question_.config.server.prometheus->names
                                              : datasource::SeriesNames{};
  }

  Result<std::vector<CountCell>> release_cells(const lab::PastRelease& release) const {
    const auto until =
        std::min(release.to_ms, release.from_ms + longest_ms(question_.spec)) + kMinuteMs;
    const auto spec = std::make_shared<const rollout::RolloutSpec>(question_.spec);
    auto feed =
        rollout::make_grid_feed(*question_.source.counts, {.spec = spec,
                                                           .canary_version = release.version,
                                                           .stable_version = "",
                                                           .started_ms = release.from_ms});
    if (!spec->metrics.empty()) {
      feed = rollout::make_metric_feed(
          std::move(feed), *question_.source.metrics,
          {.spec = spec, .canary_version = release.version, .stable_version = ""});
    }
    return rollout::read_everything(
        *feed, {.changes = {{release.from_ms, release.from_ms, 0}}, .until_ms = until}, until);
  }

  // Stable on both sides: its cells whatever the canary did.
  Result<std::vector<CountCell>> stable_cells(std::int64_t from_ms, std::int64_t to_ms) const {
    const auto& source = *question_.source.counts;
    cohort::CountFeedRequest request;
    request.canary = request.stable = cohort_selector(question_.spec, Track::stable, "");
    request.origin_ms = from_ms;
    cohort::GridOptions options;
    options.origin_ms = from_ms;
    options.ignore_routes = question_.spec.ignore_routes;
    options.own_routes = question_.spec.critical_routes;
    options.min_route_requests = question_.spec.min_route_requests;
    options.unseen_instances_begin_at_zero = source.traits().unseen_instances_begin_at_zero;
    cohort::CountGrid grid(options);
    const auto feed = source.open(std::move(request));
    TRY(feed->read(grid, to_ms));
    auto out = grid.close(to_ms);
    for (auto& cell : out) rollout::mark_baseline(cell, 0);
    return out;
  }

  Status measure(std::size_t canary_processes, Found& out) const {
    const auto from_ms = std::max(out.from_ms, out.to_ms - kStableMs);
    TRY_ASSIGN(const auto cells, stable_cells(from_ms, out.to_ms));
    TRY_ASSIGN(auto silences, silences_of_stable(from_ms, out.to_ms));
    // A split of requests says nothing about the user's own metrics.
    auto spec = question_.spec;
    std::erase_if(spec.signals,
                  [](const judge::SignalSpec& s) { return judge::is_metric(s.kind); });
    out.rates = measure_rates({.spec = spec,
                               .cells = cells,
                               .silences = std::move(silences),
                               .canary_processes = canary_processes,
                               .injected = {std::begin(kInjected), std::end(kInjected)},
                               .runs = flags_.runs,
                               .seed = flags_.seed});
    return {};
  }

  const LocalQuestion& question_;
  const ReplayFlags& flags_;
  std::vector<Column> columns_;
};

std::string minutes_text(double minutes) {
  const auto seconds = static_cast<std::int64_t>(minutes * 60 + 0.5);
  return seconds >= 60 ? fmt::format("{}m{:02}s", seconds / 60, seconds % 60)
                       : fmt::format("{}s", seconds);
}

int count_of(const Found& found, std::size_t column, ReplayEnd end) {
  return static_cast<int>(std::ranges::count_if(
      found.rows, [&](const Row& row) { return row.outcomes[column].end == end; }));
}

void print_releases(const Found& found, const std::vector<Column>& columns) {
  std::cout << fmt::format("{:<26}", "");
  for (const auto& column : columns) std::cout << fmt::format("{:>20}", column.name);
  std::cout << '\n';
  for (const auto end :
       {ReplayEnd::rolled_back, ReplayEnd::promoted, ReplayEnd::inconclusive, ReplayEnd::no_data}) {
    std::cout << fmt::format("{:<26}", to_string(end));
    for (std::size_t i = 0; i < columns.size(); ++i)
      std::cout << fmt::format("{:>20}", count_of(found, i, end));
    std::cout << '\n';
  }
  std::cout << '\n';
  for (const auto& row : found.rows) {
    const auto& own = row.outcomes.front();
    std::cout << fmt::format("{}  {:<16} {:<12} after {:<8} {}\n", rfc3339(row.release.from_ms),
                             row.release.version.empty() ? "(no version)" : row.release.version,
                             to_string(own.end), minutes_text(own.minutes), own.reason);
  }
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

void print_by_process(const ProcessRate& by_process) {
  constexpr std::string_view kName = "  by process: ";
  if (by_process.known == ProcessesKnown::one_process) {
    std::cout << kName
              << "cannot be known, because stable has one process only: nothing shows what pods "
                 "alone do to a comparison\n";
    return;
  }
  if (by_process.known == ProcessesKnown::too_little_data) {
    std::cout << kName
              << "cannot be known, because no two processes of stable have telemetry for one "
                 "rollout and the half hour before it\n";
    return;
  }
  std::cout << kName << rolled_back_text(by_process.rate) << '\n'
            << fmt::format(
                   "    {} of the {} processes of stable that can be drawn {} the canary, with the "
                   "share of the traffic "
                   "that it has ({})\n    what pods do by themselves is in it: pauses, bursts, "
                   "lasting differences. The shares of the steps are not\n",
                   by_process.canary, by_process.processes, by_process.canary == 1 ? "is" : "are",
                   data_text(by_process.rate));
  if (by_process.independent < by_process.rate.runs)
    std::cout << fmt::format(
        "    the interval is that of {:.0f} independent releases: more draw the same data again, "
        "or "
        "a process that ends as before\n",
        std::max(1.0, std::floor(by_process.independent)));
}

void print_rates(const SplitRates& rates) {
  if (rates.by_request.empty()) {
    std::cout << "No rates: stable's telemetry does not cover one rollout and the half hour before "
                 "it without a gap.\n";
    return;
  }
  const auto& equal = rates.by_request.front();
  std::cout << "A/A: stable against itself, so every rollback is false (95% intervals)\n"
            << "  by request: " << rolled_back_text(equal) << '\n'
            << fmt::format(
                   "    each request goes to the canary at random, in the shares of the steps "
                   "({})\n    what pods do by themselves is not in it: it is on both sides alike\n",
                   data_text(equal));
  print_by_process(rates.by_process);
  std::cout << "A/B: errors added to the canary, by request\n";
  for (const auto& rate : rates.by_request) {
    if (rate.injected == 0) continue;
    std::cout << fmt::format(
        "  +{:.1f}pp: caught {:.0f}% ({:.0f}% to {:.0f}%){}, {:.0f}% promoted\n",
        rate.injected * 100, percent_of(rate.rolled_back, rate), rate.interval.low * 100,
        rate.interval.high * 100,
        rate.rolled_back > 0 ? ", median " + minutes_text(rate.median_minutes) : "",
        percent_of(rate.promoted, rate));
  }
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

json::object by_process_json(const ProcessRate& by_process) {
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

std::string replay_json(const Found& found, const LocalQuestion& question,
                        const std::vector<Column>& columns, int runs) {
  json::array releases;
  for (const auto& row : found.rows) {
    json::object outcomes;
    for (std::size_t i = 0; i < columns.size(); ++i) {
      const auto& o = row.outcomes[i];
      outcomes[columns[i].name] = json::object{{"end", std::string(to_string(o.end))},
                                               {"minutes", o.minutes},
                                               {"step", o.step + 1},
                                               {"reason", o.reason}};
    }
    releases.push_back(json::object{{"version", row.release.version},
                                    {"from", rfc3339(row.release.from_ms)},
                                    {"to", rfc3339(row.release.to_ms)},
                                    {"outcomes", std::move(outcomes)}});
  }
  json::array rates;
  for (const auto& rate : found.rates.by_request) rates.push_back(rate_json(rate));
  json::object all{{"schema", "coalmine.replay/v1"},
                   {"service", question.spec.service},
                   {"source", question.source.name},
                   {"releases", std::move(releases)},
                   {"rates", std::move(rates)}};
  if (runs > 0) all["by_process"] = by_process_json(found.rates.by_process);
  return json::serialize(all);
}

} // namespace

int run_replay(const ReplayFlags& flags, const cli::CommonFlags& common) {
  const auto complain = [](const Error& error) {
    std::cerr << "coalmine: " << error.message << '\n';
    const bool environment =
        error.code == ErrorCode::unavailable || error.code == ErrorCode::deadline_exceeded;
    return environment ? cli::kExitUnreachable : cli::kExitUsage;
  };
  const auto question = local_question(flags.source, flags.config, flags.service);
  if (!question) return complain(question.error());
  Replay replay(*question, flags);
  const auto found = replay.run();
  if (!found) return complain(found.error());
  const int exit =
      found->rows.empty() && found->rates.by_request.empty() ? cli::kExitNoData : cli::kExitGood;
  if (common.output == "json") {
    std::cout << replay_json(*found, *question, replay.columns(), flags.runs) << '\n';
    return exit;
  }
  std::cout << fmt::format("{} past release{} of {} found in {}\n\n", found->rows.size(),
                           found->rows.size() == 1 ? "" : "s", question->spec.service,
                           question->source.name);
  if (!found->rows.empty()) {
    print_releases(*found, replay.columns());
    std::cout << '\n';
  }
  if (flags.runs > 0) print_rates(found->rates);
  return exit;
}

} // namespace coalmine::lab
