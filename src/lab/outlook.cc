// SPDX-License-Identifier: Apache-2.0
#include "lab/outlook.h"
#include "lab/replay.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "config/config_values.h"
#include "lab/simulate.h"
#include "lab/simulation.h"
#include "rollout/evidence/spec_judge.h"

namespace coalmine::lab {
namespace {

std::string share_text(double share) { return fmt::format("{:.0f} of 100", share * 100); }

} // namespace

std::string traffic_outlook(const rollout::RolloutSpec& spec, double rps, double error_rate,
                            std::size_t runs) {
  std::string out = fmt::format(
      "At {:g} requests a second with {} errors ({} simulated releases a line, latency spread as "
      "of most web services):\n",
      rps, config::percent_text(error_rate), runs);
  if (spec.judge != "sequential")
    return out + fmt::format(
                     "  no forecast for judge {}: only sequential gives a guarantee that can be "
                     "computed\n",
                     spec.judge);
  auto own = spec;
  const auto left_out = std::erase_if(
      own.signals, [](const judge::SignalSpec& s) { return judge::is_metric(s.kind); });
  std::vector<lab::SimulatedStep> steps;
  double schedule = 0;
  for (const auto& step : spec.steps) {
    if (step.analyze_ms <= 0) continue;
    steps.push_back(
        {step.weight, static_cast<double>(step.analyze_ms) / kMsPerMinute, step.min_requests});
    schedule += steps.back().minutes;
  }
  // Extensions as the policy has them, in lengths of the step.
  const double longest = spec.extend_ms > 0 && schedule > 0
                             ? 1 + spec.max_extends * static_cast<double>(spec.extend_ms) /
                                       kMsPerMinute * static_cast<double>(steps.size()) / schedule
                             : 1 + spec.max_extends;
  const auto simulate = [&](double added) {
    std::vector<lab::SimulatedRelease> releases(runs);
    lab::TrafficModel model;
    model.rps = rps;
    model.error_rate = error_rate;
    model.stable_instances = 4;
    lab::CanaryChange change;
    change.error_rate_added = added;
    for_each_run(runs, [&](std::size_t i) {
      const auto judge = rollout::make_judge(own, rollout::TryStable::no);
      lab::SimulatedTraffic traffic(model, change, i + 1);
      releases[i] = lab::simulate_release(*judge, traffic, steps, longest);
    });
    return lab::summarize(releases, steps);
  };
  const auto asked = [](const lab::SimulationSummary& s) {
    return s.inconclusive > 0 ? fmt::format(", a person is asked {}", share_text(s.inconclusive))
                              : std::string();
  };
  const auto equal = simulate(0);
  out += fmt::format(
      "  an equal release: promoted {} ({} within one and a half times the schedule of {}){}, "
      "rolled back {}\n",
      share_text(equal.promoted), share_text(equal.promoted_in_time),
      config::duration_text(static_cast<std::int64_t>(schedule * kMsPerMinute)), asked(equal),
      share_text(equal.rolled_back));
  for (const double added : {0.01, 0.05}) {
    const auto worse = simulate(added);
    out += fmt::format("  {:+g}pp errors: rolled back {}{}{}, promoted {}\n", added * 100,
                       share_text(worse.rolled_back),
                       worse.rolled_back > 0 ? fmt::format(" (half of them within {:.3g} minutes)",
                                                           worse.rollback_median)
                                             : "",
                       asked(worse), share_text(worse.promoted));
  }
  if (equal.promoted_in_time < 0.95) {
    out +=
        "  too little traffic to promote on time: lengthen the steps, start at a larger weight, or "
        "allow wider margins\n";
  }
  if (left_out > 0) out += fmt::format("  metrics of your own are left out here ({})\n", left_out);
  return out;
}

} // namespace coalmine::lab
