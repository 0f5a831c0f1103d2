// What is still judged while the tracks may not be compared, because the traffic is not split as
// asked. Such a split spoils a comparison: who was sent where is not left to chance. It does not
// spoil an absolute limit, nor harm beyond what any split could explain. Pure; any thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "judge/verdict.h"

namespace coalmine::judge {

// Requests and errors of both tracks over one stretch of time.
struct TrackTotals {
  double canary_requests = 0;
  double canary_errors = 0;
  double stable_requests = 0;
  double stable_errors = 0;
  double minutes = 0; // that they were counted in; 0: not known
};

// ln of an e-value against "each request goes to the canary with probability asked" (0 < asked <
// 1). It may be looked at after every request: it reaches ln(1/alpha) with probability at most
// alpha where the split is as asked.
double log_split_evidence(double canary_requests, double stable_requests, double asked);

struct Suspension {
  std::string why;        // a sentence; "": nothing is suspended
  double asked_share = 0; // the canary's share of the requests that the split was to have, 0..1
  // Stretches that end with the newest cell, so that harm which begins late is seen soon. May
  // overlap; none: only limits are judged.
  std::vector<TrackTotals> recent;
};

// Harm is gross when no split explains it. Requests that went the wrong way are counted in the
// canary's favour: those that it lacks as successes of the canary that stable served, those that it
// has too many as failures that would have failed anywhere. Even so its error rate must be above
// kGrossRatio times stable's plus kGrossPoints, proven as beyond_limit() proves.
inline constexpr double kGrossRatio = 3;
inline constexpr double kGrossPoints = 0.10;
bool is_gross_harm(const TrackTotals& totals, double asked_share);

// Whether errors of requests at a true rate of limit or less would come with a chance of at most
// kBeyondLimit (Chernoff's bound). Asked at every look of a rollout, hence so small.
inline constexpr double kBeyondLimit = 1e-6;
bool is_beyond_limit(double errors, double requests, double limit);

// Lines of requests that are counted from a sample chosen by how they ended (TrackCounts::sampled)
// have no measured value, not even for a limit. sampled "": they stay as they are.
void set_sampled(std::vector<SignalVerdict>& lines, const std::string& sampled);
void set_sampled(SignalVerdict& line, const std::string& sampled);

// The judgement without what rests on a comparison: a gating line is a regression only when it is
// beyond its `max`, or (the error rate of the whole service) by gross harm; other lines that passed
// or regressed are watching, and nothing is promoted. As it was when nothing is suspended.
Judgement suspended(Judgement judgement, const Suspension& suspension);

} // namespace coalmine::judge
