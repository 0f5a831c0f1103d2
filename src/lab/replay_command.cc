// replay: past releases judged anew, and how often this configuration is wrong on this service's
// own traffic.
// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>
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

struct Rate {
  double injected = 0;
  int runs = 0;
  int rolled_back = 0;
  int promoted = 0;
  double median_minutes = 0; // of the rollbacks
};

struct Found {
  std::vector<Row> rows;
  std::vector<Rate> rates;
  std::int64_t from_ms = 0;
  std::int64_t to_ms = 0;
  double stable_hours = 0; // that the splits were drawn from
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
    for (auto& release : releases) {
      TRY_ASSIGN(auto cells, release_cells(release));
      Row row{std::move(release), {}};
      for (const auto& column : columns_) row.outcomes.push_back(replay_cells(column.spec, cells));
      out.rows.push_back(std::move(row));
    }
    if (flags_.runs > 0) TRY(measure(out));
    return out;
  }

 private:
  Result<std::vector<lab::PastRelease>> releases_between(std::int64_t from_ms,
                                                         std::int64_t to_ms) const {
    const auto matchers =
        datasource::request_matchers(cohort_selector(question_.spec, Track::canary, ""), names());
    const auto step = std::max(kMinStepMs, (to_ms - from_ms) / kMaxPoints + 1);
    const datasource::LabelSpelling spelling(*question_.source.data, names());
    std::string labels;
    for (const auto& label : spelling.of_label("service_version", to_ms))
      labels += (labels.empty() ? "" : ", ") + promql::label_text(label);
    std::vector<promql::Series> seen;
    for (const auto& spelled : spelling.of(matchers, to_ms)) {
      const auto query =
          fmt::format("count by ({}) ({})", labels, datasource::selector_text(spelled));
      TRY_ASSIGN(auto found,
                 question_.source.expressions->evaluate_range(query, from_ms, to_ms, step));
      for (auto& series : found) {
        series.labels = datasource::with_plain_names(series.labels);
        seen.push_back(std::move(series));
      }
    }
    return lab::find_releases(seen, std::max(kGapMs, 3 * step));
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

  Status measure(Found& out) const {
    TRY_ASSIGN(const auto cells,
               stable_cells(std::max(out.from_ms, out.to_ms - kStableMs), out.to_ms));
    if (cells.empty()) return {};
    out.stable_hours =
        static_cast<double>(cells.back().to_ms - cells.front().from_ms) / (60.0 * kMinuteMs);
    // After every beginning there are as many cells as a rollout may take; before it, stable's
    // past.
    const auto length = cells.front().to_ms - cells.front().from_ms;
    const auto past = static_cast<std::size_t>(rollout::kBaselineMs / length);
    std::int64_t schedule = 0;
    for (const auto& step : question_.spec.steps) schedule += step.analyze_ms;
    const auto needed = static_cast<std::size_t>(schedule / length) + 1;
    if (cells.size() < past + needed) return {};
    // A split of requests says nothing about the user's own metrics.
    auto spec = question_.spec;
    std::erase_if(spec.signals,
                  [](const judge::SignalSpec& s) { return judge::is_metric(s.kind); });
    std::mt19937_64 random(flags_.seed);
    std::vector<double> injected = {0};
    injected.insert(injected.end(), std::begin(kInjected), std::end(kInjected));
    for (const auto more : injected)
      out.rates.push_back(measure_one(spec, cells, past, needed, more, random));
    return {};
  }

  Rate measure_one(const rollout::RolloutSpec& spec, const std::vector<CountCell>& cells,
                   std::size_t past, std::size_t needed, double more,
                   std::mt19937_64& random) const {
    Rate rate{.injected = more,
              .runs = flags_.runs,
              .rolled_back = 0,
              .promoted = 0,
              .median_minutes = 0};
    std::vector<double> minutes;
    for (int run = 0; run < flags_.runs; ++run) {
      const auto first =
          std::uniform_int_distribution<std::size_t>(past, cells.size() - needed)(random);
      const std::vector window(cells.begin() + static_cast<std::ptrdiff_t>(first - past),
                               cells.end());
      const auto outcome = replay_cells(spec, split_stable(spec, window, past, more, random));
      if (outcome.end == ReplayEnd::promoted) ++rate.promoted;
      if (outcome.end != ReplayEnd::rolled_back) continue;
      ++rate.rolled_back;
      minutes.push_back(outcome.minutes);
    }
    std::ranges::sort(minutes);
    if (!minutes.empty()) rate.median_minutes = minutes[minutes.size() / 2];
    return rate;
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

void print_rates(const Found& found) {
  if (found.rates.empty()) {
    std::cout
        << "No rates: stable's telemetry does not cover one rollout and the half hour before it.\n";
    return;
  }
  for (const auto& rate : found.rates) {
    const double share = rate.runs == 0 ? 0 : 100.0 * rate.rolled_back / rate.runs;
    const double promoted = rate.runs == 0 ? 0 : 100.0 * rate.promoted / rate.runs;
    if (rate.injected == 0) {
      std::cout << fmt::format(
          "A/A: {} random splits of {:.1f} h of stable: {} rolled back ({:.1f}%), {:.1f}% "
          "promoted\n",
          rate.runs, found.stable_hours, rate.rolled_back, share, promoted);
    } else {
      std::cout << fmt::format(
          "A/B: +{:.1f}pp errors injected: caught {:.0f}%{}, {:.0f}% promoted\n",
          rate.injected * 100, share,
          rate.rolled_back > 0 ? ", median " + minutes_text(rate.median_minutes) : "", promoted);
    }
  }
}

std::string replay_json(const Found& found, const LocalQuestion& question,
                        const std::vector<Column>& columns) {
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
  for (const auto& rate : found.rates) {
    rates.push_back(json::object{{"injected", rate.injected},
                                 {"runs", rate.runs},
                                 {"rolled_back", rate.rolled_back},
                                 {"promoted", rate.promoted},
                                 {"median_minutes", rate.median_minutes}});
  }
  return json::serialize(json::object{{"schema", "coalmine.replay/v1"},
                                      {"service", question.spec.service},
                                      {"source", question.source.name},
                                      {"releases", std::move(releases)},
                                      {"rates", std::move(rates)}});
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
  const int exit = found->rows.empty() && found->rates.empty() ? cli::kExitNoData : cli::kExitGood;
  if (common.output == "json") {
    std::cout << replay_json(*found, *question, replay.columns()) << '\n';
    return exit;
  }
  std::cout << fmt::format("{} past release{} of {} found in {}\n\n", found->rows.size(),
                           found->rows.size() == 1 ? "" : "s", question->spec.service,
                           question->source.name);
  if (!found->rows.empty()) {
    print_releases(*found, replay.columns());
    std::cout << '\n';
  }
  if (flags.runs > 0) print_rates(*found);
  return exit;
}

} // namespace coalmine::lab
