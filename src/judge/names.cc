// SPDX-License-Identifier: Apache-2.0
#include "judge/judge.h"

namespace coalmine::judge {

std::string_view to_string(Verdict verdict) {
  switch (verdict) {
    case Verdict::pass: return "pass";
    case Verdict::regression: return "regression";
    case Verdict::watching: return "watching";
    case Verdict::no_data: return "no_data";
  }
  return "no_data";
}

std::string_view to_string(Cause cause) {
  switch (cause) {
    case Cause::none: return "none";
    case Cause::no_canary_data: return "no_canary_data";
    case Cause::no_stable_data: return "no_stable_data";
    case Cause::too_few_requests: return "too_few_requests";
    case Cause::interval_open: return "interval_open";
    case Cause::undecided: return "undecided";
    case Cause::source_unreachable: return "source_unreachable";
  }
  return "none";
}

std::string_view to_string(Decision decision) {
  switch (decision) {
    case Decision::promote: return "promote";
    case Decision::rollback: return "rollback";
    case Decision::keep_watching: return "continue";
    case Decision::inconclusive: return "inconclusive";
  }
  return "continue";
}

} // namespace coalmine::judge
