// Verdicts from the sequential judge's evidence.
// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "judge/estimate.h"
#include "judge/open_interval.h"
#include "judge/reason.h"
#include "judge/sequential.h"
#include "judge/stats/multiplicity.h"
#include "judge/stats/special.h"

namespace coalmine::judge {
namespace {

// A route that only the canary has may fail this much more often than stable's requests as a whole.
constexpr double kForeignMargin = 0.05;
constexpr double kUsualSlack = 1.2; // nats that the mixture over bets costs, for planning figures

double e_value(double log_e) { return std::exp(std::min(log_e, 690.0)); }

// Of the canary in the step: those that are compared, and those that wait for it.
double served(const Evidence& evidence) { return evidence.step_requests + evidence.step_awaited; }

// Says "64 of 100 canary requests so far".
bool served_too_few(const Evidence& evidence) {
  return served(evidence) < evidence.step_min_requests;
}

int severity(const SignalVerdict& v) {
  switch (v.verdict) {
    case Verdict::regression: return 0;
    case Verdict::watching: return 1;
    case Verdict::pass: return 2;
    case Verdict::no_data: return 3;
  }
  return 3;
}

bool weighs_more(const SignalVerdict& a, const SignalVerdict& b) {
  if (severity(a) != severity(b)) return severity(a) < severity(b);
  const double ea = a.weighed ? a.weighed->evidence : 0, eb = b.weighed ? b.weighed->evidence : 0;
  if (ea != eb) return ea > eb;
  if (a.requests.canary != b.requests.canary) return a.requests.canary > b.requests.canary;
  return std::tie(a.subject.route, a.subject.signal) < std::tie(b.subject.route, b.subject.signal);
}

void set_rates(SignalVerdict& v, const Totals& totals) {
  if (!(totals.compared > 0)) return;
  v.measured.canary = totals.canary_rate();
  v.measured.stable = totals.stable_rate();
  v.measured.difference = *v.measured.canary - *v.measured.stable;
  if (*v.measured.stable > 0) v.measured.relative = *v.measured.difference / *v.measured.stable;
}

// An end of -1 or 1 says nothing.
bool set_difference(SignalVerdict& v, const Interval& range, double level) {
  const auto known = [](double end) {
    return std::abs(end) < 1 ? std::optional(end) : std::nullopt;
  };
  return set_interval(v, known(range.lower), known(range.upper), level);
}

} // namespace

void set_no_data(SignalVerdict& v, Cause cause) {
  v.verdict = Verdict::no_data;
  v.cause = cause;
}

double growth(double p, double null) {
  if (!(null > p)) return 0;
  return p > 0 ? null - p - p * std::log(null / p) : null;
}

ArmPhi SequentialJudge::error_phi(const std::string& route) const {
  return ArmPhi::of(route.empty() ? dispersion_.errors() : dispersion_.errors(route), load_);
}

double SequentialJudge::level(double log_weight) const {
  return 1 - options_.alpha_promote - std::exp(log_weight) * options_.alpha_rollback;
}

void SequentialJudge::fill_rate(SignalVerdict& v, const Scope& scope, std::size_t harm) const {
  const auto& line = *scope.rate;
  const double log_weight = std::log(std::max(scope.rate_weight, 1e-300));
  const double bar = std::log(1 / options_.alpha_rollback) - log_weight;
  const bool harmful = scope.log_rate_harm() >= bar;
  // Shows the counts that decide: from the beginning, or from the epoch that carries the evidence
  // of harm.
  const Totals& totals = harmful ? line.driver() : line.all();
  v.limits.margin = plan_.margin();
  set_rates(v, totals);
  // A route that is plainly fine gets no interval. Root finding is most of the cost of a look, and
  // a service may have hundreds of routes.
  if (!v.subject.route.empty() && line.log_harm() < 0) return fill_minutes(v, scope, harm);
  if (!harmful || line.from_start()) {
    const auto range = line.difference(bar, std::log(1 / options_.alpha_promote));
    if (range && !set_difference(v, *range, level(log_weight))) {
      // No constant difference explains all cells: it began later. What was counted since then is
      // shown, without an interval over both times.
      set_rates(v, line.driver());
    }
  }
  const auto& all = line.all();
  const double p = all.stable_rate();
  const auto phi = error_phi(v.subject.route);
  if (all.n1 > 0 && all.n0 > 0) {
    v.outlook.detectable =
        std::max(detectable_excess(p, all.n1 / phi.canary, all.n0 / phi.stable, bar + kUsualSlack),
                 allowed_error_difference(p));
  }
  fill_minutes(v, scope, harm);
}

void SequentialJudge::fill_minutes(SignalVerdict& v, const Scope& scope, std::size_t harm) const {
  const auto& line = *scope.rate;
  const auto& all = line.all();
  const double p = all.stable_rate();
  const double speed = line.harms().empty() ? 0
                                            : safety_growth(line.harms()[harm], p, pace_.odds()) /
                                                  error_phi(v.subject.route).canary;
  const double missing =
      std::log(1 / options_.alpha_promote) + (all.n1 > 0 ? 0 : kUsualSlack) - line.log_safety(harm);
  v.outlook.minutes_left = pace_.minutes_left(missing, speed, share_of_canary(scope));
}

void SequentialJudge::set_outcome(SignalVerdict& v, bool beyond, double log_e, double log_weight,
                                  double log_safety) const {
  const double bar = std::log(1 / options_.alpha_rollback);
  v.weighed = {.evidence = e_value(log_e),
               .needed = e_value(bar - log_weight),
               .beyond = beyond,
               .warming = {}};
  if (beyond && log_weight + log_e >= bar) {
    v.verdict = Verdict::regression;
  } else if (!beyond && log_safety >= std::log(1 / options_.alpha_promote)) {
    v.verdict = Verdict::pass;
  } else {
    v.verdict = Verdict::watching;
    v.cause = Cause::undecided;
  }
}

void SequentialJudge::fill_metric(SignalVerdict& v, const JudgedMetrics::Metric& metric,
                                  std::size_t harm) const {
  if (!metric.problem.empty()) {
    set_no_data(v, Cause::not_measurable);
    v.problem = metric.problem;
    return;
  }
  const double log_weight = std::log(std::max(budget_.metric(), 1e-300));
  const auto reading = metric.line->read(harm, std::log(1 / options_.alpha_rollback) - log_weight,
                                         std::log(1 / options_.alpha_promote));
  v.measured.canary = reading.canary;
  v.measured.stable = reading.stable;
  if (!reading.canary || !reading.stable) {
    // The two were seen, but never in the same interval.
    const bool known = metric.line->has_canary() && metric.line->has_stable();
    if (!known)
      set_no_data(v, metric.line->has_canary() ? Cause::no_stable_data : Cause::no_canary_data);
    return;
  }
  v.measured.difference = *v.measured.canary - *v.measured.stable;
  if (*v.measured.stable != 0)
    v.measured.relative = *v.measured.difference / std::abs(*v.measured.stable);
  set_interval(v, reading.lower, reading.upper, level(log_weight));
  v.measured.approximate = v.subject.kind == SignalKind::mean;
  set_outcome(v, reading.beyond, reading.log_harm, log_weight, reading.log_safety);
}

void SequentialJudge::fill_share(SignalVerdict& v, const Scope& scope) const {
  if (!scope.share) return;
  const double log_weight = std::log(std::max(scope.share_weight, 1e-300));
  const auto reading = scope.share->read(0, std::log(1 / options_.alpha_rollback) - log_weight,
                                         std::log(1 / options_.alpha_promote));
  if (reading.canary && reading.stable) fill_part(v, reading, log_weight);
}

void SequentialJudge::fill_part(SignalVerdict& v, const MetricReading& reading,
                                double log_weight) const {
  v.measured.canary = reading.canary;
  v.measured.stable = reading.stable;
  v.measured.difference = *v.measured.canary - *v.measured.stable;
  if (*v.measured.stable > 0) v.measured.relative = *v.measured.difference / *v.measured.stable;
  set_interval(v, reading.lower, reading.upper, level(log_weight));
  set_outcome(v, reading.beyond, reading.log_harm, log_weight, reading.log_safety);
}

void SequentialJudge::add_client_line(std::vector<SignalVerdict>& lines, const Scope& scope,
                                      const std::string& route) const {
  if (!begun_ || !scope.client || !sampled_.empty()) return;
  const double log_weight = std::log(std::max(scope.client_weight, 1e-300));
  const auto reading = scope.client->read(0, std::log(1 / options_.alpha_rollback) - log_weight,
                                          std::log(1 / options_.alpha_promote));
  if (!reading.canary || !reading.stable || (!route.empty() && !reading.beyond)) return;
  const auto& signal = options_.signals[*places_.client];
  auto& v = lines.emplace_back();
  v.subject = {.signal = signal.name, .route = route, .kind = signal.kind, .gate = signal.gate};
  v.limits = {.margin = signal.margin, .max = signal.max};
  v.requests = {.canary = scope.canary, .stable = scope.stable};
  fill_part(v, reading, log_weight);
}

void SequentialJudge::add_restart_line(std::vector<SignalVerdict>& lines) const {
  if (!places_.restarts) return;
  const auto canary = restarts_.most(Track::canary);
  const auto& signal = options_.signals[*places_.restarts];
  if (canary.restarts == 0 || !signal.max) return;
  auto& v = lines.emplace_back();
  v.subject = {.signal = signal.name, .route = "", .kind = signal.kind, .gate = signal.gate};
  v.limits = {.margin = signal.margin, .max = signal.max};
  v.requests = {.canary = service_.canary, .stable = service_.stable};
  v.measured.canary = canary.restarts;
  v.measured.stable = restarts_.most(Track::stable).restarts;
  v.problem = canary.instance;
  const bool too_many = *v.measured.canary > *v.limits.max;
  v.verdict = !too_many                ? Verdict::pass
              : *v.measured.stable > 0 ? Verdict::watching
                                       : Verdict::regression;
}

void SequentialJudge::fill_verdict(SignalVerdict& v, std::size_t index, const Scope& scope,
                                   const std::string& route, const Evidence& evidence) const {
  const auto& signal = options_.signals[index];
  v.subject = {.signal = signal.name,
               .route = route,
               .kind = signal.kind,
               .unit = signal.unit,
               .gate = signal.gate};
  v.limits = {.margin = signal.margin, .max = signal.max};
  v.requests = {
      .canary = scope.canary, .stable = scope.stable, .required = evidence.step_min_requests};
  if (!sampled_.empty() && !is_metric(signal.kind)) return set_sampled(v, sampled_);
  if (!(service_.canary > 0) && (route.empty() || is_metric(signal.kind)))
    return fill_without_canary(v, evidence);
  if (signal.kind == SignalKind::request_share && begun_ && service_.canary > 0 &&
      service_.stable > 0) {
    v.cause = Cause::undecided; // a route without requests is the finding, not a lack of data
    return fill_share(v, scope);
  }
  const bool waits = is_interval_open(evidence);
  if (!(scope.canary > 0))
    return waits ? set_interval_open(v, evidence) : set_no_data(v, Cause::no_canary_data);
  if (!(scope.stable > 0)) {
    fill_without_stable(v, index, scope);
    if (waits && v.cause == Cause::no_stable_data) set_interval_open(v, evidence);
    return;
  }
  v.cause = Cause::undecided;
  if (!begun_) return;
  const auto harm = plan_.harm_index(evidence.next_weight);
  if (is_metric(signal.kind)) {
    return fill_metric(v, metrics_.of_signal(index), harm);
  }
  if (signal.kind != SignalKind::error_rate) return fill_latency(v, index, scope, harm);
  if (places_.rate == index) fill_error_rate(v, scope, harm);
}

// One track has no request in a cell yet, and has some behind the cells, or an export is due: what
// is not compared is not missing.
bool SequentialJudge::is_interval_open(const Evidence& evidence) const {
  if (service_.canary > 0 && service_.stable > 0) return false;
  const bool canary = std::max(service_.canary, evidence.canary.requests) > 0;
  const bool stable = std::max(service_.stable, evidence.stable.requests) > 0;
  return (canary && stable) || evidence.export_due;
}

// No cell has a request of the canary yet, and before the first one closes none has one of stable.
// What has come meanwhile is in the window's counts: to say that there is nothing would be false.
void SequentialJudge::fill_without_canary(SignalVerdict& v, const Evidence& evidence) const {
  const auto& canary = evidence.canary;
  const auto& stable = evidence.stable;
  v.requests.canary = canary.requests;
  v.requests.stable = std::max(service_.stable, stable.requests);
  if (is_interval_open(evidence)) {
    set_interval_open(v, evidence);
  } else if (is_metric(v.subject.kind)) {
    set_no_data(v, Cause::no_canary_data);
  } else if (canary.requests > 0) {
    if (!stable.has_data) return set_no_data(v, Cause::no_stable_data);
    v.cause = Cause::too_few_requests;
  } else {
    if (!canary.has_data) return set_no_data(v, Cause::no_canary_data);
    v.cause = Cause::too_few_requests;
  }
}

double SequentialJudge::allowed_error_difference(double stable) const {
  return allowed_difference(plan_.margin(), options_.signals[*places_.rate].floor, stable);
}

void SequentialJudge::fill_error_rate(SignalVerdict& v, const Scope& scope,
                                      std::size_t harm) const {
  const double log_weight = std::log(std::max(scope.rate_weight, 1e-300));
  const auto& line = *scope.rate;
  const bool proven =
      scope.log_warm_up_harm() + log_weight >= std::log(1 / options_.alpha_rollback);
  if (scope.warm_up && scope.warm_up->harm.all().n1 > 0 && (proven || !(line.all().compared > 0))) {
    fill_warm_up(v, scope, harm);
    if (v.verdict == Verdict::regression || !(line.all().compared > 0)) return;
  }
  fill_rate(v, scope, harm);
  if (!v.measured.canary) return;
  const auto& totals = line.driver();
  const double stable = totals.stable_rate();
  const double allowed = stable + allowed_error_difference(stable);
  bool beyond = totals.canary_rate() > allowed;
  if (v.limits.max && *v.measured.canary > *v.limits.max) beyond = true;
  set_outcome(v, beyond, scope.log_rate_harm(), log_weight, line.log_safety(harm));
}

void SequentialJudge::fill_warm_up(SignalVerdict& v, const Scope& scope, std::size_t harm) const {
  const double log_weight = std::log(std::max(scope.rate_weight, 1e-300));
  const bool proven =
      scope.log_warm_up_harm() + log_weight >= std::log(1 / options_.alpha_rollback);
  const auto& warming = scope.warm_up->harm;
  const auto& totals = proven ? warming.since() : warming.all();
  v.limits.margin = plan_.margin();
  set_rates(v, totals);
  if (!v.measured.canary) return;
  if (v.subject.route.empty() && !proven) {
    if (const auto range =
            scope.warm_up->difference.at(std::log(1 / options_.alpha_rollback) - log_weight,
                                         std::log(1 / options_.alpha_promote)))
      set_difference(v, *range, level(log_weight));
  }
  const double canary = totals.canary_rate(), stable = totals.stable_rate();
  const bool beyond = canary > scope.warm_up->margin.at(stable);
  const bool passes = canary <= stable + allowed_error_difference(stable);
  set_outcome(v, beyond, scope.log_warm_up_harm(), log_weight,
              passes ? scope.rate->log_safety(harm) : -kInfinity);
  if (v.limits.max && canary > *v.limits.max)
    set_limit_outcome(v, true, scope.log_rate_harm(), log_weight);
  if (scope.warm_up->margin.delta > allowed_error_difference(stable))
    v.weighed->warming = scope.warm_up->margin.delta;
}

// A line that stable has no requests for. What it may still be is a regression: beyond an absolute
// limit, or a route that only the canary has and that fails far more often than stable does.
void SequentialJudge::fill_without_stable(SignalVerdict& v, std::size_t index,
                                          const Scope& scope) const {
  const auto& signal = options_.signals[index];
  set_no_data(v, Cause::no_stable_data);
  if (signal.kind == SignalKind::latency_quantile) return fill_limit(v, index, scope);
  if (places_.rate != index || !begun_) return;
  const auto& all = scope.rate->with_warm_up();
  if (!(all.n1 > 0)) return;
  v.measured.canary = all.x1 / all.n1;
  bool beyond = v.limits.max && *v.measured.canary > *v.limits.max;
  if (scope.foreign) {
    const auto& totals = scope.foreign->driver();
    const double allowed = std::max(scope.foreign->margin().at(totals.stable_rate()),
                                    totals.stable_rate() + kForeignMargin);
    if (totals.canary_rate() > allowed) {
      beyond = true;
      v.measured.canary = totals.canary_rate();
      v.measured.stable = totals.stable_rate();
      v.measured.stable_is_whole = true;
    }
  }
  set_limit_outcome(v, beyond, scope.log_rate_harm(),
                    std::log(std::max(scope.rate_weight, 1e-300)));
}

// Adds what a limit says: a regression, or that the line may not pass. Else it stays what it was.
void SequentialJudge::set_limit_outcome(SignalVerdict& v, bool beyond, double log_e,
                                        double log_weight) const {
  if (!beyond) return;
  const auto verdict = v.verdict;
  const auto cause = v.cause;
  set_outcome(v, beyond, log_e, log_weight, -kInfinity);
  if (v.verdict == Verdict::regression || verdict == Verdict::pass) return;
  v.verdict = verdict;
  v.cause = cause;
}

double SequentialJudge::share_of_canary(const Scope& scope) const {
  return service_.canary > 0 ? scope.canary / service_.canary : 0;
}

// Whether promotion waits for the signal. if_decidable: only when the planned traffic almost always
// shows an equal canary to be safe at every step within its minutes. A signal that nobody asked for
// must not hold up a rollout.
bool SequentialJudge::holds_promotion(std::size_t index) const {
  constexpr double kNatsToPass = 16;
  const auto& signal = options_.signals[index];
  if (!signal.gate || !signal.if_decidable || !begun_) return signal.gate;
  const auto mark =
      static_cast<std::size_t>(std::ranges::find(places_.tails, index) - places_.tails.begin());
  const auto& past = past_.service();
  const bool tail = signal.kind == SignalKind::latency_quantile;
  if (tail && service_.tail.empty()) return false;
  double requests = 0; // of the canary up to the end of a step
  for (std::size_t i = 0; i < options_.plan.size(); ++i) {
    const auto& step = options_.plan[i];
    requests += past_.requests_per_minute() * step.minutes * step.weight;
    const auto harm =
        plan_.harm_index(i + 1 < options_.plan.size() ? options_.plan[i + 1].weight : 1);
    double p = past.errors / std::max(1.0, past.requests), null = 0, phi = dispersion_.errors();
    if (tail) {
      const auto& line = service_.tail.line();
      phi = dispersion_.tails().phi(line.boundary_ms(line.marks()[mark].boundary));
      p = service_.tail.line().past_rate(mark);
      null = service_.tail.line().marks()[mark].harms[harm].at(p);
    } else {
      null = service_.rate->harms()[harm].at(p);
    }
    const double load =
        processes_.canary > 0 && processes_.stable > 0 && step.weight < 1
            ? step.weight / processes_.canary / ((1 - step.weight) / processes_.stable)
            : 1;
    if (requests * growth(p, null) < kNatsToPass * ArmPhi::of(phi, load).canary) return false;
  }
  return true;
}

// Puts routes behind the whole service, worst first. Lines are large: their places are sorted, then
// each line is moved once.
void SequentialJudge::sort_routes(std::vector<SignalVerdict>& lines) const {
  const auto routes =
      std::ranges::find_if(lines, [](const SignalVerdict& v) { return !v.subject.route.empty(); });
  std::vector<std::size_t> from(lines.size()); // which line goes here
  std::iota(from.begin(), from.end(), 0);
  std::ranges::stable_sort(from.begin() + (routes - lines.begin()), from.end(),
                           [&](std::size_t left, std::size_t right) {
                             const auto &a = lines[left], &b = lines[right];
                             if (!critical_.empty() && severity(a) == severity(b) &&
                                 is_critical(a.subject.route) != is_critical(b.subject.route)) {
                               return is_critical(a.subject.route);
                             }
                             return weighs_more(a, b);
                           });
  for (std::size_t begin = 0; begin < from.size(); ++begin) {
    if (from[begin] == begin) continue;
    auto first = std::move(lines[begin]);
    auto to = begin;
    for (; from[to] != begin; to = std::exchange(from[to], to))
      lines[to] = std::move(lines[from[to]]);
    lines[to] = std::move(first);
    from[to] = to;
  }
}

// Names the routes that are worse when the rollout is rolled back: e-BH with the lines' stakes as
// weights, so that a route that is proven alone is among them. On average over all rollouts, those
// that name none counted as 0, at most alpha of the routes named are no worse. e-BH asks for less
// evidence a route than the rollback does, and therefore never triggers one. A line within its
// margin counts as no evidence: a number below an e-value is an e-value too, whereas dropping
// discoveries afterwards would void the rate.
void SequentialJudge::name_routes(std::vector<SignalVerdict>& lines) const {
  std::vector<SignalVerdict*> tested;
  std::vector<double> e_values;
  double stakes = 0;
  for (auto& v : lines) {
    if (v.subject.route.empty() || !v.subject.gate || !v.weighed) continue;
    tested.push_back(&v);
    e_values.push_back(v.weighed->beyond ? v.weighed->evidence / v.weighed->needed : 0);
    stakes += 1 / v.weighed->needed;
  }
  for (double& e : e_values)
    e *= static_cast<double>(e_values.size()) / stakes; // weights whose mean is 1
  for (const auto i : e_bh(e_values, options_.alpha_rollback)) {
    auto& v = *tested[i];
    v.verdict = Verdict::regression;
    v.cause = Cause::none;
    v.reason = reason_sentence(v);
  }
  sort_routes(lines);
}

std::vector<SignalVerdict> SequentialJudge::verdicts(const Evidence& evidence) const {
  std::vector<SignalVerdict> lines;
  const auto& routes = routes_.all();
  // Without routes in the telemetry, the only route repeats the whole service.
  const bool only_whole = routes.size() == 1 && routes[0].name.empty();
  lines.reserve(options_.signals.size() * (1 + (only_whole ? 0 : routes.size())));
  for (std::size_t i = 0; i < places_.whole; ++i) {
    auto& v = lines.emplace_back();
    fill_verdict(v, i, service_, "", evidence);
    if (v.verdict == Verdict::watching && served_too_few(evidence) && holds_promotion(i)) {
      v.cause = Cause::too_few_requests;
    }
  }
  add_client_line(lines, service_, "");
  add_restart_line(lines);
  for (const auto& route : routes) {
    if (only_whole) break;
    const auto name = route.name.empty() ? "(none)" : route.name;
    for (std::size_t i = 0; i < options_.signals.size(); ++i) {
      if (options_.signals[i].kind == SignalKind::client_error_rate) {
        add_client_line(lines, route.scope, name);
        continue;
      }
      if (options_.signals[i].kind == SignalKind::restarts) continue;
      // A route that stable did not have before has no share to keep.
      if (options_.signals[i].kind == SignalKind::request_share && !route.scope.share) continue;
      if (options_.signals[i].per_route && !is_metric(options_.signals[i].kind))
        fill_verdict(lines.emplace_back(), i, route.scope, name, evidence);
    }
  }
  sort_routes(lines);
  for (auto& v : lines) {
    if (!evidence.source_error.empty()) set_no_data(v, Cause::source_unreachable);
    // A route's sentence is made when somebody reads it: a service may have hundreds of routes and
    // a look every few seconds.
    if (v.subject.route.empty() || v.verdict == Verdict::no_data)
      v.reason = reason_sentence(v, evidence.source_error);
    if (v.cause == Cause::too_few_requests && v.subject.route.empty() && served_too_few(evidence)) {
      v.reason = progress_sentence({.counted = served(evidence),
                                    .needed = evidence.step_min_requests,
                                    .come = evidence.canary.requests});
    }
  }
  return lines;
}

std::string SequentialJudge::guarantee() const {
  std::string assumed =
      by_spans_ ? "the spans that requests are counted from are those of all requests, " : "";
  assumed += "requests fail independently at any given time";
  if (const double phi = dispersion_.errors(); phi > 1.005)
    assumed += fmt::format(" (in clumps of up to {:.1f})", phi);
  assumed += ", both tracks get the same kind of traffic";
  if (processes_.canary > 0 && processes_.stable > 0) {
    assumed +=
        fmt::format(", and the canary's {} like stable's {:.0f}",
                    processes_.canary > 1 ? fmt::format("{:.0f} instances are", processes_.canary)
                                          : "only instance is",
                    processes_.stable);
    if (const double variation = dispersion_.lasting_errors(""); variation > 0)
      assumed += fmt::format(
          " (whose error rates differ for good, with a standard deviation of "
          "{:.0f}% of their mean)",
          variation * 100);
  }
  return fmt::format(
      "If the canary is no worse, the chance of a rollback is at most {:g}% over the whole "
      "rollout, however often it is looked at. Assumed: {}.{}{}",
      options_.alpha_rollback * 100, assumed, trial_ ? " " : "",
      trial_ ? trial_sentence(*trial_) : "");
}

Judgement SequentialJudge::judge(const Evidence& evidence) {
  for (const auto& cell : evidence.cells) add(cell);
  // Between cells only the clock moves: the lines stay as they were.
  Question question{.next_weight = evidence.next_weight,
                    .min_requests = evidence.step_min_requests,
                    .too_few = {}};
  if (served_too_few(evidence)) {
    question.too_few = served(evidence);
    question.served = evidence.canary.requests;
  }
  if (!(service_.canary > 0) || !(service_.stable > 0)) {
    question.canary = {evidence.canary.has_data, evidence.canary.requests};
    question.stable = {evidence.stable.has_data, evidence.stable.requests};
    question.export_due = evidence.export_due;
  }
  if (!evidence.cells.empty() || !evidence.source_error.empty() || !lines_ || question != asked_) {
    lines_ = verdicts(evidence);
    asked_ = question;
  }
  Judgement out;
  out.analysis_duration_minutes = evidence.step_minutes;
  if (begun_) out.dispersion = dispersion_.errors();
  out.trial = trial_;
  out.guarantee = guarantee();
  out.signals = *lines_;
  if (!evidence.source_error.empty()) lines_.reset();
  conclude(out, evidence);
  return suspended(std::move(out), evidence.comparison_suspended);
}

} // namespace coalmine::judge
