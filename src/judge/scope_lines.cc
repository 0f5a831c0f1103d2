// SPDX-License-Identifier: Apache-2.0
#include "judge/scope_lines.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <span>
#include <utility>

#include "judge/canary_pace.h"
#include "judge/estimate.h"

namespace coalmine::judge {
namespace {

constexpr std::array<double, 8> kServiceTails = {0.5, 0.25, 0.1, 0.05, 0.02, 0.01, 0.005, 0.001};
constexpr std::array<double, 4> kRouteTails = {0.5, 0.1, 0.01, 0.001};
constexpr double kExactFrom = 0.1; // rates from here on take the Bernoulli process
// Shares of a route's weight. Its share of the requests gets kShareShare; of the rest its errors
// get kRateShare, and latency what remains.
constexpr double kShareShare = 0.25;
constexpr double kRateShare = 4.0 / 7;

std::vector<double> scales(const std::vector<SequentialOptions::PlannedStep>& plan) {
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

// Whether an equal canary passes every step of the plan in one and a half times its minutes,
// nineteen times out of twenty: the expected evidence reaches kNatsToPass.
bool plan_can_show(double rate, double margin,
                   const std::vector<SequentialOptions::PlannedStep>& plan, double rps,
                   double phi) {
  constexpr double kNatsToPass = 13; // ln 20 for alpha, the stake on other bets, and chance
  double requests = 0;
  for (std::size_t i = 0; i < plan.size(); ++i) {
    const double next = i + 1 < plan.size() ? plan[i + 1].weight : 1;
    const double harm = margin / next;
    requests += plan[i].weight * rps * 60 * plan[i].minutes;
    const double growth = rate > 0 ? harm - rate * std::log1p(harm / rate) : harm;
    if (1.5 * requests * growth / phi < kNatsToPass) return false;
  }
  return true;
}

// Adds a boundary for the signal's absolute limit, where the buckets have one.
void add_limit(TailLine::Mark& mark, const SignalSpec& signal, const Past& past,
               Boundaries& chosen) {
  // The first boundary at or above the limit. Without one, these buckets cannot show whether the
  // limit is kept.
  const auto above = std::ranges::lower_bound(past.latency.bounds_ms, *signal.max);
  if (above == past.latency.bounds_ms.end()) return;
  auto& boundaries = chosen.bounds_ms;
  if (std::ranges::find(boundaries, *above) == boundaries.end()) {
    boundaries.push_back(*above); // at the end: indexes so far keep their meaning
    chosen.stakes.push_back(0);
  }
  mark.limit_boundary =
      static_cast<std::size_t>(std::ranges::find(boundaries, *above) - boundaries.begin());
  mark.limit_share = 1 - signal.quantile;
}

} // namespace

Margin default_error_margin(double stable_rate,
                            const std::vector<SequentialOptions::PlannedStep>& plan, double rps,
                            double phi) {
  const double usual = std::max(std::clamp(stable_rate / 2, 0.002, 0.005), 0.2 * stable_rate);
  const double most = std::max({0.005, std::min(0.8 * stable_rate, 0.008), 0.5 * stable_rate});
  double margin = usual;
  constexpr double kStep = 0.0005;
  if (rps > 0) {
    while (margin < most && !plan_can_show(stable_rate, margin, plan, rps, phi))
      margin = std::min(most, margin + kStep);
  }
  if (margin > 0.005) return {Margin::Unit::percent, std::round(margin / stable_rate * 100) / 100};
  return {Margin::Unit::points,
          std::round(margin * 1e4) / 1e4}; // as people read it: hundredths of a point
}

void Scope::see(const RouteCounts& row) {
  canary += usable_count(row.canary.requests);
  stable += usable_count(row.stable.requests);
}

void Scope::judge(const RouteCounts& row, const Phi& phi, double minute) {
  if (rate) rate->add(errors_of(row), phi.errors, minute);
  if (!tail.empty()) tail.add(row, phi.tails, minute);
}

LinePlan::LinePlan(const SequentialOptions& options, const SignalPlaces& places)
    : options_(options), places_(places), harms_(scales(options.plan)) {
  if (places_.rate) margin_ = options_.signals[*places_.rate].margin;
}

void LinePlan::fix_margin(const StablePast& past, double phi) {
  if (!places_.rate || !options_.signals[*places_.rate].automatic) return;
  // A rate from few requests is uncertain: half an error is added.
  const auto& service = past.service();
  margin_ = default_error_margin((service.errors + 0.5) / (service.requests + 1), options_.plan,
                                 past.requests_per_minute() / 60, phi);
}

Scope LinePlan::service(const StablePast& past, const ErrorBudget& budget) const {
  Scope out;
  out.tail = tail_line(past.service(), Reach::service);
  out.rate_weight = budget.rate();
  out.tail_weight = budget.tail();
  if (places_.rate) out.rate = rate_line(past.service(), Reach::service);
  return out;
}

Scope LinePlan::route(const StablePast& past, const Past* own, double weight) const {
  Past unknown;
  if (own == nullptr) unknown.latency = past.service().latency;
  const auto& known = own != nullptr ? *own : unknown;
  Scope out;
  out.tail = tail_line(known, Reach::route);
  const bool rate_counts = places_.rate && options_.signals[*places_.rate].per_route;
  if (places_.share && known.requests > 0) {
    auto signal = options_.signals[*places_.share];
    signal.kind = SignalKind::ratio; // the requests of the route are a part of all
    const double now = 1;            // a route's share is not scaled to a later step
    out.share.emplace(signal, line_options(Reach::route), std::span(&now, 1),
                      MetricTrack{true, known.requests, past.service().requests});
    out.share_weight = weight * (rate_counts || !out.tail.empty() ? kShareShare : 1);
  }
  const double part = out.tail.empty() ? 1 : rate_counts ? kRateShare : 0;
  out.rate_weight = (weight - out.share_weight) * part;
  out.tail_weight = (weight - out.share_weight) * (1 - part);
  if (places_.rate) out.rate = rate_line(known, Reach::route);
  return out;
}

MetricLine LinePlan::metric(std::size_t signal, const MetricTrack& past) const {
  return {options_.signals[signal], line_options(Reach::service), harms_, past};
}

std::size_t LinePlan::harm_index(double next_weight) const {
  const double wanted = next_weight > 0 && next_weight <= 1 ? 1 / next_weight : 1;
  std::size_t best = 0;
  for (std::size_t i = 0; i < harms_.size(); ++i) {
    if (harms_[i] <= wanted * (1 + 1e-9)) best = i;
  }
  return best;
}

LineOptions LinePlan::line_options(Reach reach) const {
  LineOptions out;
  if (!options_.restarts) {
    out.plan = {kOneStart, kOneLogStake};
  } else if (reach == Reach::service) {
    out.plan = {kServiceStarts, kServiceLogStakes};
  } else {
    out.plan = {kRouteStarts, kRouteLogStakes};
  }
  out.strict = options_.strict;
  return out;
}

RateLine LinePlan::rate_line(const Past& past, Reach reach) const {
  const auto& signal = options_.signals[*places_.rate];
  std::vector<LinearMargin> harms;
  for (const double scale : harms_) harms.push_back(linear_margin(margin_, signal.floor, scale));
  const double rate = past.requests > 0 ? past.errors / past.requests : 0;
  return {line_options(reach),
          linear_margin(margin_, signal.floor, 1),
          harms,
          rate >= kExactFrom,
          signal.max,
          past.errors,
          past.requests};
}

TailLine LinePlan::tail_line(const Past& past, Reach reach) const {
  if (past.latency.empty() || !(past.latency.total() > 0)) return {};
  auto chosen = reach == Reach::service ? choose_boundaries(past.latency, kServiceTails)
                                        : choose_boundaries(past.latency, kRouteTails);
  std::vector<TailLine::Mark> marks;
  for (const auto index : places_.tails) {
    const auto& signal = options_.signals[index];
    if (reach == Reach::route && !signal.per_route) continue;
    const auto at = nearest_boundary(past.latency, chosen.bounds_ms, 1 - signal.quantile);
    if (!at) return {};
    TailLine::Mark mark;
    mark.boundary = *at;
    const double here = chosen.bounds_ms[*at];
    const auto quantile =
        latency_quantile(past.latency.bounds_ms, past.latency.counts, signal.quantile);
    const double value = quantile ? std::max(quantile->value, 1e-9) : here;
    const auto ratio = [&](double scale) {
      double more = signal.margin.amount * scale; // percent of the value
      if (signal.margin.unit != Margin::Unit::percent) more /= value;
      more = std::max(more, signal.floor / value);
      return tail_ratio(past.latency, here, 1 + more).value_or(1);
    };
    mark.allowed_ratio = ratio(1);
    for (const double scale : harms_) mark.harms.push_back(ratio(scale));
    if (reach == Reach::service && signal.max) add_limit(mark, signal, past, chosen);
    marks.push_back(std::move(mark));
  }
  if (marks.empty()) return {};
  return TailLine(line_options(reach), past.latency, std::move(chosen), std::move(marks));
}

} // namespace coalmine::judge
