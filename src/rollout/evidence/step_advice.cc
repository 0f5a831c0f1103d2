// SPDX-License-Identifier: Apache-2.0
#include "rollout/evidence/step_advice.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "rollout/evidence/spec_judge.h"
#include "rollout/words.h"

namespace coalmine::rollout {
namespace {

constexpr double kMsOfMinute = 60'000;
constexpr double kMoreOftenThanNot = 0.5;

std::string step_text(const StepSpec& step) {
  const StepSpec usual;
  if (step.min_requests == usual.min_requests && !step.approve_manually) {
    return step.analyze_ms > 0
               ? fmt::format("{} {}", percent(step.weight), duration_text(step.analyze_ms))
               : percent(step.weight);
  }
  auto out = fmt::format("{{ weight: {}", percent(step.weight));
  if (step.analyze_ms > 0) out += fmt::format(", analyze: {}", duration_text(step.analyze_ms));
  if (step.min_requests != usual.min_requests)
    out += fmt::format(", min_requests: {:g}", step.min_requests);
  if (step.approve_manually) out += ", approve: manual";
  return out + " }";
}

std::string shown_text(const judge::PlanPower& power) {
  if (power.shown >= judge::kShownOften) return "an equal release passes in time";
  return power.shown >= kMoreOftenThanNot ? "most equal releases pass in time"
                                          : "an equal release will hardly pass in time";
}

std::string advice_sentence(double rps, const judge::PlanAdvice& advice, const std::string& steps) {
  auto out = fmt::format("{:.3g} requests a second are little for these steps: ", rps);
  if (advice.now.detectable < 1) {
    out += fmt::format("errors must be {} more to be found in 8 of 10 releases",
                       points_text(advice.now.detectable));
  } else {
    out += "no difference of errors would be found in 8 of 10 releases";
  }
  out += ", and " + shown_text(advice.now);
  if (steps.empty()) {
    return out +
           fmt::format(
               ". No steps of up to {} each decide enough; a wider margin would",
               duration_text(static_cast<std::int64_t>(judge::kLongestStepMinutes * kMsOfMinute)));
  }
  out += fmt::format(". With steps: {} ", steps);
  if (advice.then.detectable < 1) {
    out += fmt::format("it is {}, and ", points_text(advice.then.detectable));
  }
  return out + shown_text(advice.then);
}

// The whole service's line of the error rate, where both tracks have been counted.
const judge::SignalVerdict* error_line(const judge::Judgement& judgement) {
  for (const auto& line : judgement.signals) {
    if (line.subject.kind == judge::SignalKind::error_rate && line.subject.route.empty())
      return line.measured.stable && line.measured.canary ? &line : nullptr;
  }
  return nullptr;
}

// Latency that was measured goes before what is usual.
void take_tails(const judge::Judgement& judgement, judge::PlanQuestion& question) {
  for (auto& planned : question.others) {
    for (const auto& line : judgement.signals) {
      if (line.subject.signal != planned.name || !line.subject.route.empty()) continue;
      const auto& tail = line.measured.tail;
      if (!tail || !(tail->stable > 0) || !(tail->allowed > tail->stable)) continue;
      planned.rate = tail->stable;
      planned.margin = {.relative = false, .amount = tail->allowed - tail->stable, .floor = 0};
    }
  }
}

} // namespace

std::optional<judge::PlanQuestion> question_of(const RolloutSpec& spec,
                                               const judge::PlanTraffic& traffic) {
  if (spec.judge != "sequential") return std::nullopt;
  auto out = judge::plan_question(sequential_options(spec), traffic);
  if (!out || out->steps.empty()) return std::nullopt;
  out->max_extends = spec.max_extends;
  out->extend_minutes = static_cast<double>(spec.extend_ms) / kMsOfMinute;
  return out;
}

std::vector<StepSpec> spec_steps(const RolloutSpec& spec,
                                 const std::vector<judge::PlannedStep>& planned) {
  std::vector<StepSpec> out;
  for (const auto& step : planned) {
    StepSpec made;
    for (const auto& own : spec.steps) {
      if (own.weight >= 1) continue;
      made = own;
      if (std::abs(own.weight - step.weight) < 1e-9) break;
    }
    made.weight = step.weight;
    made.analyze_ms = std::llround(step.minutes * kMsOfMinute);
    out.push_back(made);
  }
  if (!spec.steps.empty()) out.push_back(spec.steps.back());
  return out;
}

std::string steps_text(const std::vector<StepSpec>& steps) {
  std::string out = "[";
  for (std::size_t i = 0; i < steps.size(); ++i) out += (i == 0 ? "" : ", ") + step_text(steps[i]);
  return out + "]";
}

std::string points_text(double excess) { return fmt::format("{:+.2g}pp", excess * 100); }

std::optional<StepAdvice> step_advice(const RolloutSpec& spec, const judge::Judgement& judgement,
                                      const judge::TrackTotals& totals, bool step_is_over) {
  if (!(totals.minutes >= (step_is_over ? 1 : kLeastAdviceMinutes))) return std::nullopt;
  // What is decided needs no other plan.
  if (judgement.decision == judge::Decision::rollback ||
      judgement.decision == judge::Decision::promote)
    return std::nullopt;
  const auto* errors = error_line(judgement);
  if (errors == nullptr) return std::nullopt;
  const double rps = (totals.canary_requests + totals.stable_requests) / (totals.minutes * 60);
  // A rate from few requests is uncertain: half an error is added.
  const double requests = std::max(0.0, errors->requests.stable);
  const double rate = (*errors->measured.stable * requests + 0.5) / (requests + 1);
  auto question =
      question_of(spec, {.rps = rps, .error_rate = rate, .phi = judgement.dispersion.value_or(1)});
  if (!question) return std::nullopt;
  take_tails(judgement, *question);
  const auto power = judge::plan_power(*question);
  if (power.found >= kMoreOftenThanNot && power.shown >= kMoreOftenThanNot) return std::nullopt;
  const auto advice = judge::advise(*question);
  StepAdvice out;
  if (!advice.steps.empty()) out.steps = steps_text(spec_steps(spec, advice.steps));
  out.sentence = advice_sentence(rps, advice, out.steps);
  return out;
}

} // namespace coalmine::rollout
