// SPDX-License-Identifier: Apache-2.0
#include "lab/simulate.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <cstdio>
#include <memory>
#include <thread>

#include "judge/reason.h"
#include "lab/commands.h"

namespace coalmine::lab {

void for_each_run(std::size_t count, const std::function<void(std::size_t)>& body) {
  const std::size_t workers = std::clamp<std::size_t>(std::thread::hardware_concurrency(), 1, 64);
  std::atomic<std::size_t> next = 0;
  std::vector<std::jthread> threads;
  for (std::size_t w = 0; w < std::min(workers, count); ++w) {
    threads.emplace_back([&] {
      for (std::size_t i = next++; i < count; i = next++) body(i);
    });
  }
}

namespace {

constexpr double kExtend = 3; // the gate may be put off twice, each time by the step's own length

lab::SimulationSummary simulate(const judge::SequentialOptions& options,
                                const lab::TrafficModel& model, const lab::CanaryChange& change,
                                std::size_t runs, std::uint64_t seed,
                                std::vector<lab::SimulatedRelease>* all = nullptr) {
  std::vector<lab::SimulatedRelease> releases(runs);
  const auto steps = lab::usual_steps();
  for_each_run(runs, [&](std::size_t i) {
    const auto one = judge::make_sequential_judge(options);
    lab::SimulatedTraffic traffic(model, change, seed + i);
    releases[i] = lab::simulate_release(*one, traffic, steps, kExtend);
  });
  auto out = lab::summarize(releases, steps);
  if (all != nullptr) *all = std::move(releases);
  return out;
}

std::string minutes(double share, double value) {
  return share > 0 ? fmt::format(" ({:.3g})", value) : "";
}

// The decision rule alone: errors only, a margin of half a point, no dispersion to estimate.
std::string rule_table(std::size_t runs, std::uint64_t seed) {
  std::string out = fmt::format(
      "### The decision rule by true difference\n\n"
      "Errors only, 1 % on stable, 200 rps, margin +0.5pp, alpha 1 % for rollback and 5 % for "
      "promotion, steps 5% 10m, 25% 10m, "
      "50% 15m,\n"
      "each at most three times as long; {} runs a cell. Share rolled back (median minutes) / "
      "promoted / inconclusive.\n\n"
      "| true difference | default | `strict: true` |\n|---|---|---|\n",
      runs);
  for (const double d : {0.0, 0.001, 0.002, 0.004, 0.005, 0.006, 0.01, 0.04}) {
    std::string row = fmt::format("| {:+.1f}pp |", d * 100);
    for (const bool strict : {false, true}) {
      auto options = judge::sequential_defaults();
      options.signals.resize(1);
      options.signals[0].automatic = false;
      options.signals[0].margin = {judge::Margin::Unit::points, 0.005};
      options.strict = strict;
      lab::TrafficModel model;
      model.stable_instances = 4;
      lab::CanaryChange change;
      change.error_rate_added = d;
      const auto s = simulate(options, model, change, runs, seed);
      row += fmt::format(" {:.3f}{} / {:.3f} / {:.3f} |", s.rolled_back,
                         minutes(s.rolled_back, s.rollback_median), s.promoted, s.inconclusive);
    }
    out += row + "\n";
  }
  return out;
}

std::string traffic_table(std::size_t runs, std::uint64_t seed) {
  std::string out = fmt::format(
      "\n### The default margins by traffic and error rate\n\n"
      "All default signals (error rate, p99, p999), steps as above, {} runs a cell. The schedule "
      "is 35 minutes.\n\n"
      "| rps | errors on stable | margin | equal: promoted within 52.5 min | equal: promoted | "
      "equal: rolled back | +1pp: rolled "
      "back (median min) | "
      "+1pp: promoted | x2: rolled back (median min) |\n|---|---|---|---|---|---|---|---|---|\n",
      runs);
  for (const double rps : {2.0, 20.0, 200.0, 2000.0}) {
    for (const double p : {0.0001, 0.001, 0.005, 0.01, 0.02, 0.05}) {
      lab::TrafficModel model;
      model.rps = rps;
      model.error_rate = p;
      model.stable_instances = 4;
      model.baseline_minutes = 60;
      lab::CanaryChange change;
      const auto options = judge::sequential_defaults();
      const auto equal = simulate(options, model, change, runs, seed);
      change.error_rate_added = 0.01;
      const auto worse = simulate(options, model, change, runs, seed);
      change.error_rate_added = p;
      const auto twice = simulate(options, model, change, runs, seed);
      out += fmt::format(
          "| {:g} | {:g} % | {} | {:.3f} | {:.3f} | {:.3f} | {:.3f}{} | {:.3f} | {:.3f}{} |\n", rps,
          p * 100, judge::to_string(judge::default_error_margin(p, options.plan, rps * 1.0)),
          equal.promoted_in_time, equal.promoted, equal.rolled_back, worse.rolled_back,
          minutes(worse.rolled_back, worse.rollback_median), worse.promoted, twice.rolled_back,
          minutes(twice.rolled_back, twice.rollback_median));
    }
  }
  return out;
}

void put_summary(const SimulateFlags& flags, const cli::CommonFlags& common,
                 const lab::SimulationSummary& s,
                 const std::vector<lab::SimulatedRelease>& releases, bool worse) {
  if (common.output == "json") {
    const boost::json::object out{
        {"schema", "coalmine.simulation/v1"},
        {"runs", s.runs},
        {"seed", flags.seed},
        {"promoted", s.promoted},
        {"rolled_back", s.rolled_back},
        {"inconclusive", s.inconclusive},
        {"promoted_in_time", s.promoted_in_time},
        {"rollback_minutes", {{"median", s.rollback_median}, {"p95", s.rollback_p95}}},
        {"promote_minutes", {{"median", s.promote_median}, {"p95", s.promote_p95}}}};
    std::puts(boost::json::serialize(out).c_str());
    return;
  }
  const auto line = [](const char* what, double share, double median, double p95) {
    std::fputs(
        fmt::format("{:<14}{:>7.2f}%{}\n", what, share * 100,
                    share > 0 && median > 0
                        ? fmt::format("   median {:.4g} min, 95% within {:.4g} min", median, p95)
                        : "")
            .c_str(),
        stdout);
  };
  std::fputs(fmt::format("{} simulated releases, {} rps, {:g}% errors on stable, seed {}\n", s.runs,
                         flags.rps, flags.error_rate * 100, flags.seed)
                 .c_str(),
             stdout);
  line(worse ? "rolled back" : "rolled back*", s.rolled_back, s.rollback_median, s.rollback_p95);
  line(worse ? "promoted*" : "promoted", s.promoted, s.promote_median, s.promote_p95);
  line("inconclusive", s.inconclusive, 0, 0);
  std::fputs(worse ? "* wrong: the canary is worse\n" : "* wrong: the versions are equal\n",
             stdout);
  if (!releases.empty() && !common.quiet)
    std::fputs(fmt::format("\nThe first one: {}\n", releases[0].reason).c_str(), stdout);
}

} // namespace

// Shapes of latency that a choice of boundaries from the past can miss.
std::string latency_table(std::size_t runs, std::uint64_t seed) {
  struct Row {
    const char* name;
    lab::TrafficModel model;
    lab::CanaryChange worse;
  };
  lab::TrafficModel usual, narrow, one, young, counters, slow_exports;
  usual.stable_instances = 4;
  for (auto* model : {&narrow, &one, &young, &counters, &slow_exports}) *model = usual;
  narrow.median_ms = 4;
  narrow.sigma = 0.2;
  one.median_ms = 3;
  one.sigma = 0.1;
  young.baseline_minutes = 1;
  young.stable_warms_minutes = 3;
  counters.durations = false;
  slow_exports.cell_seconds = 60;
  const lab::CanaryChange slower{.latency_factor = 1.5};
  const Row rows[] = {
      {"usual: 1.5 times slower", usual, slower},
      {"tail beyond stable: 2 % take 8 s, all of stable 10 ms at most",
       narrow,
       {.slow_share = 0.02, .slow_factor = 2000}},
      {"one bucket: 30 times slower", one, {.latency_factor = 30}},
      {"young stable, durations from minute 3: 1.5 times slower", young, slower},
      {"own counters only: errors 1 to 2 %", counters, {.error_rate_added = 0.01}},
      {"exports every 60 s: 1.5 times slower", slow_exports, slower},
  };
  std::string out = fmt::format(
      "\n### Latency in buckets that tell little\n\n"
      "All default signals, 200 rps, 1 % errors, 4 stable instances, steps as above, {} runs a "
      "row. "
      "Without durations nothing is promoted: latency is unknown.\n\n"
      "| canary | equal: promoted | equal: rolled back | worse: rolled back (median min) | worse: "
      "promoted |\n|---|---|---|---|---|\n",
      runs);
  for (const auto& row : rows) {
    const auto options = judge::sequential_defaults();
    const auto equal = simulate(options, row.model, {}, runs, seed);
    const auto worse = simulate(options, row.model, row.worse, runs, seed);
    out += fmt::format("| {} | {:.3f} | {:.3f} | {:.3f}{} | {:.3f} |\n", row.name, equal.promoted,
                       equal.rolled_back, worse.rolled_back,
                       minutes(worse.rolled_back, worse.rollback_median), worse.promoted);
  }
  return out;
}

std::string default_tables(std::size_t runs, std::uint64_t seed) {
  return rule_table(runs, seed) + traffic_table(std::max<std::size_t>(1, runs / 5), seed);
}

int run_simulate(const SimulateFlags& flags, const cli::CommonFlags& common) {
  if (!flags.table.empty()) {
    const auto table = flags.table == "reference" ? reference_tables
                       : flags.table == "exports" ? export_tables
                       : flags.table == "latency" ? latency_table
                       : flags.table == "hard"    ? hard_table
                                                  : default_tables;
    const std::string out = table(flags.runs, flags.seed);
    std::fputs(out.c_str(), stdout);
    return 0;
  }
  lab::TrafficModel model;
  model.rps = flags.rps;
  model.error_rate = flags.error_rate;
  model.clump = flags.clump;
  model.routes = flags.routes;
  model.stable_instances = flags.instances;
  lab::CanaryChange change;
  change.error_rate_added = flags.errors_added;
  change.latency_factor = flags.latency_factor;
  change.slow_share = flags.slow_share;
  change.slow_factor = flags.slow_factor;
  change.from_minute = flags.from_minute;
  change.ramp_minutes = flags.ramp_minutes;
  change.only_route = flags.only_route;
  auto options = judge::sequential_defaults();
  options.strict = flags.strict;
  std::vector<lab::SimulatedRelease> releases;
  const auto summary = simulate(options, model, change, flags.runs, flags.seed, &releases);
  put_summary(flags, common, summary, releases,
              change.error_rate_added > 0 || change.latency_factor > 1 || change.slow_share > 0);
  return 0;
}

} // namespace coalmine::lab
