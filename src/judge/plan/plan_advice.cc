// SPDX-License-Identifier: Apache-2.0
#include "judge/plan/plan_advice.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <optional>

namespace coalmine::judge {
namespace {

// Lengths that a person would write.
constexpr std::array<double, 5> kLengths = {30, 45, 60, 120, kLongestStepMinutes};
constexpr double kMostWeight = 0.5;
constexpr std::size_t kMostSteps = 4; // of a proposal: with each more, many more to try
constexpr double kGentleMayTake = 1.1;

using Steps = std::vector<PlannedStep>;

double minutes_of(const Steps& steps) {
  double out = 0;
  for (const auto& step : steps) out += step.minutes;
  return out;
}

// How near it comes to the wish: 2 meets it.
double score(const PlanPower& power) {
  return std::min(1.0, power.found / kFoundOften) + std::min(1.0, power.shown / kShownOften);
}

// The steps of each proposal at their least lengths, the gentlest first.
std::vector<Steps> shapes_of(const Steps& asked) {
  Steps known;
  for (const auto& step : asked) {
    if (step.weight <= kMostWeight) known.push_back(step);
  }
  const auto step_at = [&](double weight) {
    for (const auto& step : known) {
      if (std::abs(step.weight - weight) < 1e-9) return step;
    }
    auto out = asked.empty() ? PlannedStep{} : asked.back();
    out.weight = weight;
    out.minutes = kLengths.front();
    return out;
  };
  std::vector<Steps> out;
  for (std::size_t from = known.size() > kMostSteps ? known.size() - kMostSteps : 0;
       from < known.size(); ++from)
    out.emplace_back(known.begin() + static_cast<std::ptrdiff_t>(from), known.end());
  out.push_back({step_at(0.25), step_at(0.5)});
  out.push_back({step_at(0.5)});
  const auto weights = [](const Steps& steps) {
    std::vector<double> all;
    for (const auto& step : steps) all.push_back(step.weight);
    return all;
  };
  std::ranges::stable_sort(out,
                           [&](const Steps& a, const Steps& b) { return weights(a) < weights(b); });
  const auto same = [&](const Steps& a, const Steps& b) { return weights(a) == weights(b); };
  out.erase(std::ranges::unique(out, same).begin(), out.end());
  return out;
}

// All lengths of the shape's steps, the shortest plan first.
std::vector<Steps> lengthened(const Steps& shape) {
  std::vector<Steps> out = {{}};
  for (const auto& step : shape) {
    std::vector<Steps> longer;
    for (const auto& before : out) {
      const auto add = [&](double minutes) {
        auto& plan = longer.emplace_back(before);
        plan.push_back(step);
        plan.back().minutes = minutes;
      };
      add(step.minutes);
      for (const double length : kLengths) {
        if (length > step.minutes) add(length);
      }
    }
    out = std::move(longer);
  }
  std::ranges::stable_sort(
      out, [](const Steps& a, const Steps& b) { return minutes_of(a) < minutes_of(b); });
  return out;
}

class Search {
 public:
  explicit Search(const PlanQuestion& question) : question_(question) {}

  // The shortest plan of the shape that meets the wish, no longer than that. Remembers the nearest.
  std::optional<Steps> shortest(const Steps& shape, double most_minutes) {
    for (const auto& plan : lengthened(shape)) {
      if (minutes_of(plan) > most_minutes) break;
      question_.steps = plan;
      const auto power = plan_power(question_);
      if (meets(power)) return plan;
      // A longer plan must be worth it.
      if (score(power) > nearest_score_ + 0.02) {
        nearest_score_ = score(power);
        nearest_ = plan;
      }
    }
    return std::nullopt;
  }
  const Steps& nearest() const { return nearest_; }
  double nearest_score() const { return nearest_score_; }

 private:
  PlanQuestion question_;
  Steps nearest_;
  double nearest_score_ = 0;
};

} // namespace

PlanAdvice advise(const PlanQuestion& question) {
  PlanAdvice out;
  out.now = plan_power(question);
  if (meets(out.now)) {
    out.now.detectable = detectable_of(question);
    return out;
  }
  Search search(question);
  const auto shapes = shapes_of(question.steps);
  std::vector<Steps> found; // the gentlest last
  double shortest = std::numeric_limits<double>::infinity();
  for (auto shape = shapes.rbegin(); shape != shapes.rend(); ++shape) {
    auto plan = search.shortest(*shape, kGentleMayTake * shortest);
    if (!plan) continue;
    shortest = std::min(shortest, minutes_of(*plan));
    found.push_back(std::move(*plan));
  }
  std::erase_if(found,
                [&](const Steps& plan) { return minutes_of(plan) > kGentleMayTake * shortest; });
  constexpr double kPlainlyBetter = 0.1;
  if (!found.empty()) {
    out.steps = std::move(found.back());
  } else if (search.nearest_score() > score(out.now) + kPlainlyBetter) {
    out.steps = search.nearest();
  }
  out.now.detectable = detectable_of(question);
  if (out.steps.empty()) return out;
  auto then = question;
  then.steps = out.steps;
  out.then = plan_power(then);
  out.then.detectable = detectable_of(then);
  return out;
}

} // namespace coalmine::judge
