// SPDX-License-Identifier: Apache-2.0
#include "lab/outlook.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <map>
#include <vector>

#include "config/config_values.h"
#include "lab/outlook_advice.h"
#include "lab/replay.h"
#include "rollout/evidence/step_advice.h"

namespace coalmine::lab {
namespace {

std::string asked(const SimulationSummary& s) {
  return s.inconclusive > 0 ? fmt::format(", a person is asked {}", of_hundred(s.inconclusive))
                            : std::string();
}

std::string equal_line(const SimulationSummary& s, std::int64_t schedule_ms) {
  return fmt::format(
      "  an equal release: promoted {} ({} on time, within one and a half times the schedule of "
      "{}){}, rolled back {}\n",
      of_hundred(s.promoted), of_hundred(s.promoted_in_time), config::duration_text(schedule_ms),
      asked(s), of_hundred(s.rolled_back));
}

std::string worse_line(const SimulationSummary& s, double added) {
  return fmt::format("  {:+g}pp errors: rolled back {}{}{}, promoted {}\n", added * 100,
                     of_hundred(s.rolled_back),
                     s.rolled_back > 0.005
                         ? fmt::format(" (half of them within {:.3g} minutes)", s.rollback_median)
                         : "",
                     asked(s), of_hundred(s.promoted));
}

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
  const ReleaseSimulator simulator(spec, rps, error_rate, runs);
  std::int64_t schedule_ms = 0;
  for (const auto& step : spec.steps) schedule_ms += step.analyze_ms;
  const auto question =
      rollout::question_of(simulator.spec(), {.rps = rps, .error_rate = error_rate, .phi = 1});
  const double wanted = question ? question->wanted : 0.02;
  SimulatedPlan now{.equal = simulator.run(spec.steps, 0), .worse = {}};
  out += equal_line(now.equal, schedule_ms);
  std::map<int, double> added; // by tenths of a point
  for (const double more : {0.01, wanted, 0.05})
    added.emplace(static_cast<int>(std::lround(more * 1000)), more);
  for (const auto& [_, more] : added) {
    const auto worse = simulator.run(spec.steps, more);
    if (more == wanted) now.worse = worse;
    out += worse_line(worse, more);
  }
  if (question && !decides_enough(now)) {
    out += advice_text(simulator, *question, now);
  } else if (now.equal.promoted_in_time < 0.95) {
    out +=
        "  too little traffic to promote on time: lengthen the steps, start at a larger weight, or "
        "allow wider margins\n";
  }
  if (simulator.left_out() > 0)
    out += fmt::format("  metrics of your own are left out here ({})\n", simulator.left_out());
  return out;
}

} // namespace coalmine::lab
