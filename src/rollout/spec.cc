// SPDX-License-Identifier: Apache-2.0
#include "rollout/spec.h"

#include <fmt/format.h>

#include "rollout/validate.h"

namespace coalmine::rollout {

namespace {
constexpr std::int64_t kMinuteMs = 60'000;
constexpr std::size_t kMaxSteps = 100;
} // namespace

route::RouterOptions router_of(const RolloutSpec& spec) {
  auto out = spec.router;
  if (auto* haproxy = std::get_if<route::HaproxyOptions>(&out))
    haproxy->keep_serving = spec.keep_when_stable_down;
  return out;
}

RolloutSpec default_spec(std::string service) {
  RolloutSpec spec;
  spec.service = std::move(service);
  spec.steps = {{.weight = 0.05, .analyze_ms = 10 * kMinuteMs},
                {.weight = 0.25, .analyze_ms = 10 * kMinuteMs},
                {.weight = 0.50, .analyze_ms = 15 * kMinuteMs},
                {.weight = 1.00, .analyze_ms = 0}};
  spec.signals = judge::seed_defaults().signals;
  return spec;
}

bool watches_something(const RolloutSpec& spec) {
  return spec.steps.empty() || spec.steps.front().weight < 1;
}

Status validate_spec(const RolloutSpec& spec) {
  const auto wrong = [](std::string text) {
    return fail(ErrorCode::invalid_argument, std::move(text));
  };
  if (spec.service.empty())
    return wrong("a rollout needs a service; set service to the value of service.name");
  if (spec.steps.empty())
    return wrong(fmt::format("{} has no steps; write steps: [5% 10m, 25% 10m, 50% 15m, 100%]",
                             spec.service));
  if (spec.steps.size() > kMaxSteps) {
    return wrong(fmt::format("{} has {} steps; at most {} are possible", spec.service,
                             spec.steps.size(), kMaxSteps));
  }
  double before = 0;
  for (std::size_t i = 0; i < spec.steps.size(); ++i) {
    const auto& step = spec.steps[i];
    if (!(step.weight > before) || step.weight > 1) {
      return wrong(fmt::format("step {} of {} has weight {}%: weights rise from above 0% to 100%",
                               i + 1, spec.service, step.weight * 100));
    }
    const bool last = i + 1 == spec.steps.size();
    if (!last && step.analyze_ms <= 0) {
      return wrong(fmt::format("step {} of {} has no analysis time; give one, as in '25% 10m'",
                               i + 1, spec.service));
    }
    before = step.weight;
  }
  if (before < 1) {
    return wrong(fmt::format("the last step of {} has weight {}%; the last step must be 100%",
                             spec.service, before * 100));
  }
  if (spec.look_interval_ms <= 0)
    return wrong(fmt::format("look_interval of {} must be above 0", spec.service));
  return {};
}

} // namespace coalmine::rollout
