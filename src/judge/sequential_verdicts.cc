// What the sequential judge's evidence adds up to.
// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "judge/estimate.h"
#include "judge/reason.h"
#include "judge/sequential.h"
#include "judge/stats/multiplicity.h"
#include "judge/stats/special.h"

namespace coalmine::judge {
namespace {

constexpr double kUsualSlack = 1.2; // nats that the mixture over bets costs, for planning figures

double e_value(double log_e) { return std::exp(std::min(log_e, 690.0)); }

// Nats that one canary request adds on average to the evidence that the rate is below the null,
// when it really is p: the Poisson divergence. 0: none.
double growth(double p, double null) {
  if (!(null > p)) return 0;
  return p > 0 ? null - p - p * std::log(null / p) : null;
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

bool worse(const SignalVerdict& a, const SignalVerdict& b) {
  if (severity(a) != severity(b)) return severity(a) < severity(b);
  const double ea = a.evidence.value_or(0), eb = b.evidence.value_or(0);
  if (ea != eb) return ea > eb;
  if (a.canary_requests != b.canary_requests) return a.canary_requests > b.canary_requests;
  return std::tie(a.route, a.signal) < std::tie(b.route, b.signal);
}

void set_no_data(SignalVerdict& v, Cause cause) {
  v.verdict = Verdict::no_data;
  v.cause = cause;
}

} // namespace

void SequentialJudge::fill_rate(SignalVerdict& v, const Scope& scope, std::size_t harm) const {
  const auto& line = scope.rate;
  const double log_weight = std::log(std::max(scope.rate_weight, 1e-300));
  const double bar = std::log(1 / options_.alpha_rollback) - log_weight;
  const bool harmful = line.log_harm() >= bar;
  // What is shown is what decides: from the beginning, or from where the evidence of harm begins.
  const Totals& totals = harmful ? line.driver() : line.all();
  v.margin = margin_;
  if (totals.compared > 0) {
    v.canary = totals.canary_rate();
    v.stable = totals.stable_rate();
    v.difference = *v.canary - *v.stable;
    if (*v.stable > 0) v.relative = *v.difference / *v.stable;
  }
  // Of a route only where it is not plainly fine: roots are what a look costs, and a service may
  // have hundreds of routes.
  if (!v.route.empty() && line.log_harm() < 0) return fill_minutes(v, scope, harm);
  if (const auto range = harmful && &totals != &line.all()
                             ? std::nullopt
                             : line.difference(bar, std::log(1 / options_.alpha_promote))) {
    if (range->lower > -1) v.lower = range->lower;
    if (range->upper < 1) v.upper = range->upper;
  }
  const double p = line.all().stable_rate(), phi = errors_.phi();
  const auto& all = line.all();
  if (all.n1 > 0 && all.n0 > 0)
    v.detectable = detectable_excess(p, all.n1 / phi, all.n0 / phi, bar + kUsualSlack);
  fill_minutes(v, scope, harm);
}

void SequentialJudge::fill_minutes(SignalVerdict& v, const Scope& scope, std::size_t harm) const {
  const auto& line = scope.rate;
  const auto& all = line.all();
  const double p = all.stable_rate();
  const double speed =
      growth(p, line.harms().empty() ? 0 : line.harms()[harm].at(p)) / errors_.phi();
  const double missing =
      std::log(1 / options_.alpha_promote) + (all.n1 > 0 ? 0 : kUsualSlack) - line.log_safety(harm);
  const double share = service_.canary > 0 ? scope.canary / service_.canary : 0;
  if (missing <= 0) {
    v.minutes_left = 0;
  } else if (speed > 0 && per_minute_ * share > 0) {
    v.minutes_left = missing / speed / (per_minute_ * share);
  }
}

void SequentialJudge::fill_tail(SignalVerdict& v, const Scope& scope, std::size_t mark,
                                std::size_t harm) const {
  const auto& line = scope.tail;
  const auto& place = line.marks()[mark];
  const auto& signal = options_.signals[tail_signals_[mark]];
  const double bar =
      std::log(1 / options_.alpha_rollback) - std::log(std::max(scope.tail_weight, 1e-300));
  const bool harmful = line.log_harm(mark) >= bar;
  const Totals& totals = harmful ? line.driver(mark) : line.all(mark);
  const auto show = [&](const Buckets& b, std::optional<double>& value, bool& at_least) {
    const auto q = b.empty()
                       ? std::nullopt
                       : latency_quantile({true, 1, 0, b.bounds_ms, b.counts}, signal.quantile);
    if (!q) return;
    value = q->value;
    at_least = q->at_least;
  };
  show(line.canary(), v.canary, v.canary_at_least);
  show(line.stable(), v.stable, v.stable_at_least);
  if (v.canary && v.stable) {
    v.difference = *v.canary - *v.stable;
    if (*v.stable > 0) v.relative = *v.difference / *v.stable;
  }
  if (!(totals.compared > 0)) return;
  const double stable = totals.stable_rate();
  v.tail = SignalVerdict::Tail{line.boundary_ms(mark), totals.canary_rate(), stable,
                               std::min(1.0, place.allowed_ratio * stable)};
  const double p = line.all(mark).stable_rate(), phi = tails_.phi();
  const double speed = growth(p, p * place.harms[harm]) / phi;
  const double missing = std::log(1 / options_.alpha_promote) - line.log_safety(mark, harm);
  const double share = service_.canary > 0 ? scope.canary / service_.canary : 0;
  if (missing <= 0) {
    v.minutes_left = 0;
  } else if (speed > 0 && per_minute_ * share > 0) {
    v.minutes_left = missing / speed / (per_minute_ * share);
  }
}

void SequentialJudge::set_outcome(SignalVerdict& v, bool beyond, double log_e, double log_weight,
                                  double log_safety) const {
  const double bar = std::log(1 / options_.alpha_rollback);
  v.beyond = beyond;
  v.evidence = e_value(log_e);
  v.needed_evidence = e_value(bar - log_weight);
  if (beyond && log_weight + log_e >= bar) {
    v.verdict = Verdict::regression;
  } else if (!beyond && log_safety >= std::log(1 / options_.alpha_promote)) {
    v.verdict = Verdict::pass;
  } else {
    v.verdict = Verdict::watching;
    v.cause = Cause::undecided;
  }
}

void SequentialJudge::judge_metric(SignalVerdict& v, const Metric& metric, std::size_t harm) const {
  if (!metric.problem.empty()) {
    set_no_data(v, Cause::not_measurable);
    v.problem = metric.problem;
    return;
  }
  const double log_weight = std::log(std::max(metric_weight_, 1e-300));
  const auto reading = metric.line->read(harm, std::log(1 / options_.alpha_rollback) - log_weight,
                                         std::log(1 / options_.alpha_promote));
  v.canary = reading.canary;
  v.stable = reading.stable;
  if (!reading.canary || !reading.stable) {
    const bool known =
        metric.line->has_canary() && metric.line->has_stable(); // but never in the same interval
    if (!known)
      set_no_data(v, metric.line->has_canary() ? Cause::no_stable_data : Cause::no_canary_data);
    return;
  }
  v.difference = *v.canary - *v.stable;
  if (*v.stable != 0) v.relative = *v.difference / std::abs(*v.stable);
  v.lower = reading.lower;
  v.upper = reading.upper;
  v.approximate = v.kind == SignalKind::mean;
  set_outcome(v, reading.beyond, reading.log_harm, log_weight, reading.log_safety);
}

void SequentialJudge::judge_share(SignalVerdict& v, const Scope& scope) const {
  if (!scope.share) return;
  const double log_weight = std::log(std::max(scope.share_weight, 1e-300));
  const auto reading = scope.share->read(0, std::log(1 / options_.alpha_rollback) - log_weight,
                                         std::log(1 / options_.alpha_promote));
  if (!reading.canary || !reading.stable) return;
  v.canary = reading.canary;
  v.stable = reading.stable;
  v.difference = *v.canary - *v.stable;
  if (*v.stable > 0) v.relative = *v.difference / *v.stable;
  v.lower = reading.lower;
  v.upper = reading.upper;
  set_outcome(v, reading.beyond, reading.log_harm, log_weight, reading.log_safety);
}

void SequentialJudge::fill_verdict(SignalVerdict& v, std::size_t index, const Scope& scope,
                                   const std::string& route, const Evidence& evidence) const {
  const auto& signal = options_.signals[index];
  v.signal = signal.name;
  v.route = route;
  v.kind = signal.kind;
  v.gate = signal.gate;
  v.margin = signal.margin;
  v.max = signal.max;
  v.unit = signal.unit;
  v.canary_requests = scope.canary;
  v.stable_requests = scope.stable;
  v.required_requests = evidence.step_min_requests;
  if (service_.canary == 0 && evidence.canary.requests > 0 && evidence.stable.requests > 0) {
    v.cause = Cause::interval_open;
    return;
  }
  if (signal.kind == SignalKind::request_share && begun_ && service_.canary > 0 &&
      service_.stable > 0) {
    v.cause = Cause::undecided; // no request of the route is what it is about, not a lack of data
    return judge_share(v, scope);
  }
  if (!(scope.canary > 0)) return set_no_data(v, Cause::no_canary_data);
  if (!(scope.stable > 0)) return set_no_data(v, Cause::no_stable_data);
  v.cause = Cause::undecided;
  if (!begun_) return;
  const auto harm = harm_index(evidence.next_weight);
  if (is_metric(signal.kind)) {
    return judge_metric(v, *std::ranges::find(metrics_, index, &Metric::signal), harm);
  }
  if (signal.kind == SignalKind::error_rate) {
    if (!rate_signal_ || *rate_signal_ != index) return;
    fill_rate(v, scope, harm);
    if (!v.canary) return;
    const auto& totals = scope.rate.driver();
    double allowed = scope.rate.margin().at(totals.stable_rate());
    if (const double warm = totals.stable_rate() + options_.warm_up_margin;
        warming_ && warm > allowed) {
      allowed = warm;
      v.warming = options_.warm_up_margin;
    }
    bool beyond = totals.canary_rate() > allowed;
    if (signal.max && *v.canary > *signal.max) beyond = true;
    return set_outcome(v, beyond, scope.rate.log_harm(),
                       std::log(std::max(scope.rate_weight, 1e-300)), scope.rate.log_safety(harm));
  }
  const auto mark =
      static_cast<std::size_t>(std::ranges::find(tail_signals_, index) - tail_signals_.begin());
  std::size_t place = mark; // among the marks that this scope has
  if (!route.empty()) {
    place = 0;
    for (std::size_t i = 0; i < mark; ++i)
      place += options_.signals[tail_signals_[i]].per_route ? 1 : 0;
  }
  if (place >= scope.tail.marks().size()) return set_no_data(v, Cause::no_stable_data);
  fill_tail(v, scope, place, harm);
  if (!v.tail)
    return set_no_data(v,
                       scope.tail.canary().empty() ? Cause::no_canary_data : Cause::no_stable_data);
  const auto& totals = scope.tail.driver(place);
  const double allowed = scope.tail.marks()[place].allowed_ratio * totals.stable_rate();
  const auto over = scope.tail.share_over_limit(place);
  const bool beyond = totals.canary_rate() > allowed || (over && *over > 1 - signal.quantile);
  set_outcome(v, beyond, scope.tail.log_harm(place), std::log(std::max(scope.tail_weight, 1e-300)),
              scope.tail.log_safety(place, harm));
}

// Whether promotion waits for the signal. if_decidable: when the planned traffic shows an equal
// canary to be safe at every step within its minutes, all but always; a signal that nobody asked
// for must not keep a rollout waiting.
bool SequentialJudge::holds_promotion(std::size_t index) const {
  constexpr double kNatsToPass = 16;
  const auto& signal = options_.signals[index];
  if (!signal.gate || !signal.if_decidable || !begun_) return signal.gate;
  const auto mark =
      static_cast<std::size_t>(std::ranges::find(tail_signals_, index) - tail_signals_.begin());
  const bool tail = signal.kind == SignalKind::latency_quantile;
  if (tail && mark >= service_.tail.marks().size()) return false;
  double requests = 0; // of the canary up to the end of a step
  for (std::size_t i = 0; i < options_.plan.size(); ++i) {
    const auto& step = options_.plan[i];
    if (past_.minutes > 0) requests += past_.requests / past_.minutes * step.minutes * step.weight;
    const auto harm = harm_index(i + 1 < options_.plan.size() ? options_.plan[i + 1].weight : 1);
    double p = past_.errors / std::max(1.0, past_.requests), null = 0;
    if (tail) {
      p = tail_share(past_.latency, service_.tail.boundary_ms(mark)).value_or(0);
      null = p * service_.tail.marks()[mark].harms[harm];
    } else {
      null = service_.rate.harms()[harm].at(p);
    }
    if (requests * growth(p, null) < kNatsToPass * (tail ? tails_.phi() : errors_.phi()))
      return false;
  }
  return true;
}

// Routes behind the whole service, worst first. Lines are large: places are sorted, then each line
// is moved once.
void SequentialJudge::sort_routes(std::vector<SignalVerdict>& lines) const {
  const auto routes =
      std::ranges::find_if(lines, [](const SignalVerdict& v) { return !v.route.empty(); });
  std::vector<std::size_t> from(lines.size()); // which line goes here
  std::iota(from.begin(), from.end(), 0);
  std::ranges::stable_sort(from.begin() + (routes - lines.begin()), from.end(),
                           [&](std::size_t left, std::size_t right) {
                             const auto &a = lines[left], &b = lines[right];
                             if (!critical_.empty() && severity(a) == severity(b) &&
                                 is_critical(a.route) != is_critical(b.route)) {
                               return is_critical(a.route);
                             }
                             return worse(a, b);
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

// Which routes are worse, when the rollout is rolled back: e-BH with the lines' stakes as weights
// (so that whoever is proven alone is among them), so that at most alpha of those named are
// expected to be no worse. It asks for less evidence of each than the rollback does and therefore
// never triggers one. A line within its margin counts as no evidence: less than an e-value is one
// as well, whereas dropping discoveries afterwards would void the rate.
void SequentialJudge::name_routes(std::vector<SignalVerdict>& lines) const {
  std::vector<SignalVerdict*> tested;
  std::vector<double> e_values;
  double stakes = 0;
  for (auto& v : lines) {
    if (v.route.empty() || !v.gate || !v.evidence) continue;
    tested.push_back(&v);
    e_values.push_back(v.beyond ? *v.evidence / *v.needed_evidence : 0);
    stakes += 1 / *v.needed_evidence;
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
  const bool only_whole =
      routes_.size() == 1 &&
      routes_[0].name.empty(); // telemetry without routes is the whole once more
  lines.reserve(options_.signals.size() * (1 + (only_whole ? 0 : routes_.size())));
  for (std::size_t i = 0; i < whole_signals_; ++i) {
    auto& v = lines.emplace_back();
    fill_verdict(v, i, service_, "", evidence);
    if (v.verdict == Verdict::watching && evidence.step_requests < evidence.step_min_requests &&
        holds_promotion(i)) {
      v.cause = Cause::too_few_requests;
    }
  }
  for (const auto& route : routes_) {
    if (only_whole) break;
    for (std::size_t i = 0; i < options_.signals.size(); ++i) {
      // A route that stable did not have before has no share to keep.
      if (options_.signals[i].kind == SignalKind::request_share && !route.scope.share) continue;
      if (options_.signals[i].per_route && !is_metric(options_.signals[i].kind))
        fill_verdict(lines.emplace_back(), i, route.scope,
                     route.name.empty() ? "(none)" : route.name, evidence);
    }
  }
  sort_routes(lines);
  for (auto& v : lines) {
    if (!evidence.source_error.empty()) set_no_data(v, Cause::source_unreachable);
    // Of routes it is made when somebody looks: a service may have hundreds, and is looked at every
    // few seconds.
    if (v.route.empty() || v.verdict == Verdict::no_data)
      v.reason = reason_sentence(v, evidence.source_error);
  }
  return lines;
}

Judgement SequentialJudge::judge(const Evidence& evidence) {
  for (const auto& cell : evidence.cells) add(cell);
  // Between cells only the clock moves: the lines stay as they were.
  const Question question{evidence.next_weight, evidence.step_min_requests,
                          evidence.step_requests < evidence.step_min_requests,
                          evidence.canary.requests > 0 && evidence.stable.requests > 0};
  if (!evidence.cells.empty() || !evidence.source_error.empty() || !lines_ || question != asked_) {
    lines_ = verdicts(evidence);
    asked_ = question;
  }
  Judgement out;
  out.analysis_duration_minutes = evidence.step_minutes;
  if (begun_) out.dispersion = errors_.phi();
  out.guarantee = fmt::format(
      "If the canary is no worse, the chance of a rollback is at most {:g}% over the whole "
      "rollout, however often it is looked "
      "at. Assumed: "
      "requests{} fail independently at any given time, and both tracks get the same kind of "
      "traffic.",
      options_.alpha_rollback * 100,
      errors_.phi() > 1.005 ? fmt::format(" (in clumps of up to {:.1f})", errors_.phi()) : "");
  out.signals = *lines_;
  if (!evidence.source_error.empty()) lines_.reset();
  conclude(out, evidence);
  return out;
}

void SequentialJudge::conclude(Judgement& out, const Evidence& evidence) const {
  if (!evidence.source_error.empty()) {
    SignalVerdict whole;
    set_no_data(whole, Cause::source_unreachable);
    out.reason = reason_sentence(whole, evidence.source_error);
    return;
  }
  // One budget: the weighted average of the evidence of all gating lines that are measured beyond
  // their margins. Latency signals of one scope share their evidence, which counts once.
  std::optional<std::size_t> culprit;
  double sum = 0;
  std::pair<bool, double> most;
  std::map<std::string_view, double> latency;
  for (std::size_t i = 0; i < out.signals.size(); ++i) {
    const auto& v = out.signals[i];
    if (!v.gate || !v.evidence || !v.beyond) continue;
    const double part = *v.evidence / *v.needed_evidence; // of what the line needs alone
    double add = part;
    if (v.kind == SignalKind::latency_quantile) {
      auto& counted = latency[v.route];
      add = std::max(0.0, part - counted);
      counted = std::max(counted, part);
    }
    sum += add;
    // A critical route that is proven alone is named before whatever else is.
    const std::pair rank(is_critical(v.route) && part >= 1, part);
    if (!culprit || rank > most) {
      culprit = i;
      most = rank;
    }
  }
  if (culprit && sum >= 1) {
    auto lines = *out.signals;
    auto& worst = lines[*culprit];
    worst.verdict = Verdict::regression;
    worst.cause = Cause::none;
    worst.reason = reason_sentence(worst);
    out.decision = Decision::rollback;
    out.reason = reason_sentence(out, &worst, evidence.step_needed_minutes);
    name_routes(lines);
    out.signals = std::move(lines);
    return;
  }
  const SignalVerdict* undecided = nullptr;
  bool any = false;
  double left = std::max(0.0, evidence.step_needed_minutes - evidence.step_minutes);
  for (std::size_t i = 0; i < whole_signals_; ++i) {
    const auto& v = out.signals[i];
    if (!holds_promotion(i)) continue;
    any = true;
    if (v.verdict == Verdict::pass) continue;
    if (undecided == nullptr) undecided = &v;
    left = v.minutes_left ? std::max(left, *v.minutes_left) : kInfinity;
  }
  if (std::isfinite(left)) out.minutes_left = left;
  const bool enough = evidence.step_minutes >= evidence.step_needed_minutes &&
                      evidence.step_requests >= evidence.step_min_requests;
  if (any && undecided == nullptr && enough) out.decision = Decision::promote;
  out.reason = reason_sentence(out, undecided, evidence.step_needed_minutes);
}

} // namespace coalmine::judge
