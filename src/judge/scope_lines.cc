// SPDX-License-Identifier: Apache-2.0
#include "judge/scope_lines.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <span>
#include <utility>

#include "judge/canary_pace.h"
#include "judge/estimate.h"
#include "judge/plan/default_margin.h"
#include "judge/stats/special.h"

namespace coalmine::judge {
namespace {

constexpr std::array<double, 10> kServiceTails = {0.5,  0.25,  0.1,   0.05,   0.02,
                                                  0.01, 0.005, 0.001, 0.0002, 0.00005};
constexpr std::array<double, 4> kRouteTails = {0.5, 0.1, 0.01, 0.001};
// Shares of a route's weight. Its share of the requests gets kShareShare; of the rest its errors
// get kRateShare, and latency what remains.
constexpr double kShareShare = 0.25;
constexpr double kRateShare = 4.0 / 7;
constexpr double kClientShare = 0.05;
// Of the stake on errors: a warm-up is short, and what it may not do is plain to see.
constexpr double kWarmUpShare = 0.05;
// One client that goes wrong, or a bot, asks several times, and one track may get all of it. More
// when stable's past shows more.
constexpr double kClientClump = 5;

std::vector<double> scales(const std::vector<PlannedStep>& plan) {
  std::vector<double> out = {1};
  for (std::size_t i = 1; i < plan.size(); ++i) {
    if (plan[i].weight > 0 && plan[i].weight <= 1) out.push_back(1 / plan[i].weight);
  }
  std::ranges::sort(out);
  out.erase(std::ranges::unique(out).begin(), out.end());
  // The strictest ones are kept: a missing one is judged by the next stricter.
  constexpr std::size_t kMost = 8;
  if (out.size() > kMost) out.resize(kMost);
  return out;
}

// Of ln latency, of most web services; for planning.
constexpr double kUsualSigma = 0.6;

// A boundary with a smaller part than this of the requests that a quantile leaves out says little
// about the quantile through ratios; one with more than the other is too far below it.
constexpr double kFarAbove = 0.25;
constexpr double kFarBelow = 4;

// What stable's latencies, stretched by factor, would leave beyond the boundary. Where next to
// nothing of stable is beyond it, the quantile's own share is allowed: then the quantile of the
// canary is still at or below the boundary.
LinearMargin stretched(const Buckets& past, double boundary, double factor, double rest) {
  const double here = tail_share(past, boundary).value_or(0);
  if (here < kFarAbove * rest) return {1, rest - here};
  return {tail_ratio(past, boundary, factor).value_or(1), 0};
}

// Boundaries that are watched whatever their share of requests: those around each quantile, and the
// top of stable's range. Without them a canary that is slower than all of stable would pass.
std::vector<double> required_bounds(const Buckets& past,
                                    const std::vector<const SignalSpec*>& signals) {
  std::vector<double> out;
  const auto take = [&](std::optional<double> bound) {
    if (bound) out.push_back(*bound);
  };
  take(top_of_range(past));
  for (const auto* signal : signals) {
    const auto bracket = bracket_of(past, signal->quantile);
    take(bracket.lower_ms);
    take(bracket.upper_ms);
  }
  return out;
}

PlannedLine planned_errors(const SignalSpec& signal, double rate) {
  return {.name = signal.name,
          .rate = rate,
          .automatic = signal.automatic,
          .margin = {.relative = signal.margin.unit == Margin::Unit::percent,
                     .amount = signal.margin.amount,
                     .floor = signal.floor}};
}

bool all_warm(const TrackCounts& track) {
  return track.requests > 0 && track.warming_requests >= track.requests * (1 - 1e-9);
}

} // namespace

PlannedLine planned_tail(const SignalSpec& signal) {
  const double rest = 1 - signal.quantile;
  const double stretch = std::log1p(signal.margin.amount) / kUsualSigma;
  const double beyond = 1 - normal_cdf(normal_quantile(signal.quantile) - stretch);
  return {.name = signal.name,
          .rate = rest,
          .margin = {.relative = true, .amount = beyond / rest - 1, .floor = 0}};
}

Margin default_error_margin(double stable_rate, const std::vector<PlannedStep>& plan, double rps,
                            double phi) {
  const auto margin = default_rate_margin(stable_rate, plan, rps, phi);
  return {margin.relative ? Margin::Unit::percent : Margin::Unit::points, margin.amount};
}

std::optional<PlanQuestion> plan_question(const SequentialOptions& options,
                                          const PlanTraffic& traffic) {
  const SignalPlaces places(options.signals);
  if (!places.rate || !options.signals[*places.rate].gate || options.plan.empty())
    return std::nullopt;
  PlanQuestion out;
  out.steps = options.plan;
  // Beside all of the traffic nothing is compared.
  std::erase_if(out.steps, [](const PlannedStep& step) { return step.weight >= 1; });
  out.rps = traffic.rps;
  out.phi = std::max(1.0, traffic.phi);
  out.alpha_rollback = options.alpha_rollback;
  out.alpha_promote = options.alpha_promote;
  out.error_share = ErrorBudget(places, {}).rate();
  out.strict = options.strict;
  const auto& errors = options.signals[*places.rate];
  out.errors = planned_errors(errors, traffic.error_rate);
  for (const auto place : places.tails) {
    const auto& signal = options.signals[place];
    if (signal.gate && !signal.if_decidable && signal.margin.unit == Margin::Unit::percent)
      out.others.push_back(planned_tail(signal));
  }
  // Within the margin nothing is to be found, and a little beyond it not often.
  out.wanted = std::max(out.wanted, std::ceil(1.5 * allowed_by(out, out.errors) / 0.005) * 0.005);
  return out;
}

void Scope::see(const RouteCounts& row) {
  canary += usable_count(row.canary.requests);
  stable += usable_count(row.stable.requests);
  has_client_errors =
      has_client_errors || row.canary.client_errors > 0 || row.stable.client_errors > 0;
  if (row.canary.requests > 0) {
    gap.canary_warms = all_warm(row.canary);
    gap.canary_timed = row.canary.timed > 0;
  }
  if (row.stable.requests > 0) {
    gap.stable_warms = all_warm(row.stable);
    gap.stable_timed = row.stable.timed > 0;
  }
  if (row.canary.requests > 0 && row.stable.requests > 0)
    gap.bounds = row.shared_bounds() == nullptr ? row.bounds_note() : "";
}

void Scope::judge(const RouteCounts& row, const RouteCounts& whole, const Phi& phi, double minute) {
  const auto errors = errors_of(row);
  const auto warming = warming_errors_of(row);
  const Cell all{errors.x1 + warming.x1, errors.n1 + warming.n1, errors.x0, errors.n0};
  if (rate) rate->add(errors, all, phi.errors, minute);
  if (warm_up && warming.n1 > 0) {
    const auto tempered = phi.errors.temper(warming);
    warm_up->harm.add(tempered, warming, minute);
    warm_up->difference.add(tempered);
  }
  if (foreign && !(stable > 0)) {
    // Its margin is as wide as that of a warm-up, so it needs no line of its own for that.
    const auto service = errors_of(whole);
    const Cell both{all.x1, all.n1, service.x0, service.n0};
    foreign->add(both, both, phi.errors, minute);
  }
  if (client)
    client->add({"", client_errors_of(row.canary), client_errors_of(row.stable), ""}, minute);
  tail.add(row, phi.tails, minute);
  for (auto& limit : limits) {
    if (limit) limit->add(row.canary, phi.tails);
  }
}

double Scope::log_rate_harm() const {
  const double part = warm_up ? std::log1p(-kWarmUpShare) : 0;
  if (!foreign) return part + rate->log_harm();
  const double both[] = {rate->log_harm(), foreign->log_harm()};
  return part + log_mean_exp(both);
}

double Scope::log_warm_up_harm() const {
  return warm_up ? std::log(kWarmUpShare) + warm_up->harm.log_e() : -kInfinity;
}

double Scope::log_tail_harm(std::size_t mark) const {
  const double out = tail.empty() ? 0 : tail.log_harm(mark);
  if (mark >= limits.size() || !limits[mark]) return out;
  const double both[] = {out, limits[mark]->log_harm()};
  return log_mean_exp(both);
}

LinePlan::LinePlan(const SequentialOptions& options, const SignalPlaces& places)
    : options_(options), places_(places), harms_(scales(options.plan)) {
  if (places_.rate) margin_ = options_.signals[*places_.rate].margin;
}

void LinePlan::fix_margin(const StablePast& past, const StableDispersion& dispersion) {
  client_clump_ = std::max(kClientClump, dispersion.client_errors());
  if (!places_.rate || !options_.signals[*places_.rate].automatic) return;
  // A rate from few requests is uncertain: half an error is added.
  const auto& service = past.service();
  margin_ = default_error_margin((service.errors + 0.5) / (service.requests + 1), options_.plan,
                                 past.requests_per_minute() / 60, dispersion.errors());
}

Scope LinePlan::service(const StablePast& past, const ErrorBudget& budget) const {
  Scope out;
  add_tail(out, past.service().latency, Reach::service);
  out.rate_weight = budget.rate();
  out.tail_weight = budget.tail();
  add_rate(out, past.service());
  if (places_.client) {
    out.client_weight = budget.client();
    add_client(out, past.service().client_errors, Reach::service);
  }
  return out;
}

void LinePlan::add_rate(Scope& scope, const Past& past) const {
  if (!places_.rate) return;
  scope.rate = rate_line(past);
  // Never narrower than the margin that holds without a warm-up.
  const double rate = past.requests > 0 ? past.errors / past.requests : 0;
  const double usual = allowed_difference(margin_, options_.signals[*places_.rate].floor, rate);
  scope.warm_up.emplace(line_options().onset, std::max(options_.warm_up_margin, usual));
}

void LinePlan::add_client(Scope& scope, const MetricPast& past, Reach reach) const {
  auto signal = options_.signals[*places_.client];
  signal.kind = SignalKind::ratio;
  auto options = line_options();
  options.clump = client_clump_;
  options.intervals = reach == Reach::service;
  const double now = 1; // it holds up no step, so it is not scaled to a later one
  scope.client.emplace(signal, options, std::span(&now, 1), past);
}

Scope LinePlan::route(const StablePast& past, const Past* own, double weight) const {
  const Past none;
  const auto& known = own != nullptr ? *own : none;
  Scope out;
  add_tail(out, own != nullptr ? own->latency : past.service().latency, Reach::route);
  const bool tails = !out.limits.empty();
  const bool client_counts = places_.client && options_.signals[*places_.client].per_route;
  const bool rate_counts = places_.rate && options_.signals[*places_.rate].per_route;
  if (places_.share && known.requests > 0) {
    auto signal = options_.signals[*places_.share];
    signal.kind = SignalKind::ratio; // the requests of the route are a part of all
    const double now = 1;            // a route's share is not scaled to a later step
    out.share.emplace(signal, line_options(), std::span(&now, 1), known.share);
    out.share_weight = weight * (rate_counts || tails || client_counts ? kShareShare : 1);
  }
  if (client_counts) {
    out.client_weight = (weight - out.share_weight) * (rate_counts || tails ? kClientShare : 1);
    if (known.client_errors.sum.amount > 0) add_client(out, known.client_errors, Reach::route);
  }
  const double part = !tails ? 1 : rate_counts ? kRateShare : 0;
  const double rest = weight - out.share_weight - out.client_weight;
  out.rate_weight = rest * part;
  out.tail_weight = rest * (1 - part);
  add_rate(out, known);
  if (rate_counts && own == nullptr) out.foreign = rate_line(past.service());
  return out;
}

void LinePlan::add_tail(Scope& scope, const Buckets& past, Reach reach) const {
  if (auto line = tail_line(past, reach); !line.empty()) scope.tail.begin(std::move(line));
  for (const auto* signal : tail_signals(reach)) {
    auto& limit = scope.limits.emplace_back();
    if (signal->max) limit.emplace(*signal->max, signal->quantile);
  }
}

void LinePlan::renew(Scope& scope, Reach reach) const {
  // A route without client errors before has a past rate of 0.
  if (!scope.client && scope.client_weight > 0 && scope.has_client_errors)
    add_client(scope, {}, reach);
  const auto* past = scope.tail.unwatched();
  if (past == nullptr || scope.limits.empty()) return;
  if (auto line = tail_line(*past, reach); !line.empty()) scope.tail.begin(std::move(line));
}

MetricLine LinePlan::metric(std::size_t signal, const MetricPast& past) const {
  return {options_.signals[signal], line_options(), harms_, past};
}

std::size_t LinePlan::harm_index(double next_weight) const {
  const double wanted = next_weight > 0 && next_weight <= 1 ? 1 / next_weight : 1;
  std::size_t best = 0;
  for (std::size_t i = 0; i < harms_.size(); ++i) {
    if (harms_[i] <= wanted * (1 + 1e-9)) best = i;
  }
  return best;
}

LineOptions LinePlan::line_options() const {
  return {.onset = options_.later_onsets ? Onset::any_time : Onset::at_start,
          .strict = options_.strict};
}

RateLine LinePlan::rate_line(const Past& past) const {
  const auto& signal = options_.signals[*places_.rate];
  const double rate = past.requests > 0 ? past.errors / past.requests : 0;
  const auto scaled = [&](double scale) {
    return linear_margin(margin_, signal.floor, scale, rate);
  };
  std::vector<LinearMargin> harms;
  for (const double scale : harms_) harms.push_back(scaled(scale));
  return {line_options(),     scaled(1),  harms,
          rate >= kExactFrom, signal.max, Part{past.errors, past.requests}};
}

std::vector<const SignalSpec*> LinePlan::tail_signals(Reach reach) const {
  std::vector<const SignalSpec*> out;
  for (const auto index : places_.tails) {
    const auto& signal = options_.signals[index];
    if (reach == Reach::service || signal.per_route) out.push_back(&signal);
  }
  return out;
}

TailLine LinePlan::tail_line(const Buckets& past, Reach reach) const {
  const auto signals = tail_signals(reach);
  if (signals.empty() || past.empty() || !(past.total() > 0)) return {};
  const auto required = required_bounds(past, signals);
  auto chosen = reach == Reach::service ? choose_boundaries(past, kServiceTails, required)
                                        : choose_boundaries(past, kRouteTails, required);
  if (chosen.bounds_ms.empty()) return {};
  std::vector<TailLine::Mark> marks;
  for (const auto* signal : signals) marks.push_back(tail_mark(*signal, past, chosen));
  return TailLine(line_options(), past, std::move(chosen), std::move(marks));
}

TailLine::Mark LinePlan::tail_mark(const SignalSpec& signal, const Buckets& past,
                                   const Boundaries& chosen) const {
  const auto& bounds = chosen.bounds_ms;
  const double rest = 1 - signal.quantile;
  const auto bracket = bracket_of(past, signal.quantile);
  const auto place = [&](double bound) {
    return static_cast<std::size_t>(std::ranges::find(bounds, bound) - bounds.begin());
  };
  TailLine::Mark mark;
  mark.quantile = signal.quantile;
  const auto nearest = nearest_boundary(past, bounds, rest);
  const bool near = nearest && tail_share(past, bounds[*nearest]).value_or(1) <= kFarBelow * rest;
  mark.boundary = near               ? *nearest
                  : bracket.upper_ms ? place(*bracket.upper_ms)
                                     : bounds.size() - 1; // stable is slower than all bounds
  mark.first = std::min(mark.boundary, bracket.lower_ms ? place(*bracket.lower_ms) : 0);
  const auto quantile = latency_quantile(past.bounds_ms, past.counts, signal.quantile);
  const double value = quantile ? std::max(quantile->value, 1e-9) : bounds[mark.boundary];
  const auto factor = [&](double scale) {
    double more = signal.margin.amount * scale; // percent of the value
    if (signal.margin.unit != Margin::Unit::percent) more /= value;
    return 1 + std::max(more, signal.floor / value);
  };
  for (const double bound : bounds) mark.allowed.push_back(stretched(past, bound, factor(1), rest));
  for (const double scale : harms_)
    mark.harms.push_back(stretched(past, bounds[mark.boundary], factor(scale), rest));
  return mark;
}

} // namespace coalmine::judge
