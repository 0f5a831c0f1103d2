// SPDX-License-Identifier: Apache-2.0
#include "judge/open_interval.h"

#include <fmt/format.h>

#include "judge/reason.h"

namespace coalmine::judge {

void set_interval_open(SignalVerdict& v, const Evidence& evidence) {
  v.verdict = Verdict::watching;
  v.cause = Cause::interval_open;
  if (const double seconds = evidence.export_interval_seconds; seconds > 0)
    v.problem = fmt::format("every {:.3g} s", seconds);
}

void await_exports(std::span<SignalVerdict> lines, const Evidence& evidence) {
  if (!evidence.export_due) return;
  for (auto& line : lines) {
    if (line.cause != Cause::no_canary_data && line.cause != Cause::no_stable_data) continue;
    set_interval_open(line, evidence);
    line.reason = reason_sentence(line);
  }
}

} // namespace coalmine::judge
