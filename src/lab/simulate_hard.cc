// The sequential judge on traffic whose requests depend on each other, as those of real pods do.
// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <cstdio>
#include <string>
#include <utility>
#include <vector>

#include "cohort/durations.h"
#include "judge/judge.h"
#include "lab/pods.h"
#include "lab/share_interval.h"
#include "lab/simulate.h"
#include "telemetry/durations.h"

namespace coalmine::lab {
namespace {

constexpr double kHardExtend = 3; // as in the other tables
constexpr double kScheduleMinutes = 35;

struct HardRow {
  std::string name;
  PodModel model{};
  CanaryChange change{};
  std::vector<SimulatedStep> steps = usual_steps();
  std::vector<judge::SignalSpec> signals{}; // beside the default ones
};

struct HardGroup {
  const char* title;
  const char* about;
  std::vector<HardRow> rows{};

  HardRow& add(std::string name, PodModel model, const CanaryChange& change = {}) {
    HardRow row;
    row.name = std::move(name);
    row.model = std::move(model);
    row.change = change;
    return rows.emplace_back(std::move(row));
  }
};

// Every pod of both tracks carries the same load.
std::vector<SimulatedStep> equal_load(const PodModel& model) {
  return {{static_cast<double>(model.canary_pods) / (model.canary_pods + model.stable_pods),
           kScheduleMinutes, 100}};
}

judge::SignalSpec request_share() {
  judge::SignalSpec out;
  out.name = "request_share";
  out.kind = judge::SignalKind::request_share;
  out.margin = {judge::Margin::Unit::percent, 0.2, judge::Worse::lower};
  return out;
}

judge::SignalSpec own_ratio() {
  judge::SignalSpec out;
  out.name = "own";
  out.kind = judge::SignalKind::ratio;
  out.margin = {judge::Margin::Unit::percent, 0.2};
  out.per_route = false;
  return out;
}

PodModel with_pauses(double seconds, double every_seconds) {
  PodModel out;
  out.pauses = {.seconds = seconds, .every_seconds = every_seconds};
  return out;
}
PodModel with_drift(double minutes) {
  PodModel out;
  out.error_drift = {.cv = 0.5, .minutes = minutes};
  return out;
}
PodModel with_slow_minutes() {
  PodModel out;
  out.slow_minutes.every_minutes = 30;
  return out;
}
PodModel with_bursts() {
  PodModel out;
  out.error_rate = 0.001;
  out.bursts.errors = 20;
  return out;
}
PodModel with_warm_up() {
  PodModel out;
  out.warm_up = {.seconds = 180, .errors_added = 0.02};
  return out;
}
PodModel with_lasting(double error_cv, double latency_cv) {
  PodModel out;
  out.lasting = {.error_cv = error_cv, .latency_cv = latency_cv};
  return out;
}

// Each row with the usual steps, and with the same load on every pod.
HardGroup with_both_plans(HardGroup group) {
  for (auto& row : std::exchange(group.rows, {})) {
    group.rows.push_back(row);
    row.steps = equal_load(row.model);
    group.rows.push_back(std::move(row));
  }
  return group;
}

HardGroup exchangeable() {
  HardGroup out{"Equal versions, pods exchangeable",
                "What happens comes and goes on every pod alike. At most 1 % may be rolled back."};
  out.add("nothing else", {});
  out.add("pauses of 0.5 s every 60 s", with_pauses(0.5, 60));
  out.add("pauses of 1 s every 2 min", with_pauses(1, 120));
  out.add("pauses of 2 s every 5 min", with_pauses(2, 300));
  auto fine = with_pauses(2, 300);
  fine.bounds_ms = cohort::judged_bounds_ms(kDurationScale);
  out.add("the same, exponential histogram", fine);
  auto even = with_pauses(1, 120);
  even.canary_pods = even.stable_pods = 10;
  out.add("pauses of 1 s every 2 min, 10 and 10 pods", even);
  for (const double minutes : {1.0, 5.0, 15.0})
    out.add(fmt::format("error rate of a pod drawn every {:g} min, cv 0.5", minutes),
            with_drift(minutes));
  out.add("one minute in 30 of a pod twice as slow", with_slow_minutes());
  out.add("20 errors at once every hour of a pod, else 0.1 %", with_bursts());
  out.add("the canary warms up: 3 % for 180 s", with_warm_up());
  PodModel users, ratio;
  users.routes = 20;
  users.requests_a_user = 3;
  out.add("request_share, users of 3 requests, 20 routes", users).signals = {request_share()};
  ratio.own_ratio = {.rate = 0.05, .of_requests = 0.5};
  out.add("own ratio of 5 % in clumps of 3, +20 % allowed", ratio).signals = {own_ratio()};
  return with_both_plans(std::move(out));
}

HardGroup not_exchangeable() {
  HardGroup out{"Equal versions, pods not exchangeable",
                "Differences that stay with a pod. No test can tell those of the canary's pods "
                "from a difference of the versions: the judge should ask."};
  PodModel node, users, bot;
  node.lasting.canary_latency_factor = 1.15;
  users.sticky_users.users = 2000;
  bot.routes = 20;
  bot.bots.bots = 1;
  out.add("error rates of pods, cv 0.3", with_lasting(0.3, 0));
  out.add("latencies of pods, cv 0.1", with_lasting(0, 0.1));
  out.add("the canary's node 15 % slower", node);
  out.add("2,000 sticky users (Zipf), error cv 1", users);
  out.add("a sticky bot, 1 rps, half errors, on one of 20 routes", bot);
  return with_both_plans(std::move(out));
}

HardGroup regressions() {
  HardGroup out{"Regressions in the same traffic", "Minutes are counted from their onset."};
  const CanaryChange errors{.error_rate_added = 0.01}, slower{.latency_factor = 1.2},
      slow{.latency_factor = 1.5};
  PodModel many, routes, crashes;
  many.rps = 2000;
  routes.routes = 50;
  crashes.warm_up.seconds = 180;
  crashes.canary_restarts_seconds = 60;
  const auto pauses = with_pauses(1, 120);
  out.add("errors 1 to 2 %", {}, errors);
  out.add("latency x1.2", {}, slower);
  out.add("latency x1.5", {}, slow);
  out.add("pauses of 1 s every 2 min: errors 1 to 2 %", pauses, errors);
  out.add("pauses of 1 s every 2 min: latency x1.2", pauses, slower);
  out.add("pauses of 1 s every 2 min: latency x1.5", pauses, slow);
  out.add("error rate drawn every 5 min: 1 to 2 %", with_drift(5), errors);
  out.add("slow minutes: errors 1 to 2 %", with_slow_minutes(), errors);
  out.add("slow minutes: latency x1.2", with_slow_minutes(), slower);
  out.add("bursts: errors 0.1 to 1.1 %", with_bursts(), errors);
  out.add("warm-up: errors 1 to 2 %", with_warm_up(), errors);
  out.add("pods' error cv 0.3: 1 to 2 %", with_lasting(0.3, 0), errors);
  out.add("pods' latency cv 0.1: x1.5", with_lasting(0, 0.1), slow);
  out.add("2,000 rps: 0.3 % of requests x10", many, {.slow_share = 0.003, .slow_factor = 10});
  out.add("2,000 rps: 0.18 % of requests x100", many, {.slow_share = 0.0018, .slow_factor = 100});
  out.add("errors 1 to 2 % after 4 h", {}, {.error_rate_added = 0.01, .from_minute = 240}).steps = {
      {0.05, 330, 100}};
  out.add("one route of 50: errors 1 to 11 %", routes, {.error_rate_added = 0.1, .only_route = 7});
  out.add("the canary restarts every 60 s: errors 1 to 5 %", crashes, {.error_rate_added = 0.04});
  return out;
}

SimulationSummary simulate_row(const HardRow& row, std::size_t runs, std::uint64_t seed) {
  auto options = judge::sequential_defaults();
  options.signals.insert(options.signals.end(), row.signals.begin(), row.signals.end());
  options.plan.clear();
  for (const auto& step : row.steps) options.plan.push_back({step.weight, step.minutes});
  std::vector<SimulatedRelease> releases(runs);
  for_each_run(runs, [&](std::size_t i) {
    const auto judge = judge::make_sequential_judge(options);
    SimulatedPods pods(row.model, row.change, seed + i);
    releases[i] = simulate_release(*judge, pods, row.steps, kHardExtend);
  });
  return summarize(releases, row.steps);
}

std::string with_interval(double share, std::size_t runs) {
  const auto [low, high] = share_interval(share, static_cast<double>(runs));
  return fmt::format("{:.1f} % [{:.1f}, {:.1f}]", share * 100, low * 100, high * 100);
}

std::string steps_text(const std::vector<SimulatedStep>& steps) {
  std::string weights;
  double minutes = 0;
  for (const auto& step : steps) {
    weights += fmt::format("{}{:g}", weights.empty() ? "" : "/", step.weight * 100);
    minutes += step.minutes;
  }
  return fmt::format("{} %, {:g} min", weights, minutes);
}

struct HardColumn {
  const char* title;
  std::string (*text)(const HardRow&, const SimulationSummary&);
};
constexpr HardColumn kHardColumns[] = {
    {"traffic", [](const HardRow& row, const SimulationSummary&) { return row.name; }},
    {"steps", [](const HardRow& row, const SimulationSummary&) { return steps_text(row.steps); }},
    {"rolled back",
     [](const HardRow&, const SimulationSummary& s) {
       return with_interval(s.rolled_back, s.runs);
     }},
    {"promoted on schedule",
     [](const HardRow&, const SimulationSummary& s) {
       return fmt::format("{:.1f} %", s.promoted_in_time * 100);
     }},
    {"promoted",
     [](const HardRow&, const SimulationSummary& s) {
       return fmt::format("{:.1f} %", s.promoted * 100);
     }},
    {"inconclusive",
     [](const HardRow&, const SimulationSummary& s) {
       return fmt::format("{:.1f} %", s.inconclusive * 100);
     }},
    {"minutes to rollback",
     [](const HardRow& row, const SimulationSummary& s) {
       return s.rolled_back > 0 ? fmt::format("{:.4g}", s.rollback_median - row.change.from_minute)
                                : std::string();
     }},
    {"phi", [](const HardRow&,
               const SimulationSummary& s) { return fmt::format("{:.2f}", s.dispersion_median); }},
};

} // namespace

std::string hard_table(std::size_t runs, std::uint64_t seed) {
  std::string out = fmt::format(
      "### Requests that depend on each other\n\n"
      "1 canary and 19 stable pods, 200 rps, 1 % errors, cells of 15 s, all default signals, each "
      "step at most three times as long; {} runs a row, seed {}.\n"
      "Rolled back: with its 95 % interval. On schedule: within one and a half times the steps' "
      "minutes. Medians: minutes to rollback, and phi, as the judge shows it at the end.\n",
      runs, seed);
  const HardGroup groups[] = {exchangeable(), not_exchangeable(), regressions()};
  std::size_t all = 0, done = 0;
  for (const auto& group : groups) all += group.rows.size();
  for (const auto& group : groups) {
    out += fmt::format("\n#### {}\n\n{}\n\n|", group.title, group.about);
    for (const auto& column : kHardColumns) out += fmt::format(" {} |", column.title);
    out += "\n|";
    for (std::size_t i = 0; i < std::size(kHardColumns); ++i) out += "---|";
    for (const auto& row : group.rows) {
      std::fputs(fmt::format("{} of {}: {}\n", ++done, all, row.name).c_str(), stderr);
      const auto summary = simulate_row(row, runs, seed);
      out += "\n|";
      for (const auto& column : kHardColumns)
        out += fmt::format(" {} |", column.text(row, summary));
    }
    out += "\n";
  }
  return out;
}

} // namespace coalmine::lab
