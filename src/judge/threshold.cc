// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <limits>

#include "judge/estimate.h"
#include "judge/judge.h"
#include "judge/open_interval.h"
#include "judge/reason.h"

namespace coalmine::judge {
namespace {

// How far beyond its allowance a line is; 1 is exactly at it. Orders the lines and picks the one
// that explains a rollback.
double excess(const SignalVerdict& v) {
  double out = 0;
  if (v.measured.canary && v.limits.max)
    out = *v.limits.max > 0
              ? *v.measured.canary / *v.limits.max
              : (*v.measured.canary > 0 ? std::numeric_limits<double>::infinity() : 0);
  if (!v.measured.difference || !v.measured.stable) return out;
  const double allowed = v.limits.margin.unit == Margin::Unit::percent
                             ? v.limits.margin.amount * std::abs(*v.measured.stable)
                             : v.limits.margin.amount;
  const double worse = badness(v.limits.margin.worse, *v.measured.canary, *v.measured.stable);
  if (worse <= 0) return out;
  return std::max(out, allowed > 0 ? worse / allowed : std::numeric_limits<double>::infinity());
}

bool worse(const SignalVerdict& a, const SignalVerdict& b) {
  if (a.verdict != b.verdict) return severity(a.verdict) < severity(b.verdict);
  const double excess_a = excess(a), excess_b = excess(b);
  if (excess_a != excess_b) return excess_a > excess_b;
  if (a.requests.canary != b.requests.canary) return a.requests.canary > b.requests.canary;
  return a.subject.route < b.subject.route;
}

// Without any request there is nothing to divide by, so a minimum of 0 means 1.
ThresholdOptions at_least_one_request(ThresholdOptions options) {
  options.min_requests = std::max(1.0, options.min_requests);
  options.min_route_requests = std::max(1.0, options.min_route_requests);
  return options;
}

// Stateless: a look depends on its evidence alone. Any thread.
class ThresholdJudge final : public Judge {
 public:
  explicit ThresholdJudge(ThresholdOptions options)
      : options_(at_least_one_request(std::move(options))) {}

  std::string_view name() const override { return "threshold"; }
  Judgement judge(const Evidence& evidence) override;

 private:
  SignalVerdict compare_metric(const SignalSpec& signal, const Evidence& evidence) const;
  SignalVerdict compare(const SignalSpec& signal, const std::string& route,
                        const TrackCounts& canary, const TrackCounts& stable,
                        double required) const;
  std::vector<SignalVerdict> judge_routes(const Evidence& evidence,
                                          const SignalVerdict* blocked) const;
  void decide(Judgement& out) const;

  const ThresholdOptions options_;
};

// Fills in the measured values, before anything is decided.
void fill_estimates(const SignalSpec& signal, const TrackCounts& canary, const TrackCounts& stable,
                    SignalVerdict& v) {
  const auto of_canary = canary.has_data ? estimate(signal, canary) : std::nullopt;
  const auto of_stable = stable.has_data ? estimate(signal, stable) : std::nullopt;
  if (of_canary) {
    v.measured.canary = of_canary->value;
    v.measured.canary_at_least = of_canary->at_least;
  }
  if (of_stable) {
    v.measured.stable = of_stable->value;
    v.measured.stable_at_least = of_stable->at_least;
  }
  if (!of_canary || !of_stable) return;
  v.measured.difference = *v.measured.canary - *v.measured.stable;
  if (*v.measured.stable > 0) {
    v.measured.relative = *v.measured.difference / *v.measured.stable;
  } else if (signal.kind == SignalKind::latency_quantile) {
    v.measured.relative = 0; // the seed's value for a stable p99 of 0
  }
}

// Without HTTP statuses of both tracks there is nothing to say about client errors. What only the
// sequential judge knows is left to it.
bool has_line(const SignalSpec& signal, const TrackCounts& canary, const TrackCounts& stable) {
  if (signal.kind == SignalKind::request_share || signal.kind == SignalKind::restarts) return false;
  return signal.kind != SignalKind::client_error_rate ||
         (client_errors_of(canary).has_data && client_errors_of(stable).has_data);
}

void set_verdict(SignalVerdict& v, Verdict verdict, Cause cause) {
  v.verdict = verdict;
  v.cause = cause;
}

// The track has requests and no value: what is known of its durations says why.
void set_unmeasured(SignalVerdict& v, const TrackCounts& track, Cause otherwise) {
  const bool known = v.subject.kind == SignalKind::latency_quantile && !track.bounds_note.empty();
  set_verdict(v, Verdict::no_data, known ? Cause::not_measurable : otherwise);
  if (known) v.problem = track.bounds_note;
}

SignalVerdict ThresholdJudge::compare(const SignalSpec& signal, const std::string& route,
                                      const TrackCounts& canary, const TrackCounts& stable,
                                      double required) const {
  SignalVerdict v;
  v.subject = {.signal = signal.name, .route = route, .kind = signal.kind, .gate = signal.gate};
  v.limits = {.margin = signal.margin, .max = signal.max};
  v.requests = {.canary = canary.has_data ? canary.requests : 0,
                .stable = stable.has_data ? stable.requests : 0,
                .required = required};
  fill_estimates(signal, canary, stable, v);

  if (!canary.has_data) {
    set_verdict(v, Verdict::no_data, Cause::no_canary_data);
  } else if (!(canary.requests >= required)) {
    set_verdict(v, Verdict::watching, Cause::too_few_requests);
  } else if (!v.measured.canary) {
    set_unmeasured(v, canary, Cause::no_canary_data);
  } else if (v.limits.max && *v.measured.canary > *v.limits.max) {
    set_verdict(v, Verdict::regression, Cause::none);
  } else if (!stable.has_data) {
    set_verdict(v, Verdict::no_data, Cause::no_stable_data);
  } else if (!(stable.requests > 0)) {
    set_verdict(v, Verdict::watching, Cause::too_few_requests);
  } else if (!v.measured.stable) {
    set_unmeasured(v, stable, Cause::no_stable_data);
  } else if (!margin_fits(signal.kind, signal.margin)) {
    set_verdict(v, Verdict::watching, Cause::undecided);
  } else {
    const bool within =
        within_margin(signal.kind, signal.margin, *v.measured.canary, *v.measured.stable);
    set_verdict(v, within ? Verdict::pass : Verdict::regression, Cause::none);
  }
  v.reason = reason_sentence(v);
  return v;
}

SignalVerdict ThresholdJudge::compare_metric(const SignalSpec& signal,
                                             const Evidence& evidence) const {
  SignalVerdict v;
  v.subject = {.signal = signal.name,
               .route = {},
               .kind = signal.kind,
               .unit = signal.unit,
               .gate = signal.gate};
  v.limits = {.margin = signal.margin, .max = signal.max};
  v.requests = {.canary = evidence.canary.has_data ? evidence.canary.requests : 0,
                .stable = evidence.stable.has_data ? evidence.stable.requests : 0,
                .required = options_.min_requests};
  const auto numbers = std::ranges::find(evidence.metrics, signal.name, &MetricNumbers::signal);
  if (numbers != evidence.metrics.end()) {
    v.problem = metric_problem(*numbers);
    if (v.problem.empty()) {
      v.measured.canary = numbers->canary.value();
      v.measured.stable = numbers->stable.value();
    }
  }
  if (v.measured.canary && v.measured.stable) {
    v.measured.difference = *v.measured.canary - *v.measured.stable;
    if (*v.measured.stable != 0)
      v.measured.relative = *v.measured.difference / std::abs(*v.measured.stable);
  }
  if (!v.problem.empty()) {
    set_verdict(v, Verdict::no_data, Cause::not_measurable);
  } else if (!v.measured.canary) {
    set_verdict(v, Verdict::no_data, Cause::no_canary_data);
  } else if (!(v.requests.canary >= v.requests.required)) {
    set_verdict(v, Verdict::watching, Cause::too_few_requests);
  } else if (v.limits.max &&
             badness(v.limits.margin.worse, *v.measured.canary, *v.limits.max) > 0) {
    set_verdict(v, Verdict::regression, Cause::none);
  } else if (!v.measured.stable) {
    set_verdict(v, Verdict::no_data, Cause::no_stable_data);
  } else if (!margin_fits(signal.kind, signal.margin, signal.unit)) {
    set_verdict(v, Verdict::watching, Cause::undecided);
  } else {
    const bool within =
        within_margin(signal.kind, signal.margin, *v.measured.canary, *v.measured.stable);
    set_verdict(v, within ? Verdict::pass : Verdict::regression, Cause::none);
  }
  v.reason = reason_sentence(v);
  return v;
}

std::vector<SignalVerdict> ThresholdJudge::judge_routes(const Evidence& evidence,
                                                        const SignalVerdict* blocked) const {
  std::vector<SignalVerdict> out;
  // Without any http.route in the telemetry, the only route repeats the whole service.
  if (evidence.routes.size() == 1 && evidence.routes[0].route.empty()) return out;
  for (const auto& numbers : evidence.routes) {
    const std::string route = numbers.route.empty() ? "(none)" : numbers.route;
    for (const auto& signal : options_.signals) {
      if (!signal.per_route || is_metric(signal.kind) ||
          !has_line(signal, numbers.canary, numbers.stable))
        continue;
      auto v = compare(signal, route, numbers.canary, numbers.stable, options_.min_route_requests);
      if (blocked != nullptr && v.verdict != Verdict::no_data &&
          v.cause != Cause::too_few_requests) {
        // Nothing is decided on a part before anything may be decided on the whole.
        set_verdict(v, Verdict::watching, blocked->cause);
        v.reason = blocked->reason;
      }
      out.push_back(std::move(v));
    }
  }
  std::ranges::stable_sort(out, worse);
  return out;
}

void ThresholdJudge::decide(Judgement& out) const {
  const SignalVerdict* worst = nullptr; // among the gating regressions
  // The first gating line of the whole service that does not pass.
  const SignalVerdict* undecided = nullptr;
  bool any_gate = false;
  for (const auto& v : out.signals) {
    if (!v.subject.gate) continue;
    any_gate = true;
    if (v.verdict == Verdict::regression) {
      if (worst == nullptr || excess(v) > excess(*worst)) worst = &v;
    } else if (v.subject.route.empty() && v.verdict != Verdict::pass && undecided == nullptr) {
      undecided = &v;
    }
  }
  const SignalVerdict* deciding = worst != nullptr ? worst : undecided;
  if (worst != nullptr) {
    out.decision = Decision::rollback;
  } else if (any_gate && undecided == nullptr &&
             out.analysis_duration_minutes >= options_.min_analysis_minutes) {
    out.decision = Decision::promote;
  }
  out.reason = reason_sentence(out, deciding, {.minutes = options_.min_analysis_minutes});
}

// One side suffices, as in RouteCounts::sampled.
const std::string& sampled_of(const Evidence& evidence) {
  return evidence.stable.sampled.empty() ? evidence.canary.sampled : evidence.stable.sampled;
}

Judgement unreachable(const ThresholdOptions& options, const Evidence& evidence) {
  Judgement out;
  std::vector<SignalVerdict> lines;
  for (const auto& signal : options.signals) {
    SignalVerdict v;
    v.subject = {.signal = signal.name, .route = {}, .kind = signal.kind, .gate = signal.gate};
    v.limits = {.margin = signal.margin, .max = signal.max};
    v.requests.required = options.min_requests;
    set_verdict(v, Verdict::no_data, Cause::source_unreachable);
    v.reason = reason_sentence(v, evidence.source_error);
    lines.push_back(std::move(v));
  }
  out.signals = std::move(lines);
  SignalVerdict whole;
  set_verdict(whole, Verdict::no_data, Cause::source_unreachable);
  out.reason = reason_sentence(whole, evidence.source_error);
  return out;
}

Judgement ThresholdJudge::judge(const Evidence& evidence) {
  Judgement out;
  if (!evidence.source_error.empty()) {
    out = unreachable(options_, evidence);
    out.analysis_duration_minutes = evidence.canary_age_minutes;
    return out;
  }
  out.analysis_duration_minutes = evidence.canary_age_minutes;
  const auto& sampled = sampled_of(evidence);
  std::vector<SignalVerdict> lines;
  for (const auto& signal : options_.signals) {
    if (!has_line(signal, evidence.canary, evidence.stable)) continue;
    lines.push_back(is_metric(signal.kind) ? compare_metric(signal, evidence)
                                           : compare(signal, "", evidence.canary, evidence.stable,
                                                     options_.min_requests));
  }
  await_exports(lines, evidence);
  const bool enough = evidence.canary.has_data && evidence.canary.requests >= options_.min_requests;
  const auto requests = std::ranges::find_if(
      lines, [](const SignalVerdict& v) { return !is_metric(v.subject.kind); });
  const SignalVerdict* blocked = enough || requests == lines.end() ? nullptr : &*requests;
  auto routes = judge_routes(evidence, blocked);
  lines.insert(lines.end(), std::make_move_iterator(routes.begin()),
               std::make_move_iterator(routes.end()));
  set_sampled(lines, sampled);
  out.signals = std::move(lines);
  decide(out);
  return suspended(std::move(out), evidence.comparison_suspended);
}

} // namespace

ThresholdOptions seed_defaults() {
  ThresholdOptions out;
  SignalSpec errors;
  errors.name = "error_rate";
  errors.margin = {Margin::Unit::points, 0.10};
  SignalSpec latency;
  latency.name = "p99_latency";
  latency.kind = SignalKind::latency_quantile;
  latency.margin = {Margin::Unit::percent, 0.20};
  out.signals = {errors, latency};
  return out;
}

std::unique_ptr<Judge> make_threshold_judge(ThresholdOptions options) {
  return std::make_unique<ThresholdJudge>(std::move(options));
}

} // namespace coalmine::judge
