// The step's clock: how much watched time counts, and how long a step may still take.
// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>

#include "rollout/machine_step.h"

namespace coalmine::rollout {

// Time from here on is watched anew: what lies between two spells of watching does not count.
void MachineStep::restart_clock() {
  s_.clock.watermark_ms = now_.wall_ms;
  s_.live.watermark_steady = now_.steady_ms;
  s_.live.clock_steady = now_.steady_ms - s_.clock.observed_valid_ms;
}

bool MachineStep::advance_clock(const LookResult& look) {
  if (s_.clock.watermark_ms > now_.wall_ms + 1'000) {
    line("clock", fmt::format("the wall clock went back by {}; the open window starts anew",
                              duration_text(s_.clock.watermark_ms - now_.wall_ms)));
    restart_clock();
  }
  if (look.canary.last_ms == 0 || look.stable.last_ms == 0) return false;
  const auto seen = std::min({look.canary.last_ms, look.stable.last_ms, now_.wall_ms});
  if (seen <= s_.clock.watermark_ms) return false;
  // Bounded by all the time since the clock was started, not since the last look: of two looks a
  // few milliseconds apart, one after each track's export, the second would otherwise count nothing
  // of the interval that both have now reported.
  const auto most = std::max(s_.clock.observed_valid_ms, now_.steady_ms - s_.live.clock_steady);
  s_.clock.observed_valid_ms =
      std::min(s_.clock.observed_valid_ms + seen - s_.clock.watermark_ms, most);
  s_.clock.watermark_ms = seen;
  s_.live.watermark_steady = now_.steady_ms;
  return true;
}

std::int64_t MachineStep::extension_ms() const {
  const auto own = s_.plan.steps[s_.position.step].spec.analyze_ms;
  return std::max<std::int64_t>(1'000, s_.plan.spec->extend_ms > 0 ? s_.plan.spec->extend_ms : own);
}

} // namespace coalmine::rollout
