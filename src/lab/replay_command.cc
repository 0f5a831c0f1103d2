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

#include "base/rfc3339.h"
#include "lab/commands.h"
#include "lab/local_question.h"
#include "lab/replay.h"
#include "lab/replay_rates.h"
#include "lab/stable_rates.h"
#include "lab/stable_splits.h"
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
      : question_(question),
        flags_(flags),
        telemetry_{question.spec, question.source, names_of(question.config)} {
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
      for (const auto& column : columns_)
        row.outcomes.push_back(replay_cells(column.spec, cells, rollout::TryStable::yes));
      if (const auto n = canary_processes(cells); n > 0) canaries.push_back(n);
      out.rows.push_back(std::move(row));
    }
    if (flags_.runs > 0) {
      std::ranges::sort(canaries);
      TRY_ASSIGN(
          out.rates,
          rates_on_stable(telemetry_,
                          {.from_ms = out.from_ms,
                           .to_ms = out.to_ms,
                           .canary_processes = canaries.empty() ? 1 : canaries[canaries.size() / 2],
                           .injected = {std::begin(kInjected), std::end(kInjected)},
                           .runs = flags_.runs,
                           .seed = flags_.seed}));
    }
    return out;
  }

 private:
  Result<std::vector<lab::PastRelease>> releases_between(std::int64_t from_ms,
                                                         std::int64_t to_ms) const {
    const auto step = std::max(kMinStepMs, (to_ms - from_ms) / kMaxPoints + 1);
    TRY_ASSIGN(const auto seen,
               seen_series(telemetry_, Track::canary, {"service_version"}, from_ms, to_ms, step));
    return lab::find_releases(seen, std::max(kGapMs, 3 * step));
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

  const LocalQuestion& question_;
  const ReplayFlags& flags_;
  const ServiceTelemetry telemetry_;
  std::vector<Column> columns_;
};

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
  json::object all{{"schema", "coalmine.replay/v1"},
                   {"service", question.spec.service},
                   {"source", question.source.name},
                   {"releases", std::move(releases)},
                   {"rates", by_request_json(found.rates)}};
  if (runs > 0) all["by_process"] = by_process_json(found.rates);
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
  if (flags.runs > 0)
    std::cout << equal_rates_text(found->rates) << injected_rates_text(found->rates);
  return exit;
}

} // namespace coalmine::lab
