// SPDX-License-Identifier: Apache-2.0
#include "judge/plan/plan_power.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <span>

#include "judge/plan/default_margin.h"
#include "judge/stats/special.h"

namespace coalmine::judge {
namespace {

constexpr double kInTime = 1.5; // times its minutes

// The expected counts of one step, as evidence: divided by phi, and with caution.
Cell expected_cell(const PlanQuestion& question, const PlannedStep& step, double canary_rate,
                   double stable_rate) {
  const double all =
      question.rps * 60 * step.minutes / (std::max(1.0, question.phi) * question.caution);
  const double n1 = all * step.weight, n0 = all * (1 - step.weight);
  return {n1 * canary_rate, n1, n0 * stable_rate, n0};
}

// ln E at the expected counts, and its standard deviation: counts are Poisson, and their logarithm
// enters almost linearly.
struct Scatter {
  double mean = 0;
  double deviation = 0;
  double chance_above(double bar) const {
    if (!(deviation > 0)) return mean >= bar ? 1 : 0;
    return normal_cdf((mean - bar) / deviation);
  }
};

template <typename LogE>
Scatter scatter(const std::vector<Cell>& cells, LogE&& log_e) {
  constexpr double kNudge = 0.02;
  Scatter out{log_e(cells), 0};
  double variance = 0;
  for (double Cell::* arm : {&Cell::x1, &Cell::x0}) {
    auto more = cells;
    double events = 0;
    for (auto& cell : more) {
      events += cell.*arm;
      cell.*arm *= 1 + kNudge;
    }
    if (!(events > 0)) continue;
    const double slope = (log_e(more) - out.mean) / kNudge;
    variance += slope * slope / events;
  }
  out.deviation = std::sqrt(variance);
  return out;
}

RateMargin margin_of(const PlanQuestion& question, const PlannedLine& line) {
  if (!line.automatic) return line.margin;
  auto out = default_rate_margin(line.rate, question.steps, question.rps, question.phi);
  out.floor = line.margin.floor;
  return out;
}

// What the gate of a step excludes: the margin over the weight that comes next.
LinearMargin harm_of(const PlanQuestion& question, std::size_t step, RateMargin margin,
                     double rate) {
  const double next = step + 1 < question.steps.size() ? question.steps[step + 1].weight : 1;
  margin.amount /= next;
  return null_of(margin, rate);
}

double log_safety(std::span<const Cell> cells, const LinearMargin& harm, double rate) {
  auto process = safety_with(harm, rate);
  for (const auto& cell : cells) process.add(cell);
  return process.log_e(harm.delta);
}

// Half of the stake is on a change that begins with the first cell.
double log_harm(std::span<const Cell> cells, const LinearMargin& null) {
  ExcessProcess process(null.r0);
  for (const auto& cell : cells) process.add(cell);
  return process.log_e(null.delta) - std::log(2);
}

// The cells of a release with this excess until it is rolled back or left to a person: it goes
// through the steps that it would pass, and stays in the next one with all its extensions.
std::vector<Cell> cells_served(const PlanQuestion& question, const RateMargin& margin,
                               double excess) {
  const double rate = question.errors.rate, bar = std::log(1 / question.alpha_promote);
  std::vector<Cell> out;
  for (std::size_t i = 0; i < question.steps.size(); ++i) {
    auto step = question.steps[i];
    const double more = question.extend_minutes > 0 ? question.extend_minutes : step.minutes;
    const auto meant = expected_cell(question, step, rate + excess, rate);
    step.minutes += more * std::max(0, question.max_extends);
    out.push_back(expected_cell(question, step, rate + excess, rate));
    if (log_safety(out, harm_of(question, i, margin, rate), rate) < bar) return out;
    out.back() = meant;
  }
  return out;
}

double chance_found_with(const PlanQuestion& question, const RateMargin& margin, double excess) {
  const double rate = question.errors.rate;
  const auto cells = cells_served(question, margin, excess);
  const auto null = question.strict ? null_of(margin, rate) : LinearMargin{};
  const double bar =
      std::log(1 / question.alpha_rollback) - std::log(std::max(question.error_share, 1e-9));
  const auto proof = scatter(cells, [&](std::span<const Cell> at) { return log_harm(at, null); });
  // The measured difference must be beyond the margin too.
  double n1 = 0, n0 = 0;
  for (const auto& cell : cells) {
    n1 += cell.n1;
    n0 += cell.n0;
  }
  if (!(n1 > 0) || !(n0 > 0)) return 0;
  const Scatter measured{.mean = excess, .deviation = std::sqrt((rate + excess) / n1 + rate / n0)};
  return std::min(proof.chance_above(bar),
                  measured.chance_above(null_of(margin, rate).at(rate) - rate));
}

} // namespace

double allowed_by(const PlanQuestion& question, const PlannedLine& line) {
  return null_of(margin_of(question, line), line.rate).at(line.rate) - line.rate;
}

double chance_found(const PlanQuestion& question, double excess) {
  return chance_found_with(question, margin_of(question, question.errors), excess);
}

double chance_shown(const PlanQuestion& question, const PlannedLine& line) {
  const double bar = std::log(1 / question.alpha_promote);
  const auto margin = margin_of(question, line);
  double out = 1;
  std::vector<Cell> cells;
  for (std::size_t i = 0; i < question.steps.size(); ++i) {
    auto step = question.steps[i];
    step.minutes *= kInTime;
    cells.push_back(expected_cell(question, step, line.rate, line.rate));
    const auto harm = harm_of(question, i, margin, line.rate);
    const auto evidence =
        scatter(cells, [&](std::span<const Cell> at) { return log_safety(at, harm, line.rate); });
    out = std::min(out, evidence.chance_above(bar));
    const double requests = question.rps * 60 * step.minutes * step.weight;
    if (step.min_requests > 0) {
      const Scatter served{.mean = requests, .deviation = std::sqrt(requests)};
      out = std::min(out, served.chance_above(step.min_requests));
    }
  }
  return out;
}

PlanPower plan_power(const PlanQuestion& question) {
  PlanPower out;
  for (const auto& step : question.steps) out.minutes += step.minutes;
  out.found = chance_found(question, question.wanted);
  out.shown = chance_shown(question, question.errors);
  for (const auto& line : question.others)
    out.shown = std::min(out.shown, chance_shown(question, line));
  return out;
}

double detectable_of(const PlanQuestion& question) {
  const auto margin = margin_of(question, question.errors);
  const auto often = [&](double excess) {
    return chance_found_with(question, margin, excess) >= kFoundOften;
  };
  const double most = 1 - question.errors.rate;
  constexpr double kStride = 1.3;
  double high = 0.0005;
  while (high < most && !often(high)) high *= kStride;
  if (high >= most) return 1;
  double low = high / kStride;
  for (int i = 0; i < 6; ++i) {
    const double middle = std::sqrt(low * high);
    (often(middle) ? high : low) = middle;
  }
  return high;
}

} // namespace coalmine::judge
