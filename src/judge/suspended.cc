// SPDX-License-Identifier: Apache-2.0
#include "judge/suspended.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "judge/estimate.h"
#include "judge/reason.h"
#include "judge/stats/count_process.h"

namespace coalmine::judge {
namespace {

// The divergence of two Bernoulli distributions, nats.
double divergence(double p, double q) {
  if (q <= 0) return p > 0 ? HUGE_VAL : 0;
  if (q >= 1) return p < 1 ? HUGE_VAL : 0;
  const double of_ones = p > 0 ? p * std::log(p / q) : 0;
  const double of_zeros = p < 1 ? (1 - p) * std::log((1 - p) / (1 - q)) : 0;
  return of_ones + of_zeros;
}

bool is_whole_error_rate(const SignalVerdict& v) {
  return v.subject.kind == SignalKind::error_rate && v.subject.route.empty() && v.subject.gate;
}

bool measured_beyond_max(const SignalVerdict& v) {
  return v.limits.max && v.measured.canary &&
         badness(v.limits.margin.worse, *v.measured.canary, *v.limits.max) > 0;
}

std::string limit_sentence(const SignalVerdict& v) {
  const auto text = [&](double value, bool at_least) {
    return format_value(v.subject.kind, value, v.subject.unit, at_least);
  };
  return fmt::format("{}{}{}: {} on canary, limit {}", v.subject.signal,
                     v.subject.route.empty() ? "" : " on ", v.subject.route,
                     text(*v.measured.canary, v.measured.canary_at_least),
                     text(*v.limits.max, false));
}

std::string rate_text(double errors, double requests) {
  return format_value(SignalKind::error_rate, requests > 0 ? errors / requests : 0);
}

// Makes the line a regression by the newest requests alone, when they are beyond its max or show
// gross harm. False: they do not.
bool judge_recent(SignalVerdict& v, const Suspension& suspension) {
  for (const auto& totals : suspension.recent) {
    const bool beyond_max = v.limits.max && is_beyond_limit(totals.canary_errors,
                                                            totals.canary_requests, *v.limits.max);
    if (!beyond_max && !is_gross_harm(totals, suspension.asked_share)) continue;
    v.verdict = Verdict::regression;
    v.cause = Cause::none;
    v.measured.canary = totals.canary_errors / totals.canary_requests;
    v.reason = fmt::format("{}: {} of {:.0f} requests on canary", v.subject.signal,
                           rate_text(totals.canary_errors, totals.canary_requests),
                           totals.canary_requests);
    if (beyond_max) {
      v.reason += ", limit " + format_value(SignalKind::error_rate, *v.limits.max);
    } else {
      v.reason += fmt::format(" against {} on stable, more than any split of the traffic explains",
                              rate_text(totals.stable_errors, totals.stable_requests));
    }
    return true;
  }
  return false;
}

// How firmly the prior of the alternative sits around the asked split.
constexpr double kPriorRequests = 10'000;

} // namespace

double log_split_evidence(double canary_requests, double stable_requests, double asked) {
  const std::array counts = {canary_requests, stable_requests};
  const std::array shares = {asked, 1 - asked};
  const std::array prior = {kPriorRequests * asked, kPriorRequests * (1 - asked)};
  return dirichlet_multinomial_log_bf(counts, shares, prior);
}

bool is_beyond_limit(double errors, double requests, double limit) {
  if (!(requests > 0) || !std::isfinite(requests) || !(errors > 0)) return false;
  const double rate = std::min(1.0, errors / requests);
  return rate > limit && requests * divergence(rate, limit) >= std::log(1 / kBeyondLimit);
}

bool is_gross_harm(const TrackTotals& totals, double asked_share) {
  const double wanted = asked_share * (totals.canary_requests + totals.stable_requests);
  if (!(wanted > 0) || !std::isfinite(wanted)) return false;
  const double lacking = std::max(0.0, wanted - totals.canary_requests);
  const double surplus = std::max(0.0, totals.canary_requests - wanted);
  const double errors = std::max(0.0, totals.canary_errors - surplus);
  const double stable_requests =
      std::max(totals.stable_requests - lacking, std::max(1.0, totals.stable_errors));
  return is_beyond_limit(errors, wanted,
                         kGrossRatio * totals.stable_errors / stable_requests + kGrossPoints);
}

void set_sampled(SignalVerdict& v, const std::string& sampled) {
  v.measured = {};
  v.weighed.reset();
  v.outlook = {};
  v.verdict = Verdict::no_data;
  v.cause = Cause::not_measurable;
  v.problem = sampled;
  v.reason = reason_sentence(v);
}

void set_sampled(std::vector<SignalVerdict>& lines, const std::string& sampled) {
  if (sampled.empty()) return;
  for (auto& v : lines) {
    if (!is_metric(v.subject.kind)) set_sampled(v, sampled);
  }
}

Judgement suspended(Judgement judgement, const Suspension& suspension) {
  if (suspension.why.empty()) return judgement;
  auto lines = *judgement.signals;
  const SignalVerdict* culprit = nullptr;
  for (auto& v : lines) {
    bool harmful = v.verdict == Verdict::regression && measured_beyond_max(v);
    if (harmful) v.reason = limit_sentence(v);
    if (!harmful && is_whole_error_rate(v)) harmful = judge_recent(v, suspension);
    if (harmful && v.subject.gate && culprit == nullptr) culprit = &v;
    if (harmful || v.verdict == Verdict::no_data || v.verdict == Verdict::watching) continue;
    v.verdict = Verdict::watching;
    v.cause = Cause::split_broken;
  }
  judgement.minutes_left.reset();
  judgement.decision = culprit != nullptr ? Decision::rollback : Decision::keep_watching;
  judgement.reason =
      culprit == nullptr ? suspension.why : line_sentence(*culprit) + ". " + suspension.why;
  judgement.signals = std::move(lines);
  return judgement;
}

} // namespace coalmine::judge
