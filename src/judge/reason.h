// The one place that writes the sentence people read: pages, terminal, JSON, spans, notifications
// and journal all show it. Pure; any thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

#include "judge/judge.h"

namespace coalmine::judge {

// A value as shown: "9.70%", "190 ms", "at least 10000 ms", "12.5 MB". unit counts for a mean or a
// value only.
// at_least: the true value may be larger.
std::string format_value(SignalKind kind, double value, ValueUnit unit = ValueUnit::number,
                         bool at_least = false);

// What the line allows: its margin, "+0.5pp"; of restarts how many, "up to 2".
std::string allowed_text(const SignalVerdict& verdict);

// How an Evidence::source_error begins that is a sentence about the store by itself. Any other is
// why the store could not be reached.
inline constexpr std::string_view kStoreSentence = "The telemetry store ";

// One line's sentence, from its verdict, cause and numbers. source_error is named only when the
// cause is source_unreachable.
//   error_rate on /api/pay: 9.70% on canary against 0.80% on stable, +8.90pp, allowed +0.5pp
//   p99_latency: 640 ms on canary, limit 500 ms
//   64 of 100 canary requests so far
std::string reason_sentence(const SignalVerdict& verdict, const std::string& source_error = {});

// How far a step is from the requests of the canary that it needs.
struct StepRequests {
  double counted = 0; // that are compared or will be: never falls
  double needed = 0;
  double come = 0; // all, with those that are never compared
};
// "64 of 100 canary requests so far"
std::string progress_sentence(const StepRequests& step);

// The sentence shown with a line: its reason, or one made now if the judge left the reason out
// (verdict.h).
std::string line_sentence(const SignalVerdict& verdict);

// What a gate waits for beside its lines.
struct GateNeeds {
  double minutes = 0;  // the age that a canary must reach before it may be promoted
  double requests = 0; // that must have been compared in the step; 0: this is not what holds it
  double compared = 0; // so far
};

// The judgement's own sentence. deciding: the line that settles it; null when the gating lines of
// the whole service settle it together (promote, or passing but too young).
std::string reason_sentence(const Judgement& judgement, const SignalVerdict* deciding,
                            const GateNeeds& needs);

} // namespace coalmine::judge
