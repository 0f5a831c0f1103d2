// The decision that the sequential judge's lines lead to.
// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <string_view>
#include <utility>

#include "judge/reason.h"
#include "judge/sequential.h"
#include "judge/stats/special.h"

namespace coalmine::judge {
namespace {

// What the traffic cannot decide holds up no promotion, unless the data are three times likelier
// when the canary is worse.
bool seems_worse(const SignalVerdict& v) {
  constexpr double kOdds = 3;
  return v.subject.gate && v.weighed && v.weighed->beyond && v.weighed->evidence >= kOdds;
}

} // namespace

bool SequentialJudge::processes_explain_line(const SignalVerdict& v) const {
  if (!options_.ask_about_processes) return false;
  const auto& m = v.measured;
  if (v.subject.kind == SignalKind::error_rate && m.canary && m.stable && *m.stable > 0)
    return processes_explain(*m.canary / *m.stable - 1, lasting_->lasting_errors(v.subject.route),
                             processes_);
  if (m.tail && m.tail->stable > 0)
    return processes_explain(m.tail->canary / m.tail->stable - 1,
                             lasting_->tails().lasting_variation(m.tail->boundary_ms), processes_);
  return false;
}

// One budget: the weighted average of the evidence of all gating lines that are measured beyond
// their margins. Evidence that latency signals of one scope share counts once.
SequentialJudge::Proof SequentialJudge::proof(const std::vector<SignalVerdict>& lines,
                                              Explained explained) const {
  Proof out;
  std::pair<bool, double> most;
  std::map<std::string_view, double> latency;
  for (std::size_t i = 0; i < lines.size(); ++i) {
    const auto& v = lines[i];
    if (!v.subject.gate || !v.weighed || !v.weighed->beyond) continue;
    if (processes_explain_line(v) != (explained == Explained::yes)) continue;
    // As a share of the evidence that the line needs alone.
    const double part = v.weighed->evidence / v.weighed->needed;
    double add = part;
    if (v.subject.kind == SignalKind::latency_quantile && latencies_share_evidence()) {
      auto& counted = latency[v.subject.route];
      add = std::max(0.0, part - counted);
      counted = std::max(counted, part);
    }
    out.sum += add;
    // A critical route that is proven alone is named first.
    const std::pair rank(is_critical(v.subject.route) && part >= 1, part);
    if (!out.culprit || rank > most) {
      out.culprit = i;
      most = rank;
    }
  }
  return out;
}

void SequentialJudge::roll_back(Judgement& out, std::size_t culprit, const GateNeeds& needs) const {
  auto lines = *out.signals;
  auto& worst = lines[culprit];
  worst.verdict = Verdict::regression;
  worst.cause = Cause::none;
  worst.reason = reason_sentence(worst);
  out.decision = Decision::rollback;
  out.reason = reason_sentence(out, &worst, needs);
  name_routes(lines);
  out.signals = std::move(lines);
}

void SequentialJudge::ask_a_person(Judgement& out, std::size_t culprit,
                                   const GateNeeds& needs) const {
  auto lines = *out.signals;
  for (std::size_t i = 0; i < lines.size(); ++i) {
    auto& v = lines[i];
    if (i != culprit && !(v.verdict == Verdict::regression && processes_explain_line(v))) continue;
    const double variation =
        v.measured.tail ? dispersion_.tails().lasting_variation(v.measured.tail->boundary_ms)
                        : dispersion_.lasting_errors(v.subject.route);
    v.verdict = Verdict::watching;
    v.cause = Cause::processes_differ;
    v.problem = fmt::format(
        "but stable's {:.0f} instances differ from one another for good (standard deviation "
        "{:.0f}% "
        "of the mean), and with {:.0f} of the canary that alone may make such a difference: "
        "version "
        "and instance cannot be told apart",
        processes_.stable, variation * 100, processes_.canary);
    v.reason = reason_sentence(v);
  }
  out.decision = Decision::inconclusive;
  out.reason = reason_sentence(out, &lines[culprit], needs);
  out.signals = std::move(lines);
}

// Of the lines that judge a service in a trial. Evidence that latency signals share counts several
// times here, which is more than what decides.
double SequentialJudge::log_service_harm() const {
  std::vector<double> terms;
  const auto put = [&](double weight, double log_e) {
    if (weight > 0) terms.push_back(std::log(weight) + log_e);
  };
  if (service_.rate) {
    put(service_.rate_weight, service_.log_rate_harm());
    put(service_.rate_weight, service_.log_warm_up_harm());
  }
  for (std::size_t mark = 0; mark < service_.limits.size(); ++mark)
    put(service_.tail_weight, service_.log_tail_harm(mark));
  return log_sum_exp(terms);
}

TrialReading SequentialJudge::trial_reading(double from_nats) const {
  TrialReading out;
  if (!begun_ || log_service_harm() < from_nats) return out;
  const auto lines = verdicts({});
  const auto proven = proof(lines, Explained::no);
  if (proven.sum > 0) out.log_evidence = std::log(proven.sum / options_.alpha_rollback);
  out.rolled_back = proven.culprit && proven.sum >= 1;
  const auto explained = proof(lines, Explained::yes);
  out.asked = !out.rolled_back && explained.culprit && proven.sum + explained.sum >= 1;
  return out;
}

void SequentialJudge::conclude(Judgement& out, const Evidence& evidence) const {
  if (!evidence.source_error.empty()) {
    SignalVerdict whole;
    set_no_data(whole, Cause::source_unreachable);
    out.reason = reason_sentence(whole, evidence.source_error);
    return;
  }
  const GateNeeds needs{.minutes = evidence.step_needed_minutes,
                        .requests = evidence.step_min_requests,
                        .compared = evidence.step_requests};
  const auto restarting = std::ranges::find_if(*out.signals, [](const SignalVerdict& v) {
    return v.subject.kind == SignalKind::restarts && v.subject.gate &&
           v.verdict == Verdict::regression;
  });
  if (restarting != (*out.signals).end())
    return roll_back(out, static_cast<std::size_t>(restarting - (*out.signals).begin()), needs);
  const auto proven = proof(*out.signals, Explained::no);
  if (proven.culprit && proven.sum >= 1) return roll_back(out, *proven.culprit, needs);
  const auto explained = proof(*out.signals, Explained::yes);
  if (explained.culprit && proven.sum + explained.sum >= 1)
    return ask_a_person(out, *explained.culprit, needs);
  const SignalVerdict* undecided = nullptr;
  bool any = false;
  double left = std::max(0.0, evidence.step_needed_minutes - evidence.step_minutes);
  for (std::size_t i = 0; i < places_.whole; ++i) {
    const auto& v = out.signals[i];
    if (!holds_promotion(i) && !seems_worse(v)) continue;
    any = true;
    if (v.verdict == Verdict::pass) continue;
    if (undecided == nullptr) undecided = &v;
    left = v.outlook.minutes_left ? std::max(left, *v.outlook.minutes_left) : kInfinity;
  }
  if (std::isfinite(left)) out.minutes_left = left;
  const bool enough = evidence.step_minutes >= evidence.step_needed_minutes &&
                      evidence.step_requests >= evidence.step_min_requests;
  if (any && undecided == nullptr && enough) out.decision = Decision::promote;
  out.reason = reason_sentence(out, undecided, needs);
}

} // namespace coalmine::judge
