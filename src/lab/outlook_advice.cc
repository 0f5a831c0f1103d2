// SPDX-License-Identifier: Apache-2.0
#include "lab/outlook_advice.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <optional>
#include <utility>

#include "config/config_values.h"
#include "judge/plan/plan_advice.h"
#include "lab/replay.h"
#include "lab/simulate.h"
#include "rollout/evidence/spec_judge.h"
#include "rollout/evidence/step_advice.h"

namespace coalmine::lab {
namespace {

constexpr double kOnTime = 0.95;
constexpr double kFound = 0.8;

std::string schedule_text(double minutes) {
  return config::duration_text(std::llround(minutes * kMsPerMinute));
}

std::vector<SimulatedStep> simulated(const std::vector<rollout::StepSpec>& steps) {
  std::vector<SimulatedStep> out;
  for (const auto& step : steps) {
    if (step.analyze_ms > 0 && step.weight < 1)
      out.push_back(
          {step.weight, static_cast<double>(step.analyze_ms) / kMsPerMinute, step.min_requests});
  }
  return out;
}

double schedule_of(const std::vector<SimulatedStep>& steps) {
  double out = 0;
  for (const auto& step : steps) out += step.minutes;
  return out;
}

// "5% 10m, 25% 10m": as the head of a column.
std::string watched_text(std::vector<rollout::StepSpec> steps) {
  std::erase_if(steps, [](const rollout::StepSpec& step) { return step.analyze_ms <= 0; });
  const auto text = rollout::steps_text(steps);
  return text.substr(1, text.size() - 2);
}

struct Proposal {
  std::vector<rollout::StepSpec> steps;
  SimulatedPlan result;
};

double nearness(const SimulatedPlan& plan) {
  return std::min(1.0, plan.equal.promoted_in_time / kOnTime) +
         std::min(1.0, plan.worse.rolled_back / kFound);
}

// What is computed takes the error rate and the dispersion to be known. Where simulated releases
// fall short of it, steps that would be enough for fewer requests are tried.
std::optional<Proposal> propose(const ReleaseSimulator& simulator, judge::PlanQuestion question,
                                const SimulatedPlan& now) {
  constexpr int kTries = 5;
  constexpr double kMoreCaution = 1.2;
  std::optional<Proposal> best;
  double nearest = nearness(now) + 0.05; // else it is not worth a change
  std::vector<rollout::StepSpec> tried;
  question.phi = std::max(1.0, now.equal.dispersion_median);
  for (int i = 0; i < kTries; ++i, question.caution *= kMoreCaution) {
    const auto advice = judge::advise(question);
    if (advice.steps.empty()) continue;
    Proposal next{.steps = rollout::spec_steps(simulator.spec(), advice.steps), .result = {}};
    if (rollout::steps_text(next.steps) == rollout::steps_text(tried)) continue;
    tried = next.steps;
    next.result = {.equal = simulator.run(next.steps, 0),
                   .worse = simulator.run(next.steps, question.wanted)};
    if (nearness(next.result) > nearest) {
      nearest = nearness(next.result);
      best = std::move(next);
    }
    if (best && decides_enough(best->result)) break;
  }
  return best;
}

std::string comparison(const ReleaseSimulator& simulator, double wanted, const SimulatedPlan& now,
                       const Proposal& then) {
  const auto left = watched_text(simulator.spec().steps), right = watched_text(then.steps);
  const auto worse = fmt::format("{:+g}pp errors", wanted * 100);
  std::string out;
  const auto row = [&](const std::string& what, const std::string& a, const std::string& b) {
    out +=
        fmt::format("    {:<32}{:>{}}    {:>{}}\n", what, a, std::max<std::size_t>(10, left.size()),
                    b, std::max<std::size_t>(10, right.size()));
  };
  const auto shares = [&](const std::string& what, double a, double b) {
    row(what, of_hundred(a), of_hundred(b));
  };
  row("", left, right);
  shares("equal release: promoted on time", now.equal.promoted_in_time,
         then.result.equal.promoted_in_time);
  shares("equal release: rolled back", now.equal.rolled_back, then.result.equal.rolled_back);
  shares(worse + ": rolled back", now.worse.rolled_back, then.result.worse.rolled_back);
  shares(worse + ": promoted", now.worse.promoted, then.result.worse.promoted);
  const auto half = [](const SimulationSummary& s) {
    constexpr double kSome = 0.05;
    return s.rolled_back >= kSome ? fmt::format("{:.3g} minutes", s.rollback_median)
                                  : std::string("-");
  };
  row(worse + ": half found within", half(now.worse), half(then.result.worse));
  return out;
}

// The least margin in points that the steps can show, where the default one or the config's cannot.
std::string margin_note(judge::PlanQuestion question) {
  constexpr double kStep = 0.001, kMost = 0.1;
  const auto holds = [&](const judge::PlannedLine& other) {
    return judge::chance_shown(question, other) < judge::kShownOften;
  };
  if (std::ranges::any_of(question.others, holds)) return ""; // it would not be promoted either
  auto line = question.errors;
  line.automatic = false;
  for (double amount = std::ceil(judge::allowed_by(question, question.errors) / kStep) * kStep;
       amount <= kMost; amount += kStep) {
    line.margin = {.relative = false, .amount = amount, .floor = 0};
    if (judge::chance_shown(question, line) < judge::kShownOften) continue;
    return fmt::format("  With these steps error_rate: {:+.2g}pp would be promoted on time.\n",
                       amount * 100);
  }
  return "";
}

// Latencies that the steps cannot decide, and how long a step would have to be.
std::string latency_notes(const rollout::RolloutSpec& spec, judge::PlanQuestion question) {
  std::string out;
  const auto steps = question.steps;
  for (const auto& signal : spec.signals) {
    if (signal.kind != judge::SignalKind::latency_quantile || !signal.gate ||
        signal.margin.unit != judge::Margin::Unit::percent)
      continue;
    const auto line = judge::planned_tail(signal);
    question.steps = steps;
    if (judge::chance_shown(question, line) >= judge::kShownOften) continue;
    std::string needs = "that takes more than a day at 50%";
    for (const double minutes : {30.0, 45.0, 60.0, 120.0, 240.0, 480.0, 720.0, 1440.0}) {
      question.steps = {{0.5, minutes}};
      if (judge::chance_shown(question, line) < judge::kShownOften) continue;
      needs = fmt::format("that takes a step of 50% {}", schedule_text(minutes));
      break;
    }
    out += fmt::format("  {} ({}): too few requests to show that it is within its margin; {}. {}\n",
                       signal.name, judge::to_string(signal.margin), needs,
                       signal.if_decidable
                           ? "Promotion does not wait for it; a regression of it counts."
                           : "Promotion waits for it: take such a step, or gate: false.");
  }
  return out;
}

// Routes that get a line of their own with too few requests to find anything.
std::string route_notes(const rollout::RolloutSpec& spec, judge::PlanQuestion question) {
  constexpr double kLittleFound = 0.1;
  const bool judged = std::ranges::any_of(spec.signals, [](const judge::SignalSpec& s) {
    return s.gate && s.per_route && s.kind == judge::SignalKind::error_rate;
  });
  if (!judged) return "";
  double minutes = 0, canary_minutes = 0;
  for (const auto& step : question.steps) {
    minutes += step.minutes;
    canary_minutes += step.minutes * step.weight;
  }
  const double rps = question.rps, share = question.error_share;
  std::string out;
  const auto found_text = [&] {
    const double found = judge::detectable_of(question);
    if (found <= kLittleFound) return std::string();
    return found < 1 ? fmt::format("only errors of {} more would be found on it",
                                   rollout::points_text(found))
                     : std::string("no difference of errors would be found on it");
  };
  if (const auto routes = static_cast<double>(spec.critical_routes.size()); routes > 0) {
    question.rps = rps / routes;
    question.error_share = share / (4 * routes); // about what one of so many routes has
    if (const auto found = found_text(); !found.empty()) {
      out += fmt::format(
          "  routes.critical: if the {:.0f} share the requests, each has about {:.0f} of the "
          "canary, "
          "and {}. Name fewer: quiet routes are judged together.\n",
          routes, question.rps * 60 * canary_minutes, found);
    }
  }
  const rollout::RolloutSpec usual;
  if (spec.min_route_requests < usual.min_route_requests && minutes > 0) {
    question.rps = spec.min_route_requests / (minutes * 60);
    question.error_share = share / 8;
    if (const auto found = found_text(); !found.empty()) {
      out += fmt::format(
          "  routes.min_requests: a route with {:g} requests is judged on its own, and {}. Leave "
          "it "
          "at {:g} or more: quiet routes are judged together.\n",
          spec.min_route_requests, found, usual.min_route_requests);
    }
  }
  return out;
}

} // namespace

std::string of_hundred(double share) { return fmt::format("{:.0f} of 100", share * 100); }

ReleaseSimulator::ReleaseSimulator(const rollout::RolloutSpec& spec, double rps, double error_rate,
                                   std::size_t runs)
    : spec_(spec), runs_(runs) {
  left_out_ = std::erase_if(spec_.signals,
                            [](const judge::SignalSpec& s) { return judge::is_metric(s.kind); });
  model_.rps = rps;
  model_.error_rate = error_rate;
  model_.stable_instances = 4;
}

SimulationSummary ReleaseSimulator::run(const std::vector<rollout::StepSpec>& steps,
                                        double added) const {
  constexpr double kLongMinutes = 90;
  auto spec = spec_;
  spec.steps = steps;
  const auto watched = simulated(steps);
  const double schedule = schedule_of(watched);
  // Extensions as the policy has them, in lengths of the step.
  const double longest = spec.extend_ms > 0 && schedule > 0
                             ? 1 + spec.max_extends * static_cast<double>(spec.extend_ms) /
                                       kMsPerMinute * static_cast<double>(watched.size()) / schedule
                             : 1 + spec.max_extends;
  auto model = model_;
  // Hours are judged minute by minute, which decides the same.
  if (schedule > kLongMinutes) model.cell_seconds = 60;
  CanaryChange change;
  change.error_rate_added = added;
  std::vector<SimulatedRelease> releases(runs_);
  for_each_run(runs_, [&](std::size_t i) {
    const auto judge = rollout::make_judge(spec, rollout::TryStable::no);
    SimulatedTraffic traffic(model, change, i + 1);
    releases[i] = simulate_release(*judge, traffic, watched, longest);
  });
  return summarize(releases, watched);
}

bool decides_enough(const SimulatedPlan& plan) {
  return plan.equal.promoted_in_time >= kOnTime && plan.worse.rolled_back >= kFound;
}

std::string advice_text(const ReleaseSimulator& simulator, const judge::PlanQuestion& question,
                        const SimulatedPlan& now) {
  const auto& spec = simulator.spec();
  const auto wanted = fmt::format("{:+g}pp errors", question.wanted * 100);
  std::string out = "  too little traffic to ";
  const bool late = now.equal.promoted_in_time < kOnTime, blind = now.worse.rolled_back < kFound;
  if (late) out += "promote on time";
  if (blind) out += fmt::format("{}find {}", late ? " and to " : "", wanted);
  const auto then = propose(simulator, question, now);
  auto used = question;
  if (!then) {
    out += fmt::format(": no steps of up to {} each decide more; allow a wider margin\n",
                       schedule_text(judge::kLongestStepMinutes));
  } else {
    const auto watched = simulated(then->steps);
    const bool enough = decides_enough(then->result);
    out += fmt::format(". {} {} instead of {}:\n\n    steps: {}\n\n",
                       enough ? "These steps decide it, in"
                              : "No steps that were tried decide it; these come nearest, in",
                       schedule_text(schedule_of(watched)),
                       schedule_text(schedule_of(simulated(spec.steps))),
                       rollout::steps_text(then->steps));
    out += comparison(simulator, question.wanted, now, *then) + "\n";
    if (watched[0].weight > spec.steps[0].weight) {
      out += fmt::format(
          "  With them a bad release meets {} of the requests from its start, not {}.\n",
          config::percent_text(watched[0].weight), config::percent_text(spec.steps[0].weight));
    }
    used.steps.clear();
    for (const auto& step : watched)
      used.steps.push_back({step.weight, step.minutes, step.min_requests});
    if (then->result.equal.promoted_in_time < kOnTime) out += margin_note(used);
  }
  return out + latency_notes(spec, used) + route_notes(spec, used);
}

} // namespace coalmine::lab
